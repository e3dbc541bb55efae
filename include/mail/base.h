/* SPDX-License-Identifier: MIT */
#ifndef MAIL_BASE_H
#define MAIL_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define MAIL_API            __attribute__((visibility("default")))
#define MAIL_PRINTF(fmt, a) __attribute__((format(printf, fmt, a)))
#else
#define MAIL_API
#define MAIL_PRINTF(fmt, a)
#endif

/** The number of elements of an array. */
#define MAIL_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/**
 * An instant, in nanoseconds of a monotonic clock whose origin means nothing:
 * two instants may be compared and subtracted, never printed.
 */
typedef int64_t mail_time;

/** A length of time in nanoseconds. */
typedef int64_t mail_duration;

/** An instant of the calendar, in seconds since 1970-01-01 00:00 UTC. */
typedef int64_t mail_wall;

#define MAIL_MICROSECOND ((mail_duration)1000)
#define MAIL_MILLISECOND (1000 * MAIL_MICROSECOND)
#define MAIL_SECOND      (1000 * MAIL_MILLISECOND)
#define MAIL_MINUTE      (60 * MAIL_SECOND)
#define MAIL_HOUR        (60 * MAIL_MINUTE)
#define MAIL_DAY         (24 * MAIL_HOUR)

/** Later than any instant: a deadline that never comes. */
#define MAIL_NEVER INT64_MAX

/** What an `int` function returns: MAIL_OK or one of the negative codes. */
enum {
    MAIL_OK = 0,
    MAIL_EAGAIN = -1,    /* not now; what waits will be told */
    MAIL_EINVAL = -2,    /* input from outside that breaks the rules */
    MAIL_ENOMEM = -3,    /* the allocator said no */
    MAIL_EIO = -4,       /* a file or disk failed; what was not confirmed is not safe */
    MAIL_ENOSPC = -5,    /* no room on the disk, or a configured reserve reached */
    MAIL_ENOENT = -6,    /* no such file, name, message or mailbox */
    MAIL_EEXIST = -7,    /* already there */
    MAIL_EBUSY = -8,     /* locked or in use by another */
    MAIL_EPERM = -9,     /* the system forbids it */
    MAIL_ECANCELED = -10, /* the one that asked has gone */
    MAIL_ETIMEDOUT = -11, /* no answer in time */
    MAIL_ECONN = -12,    /* no connection, or it was lost */
    MAIL_EPROTO = -13,   /* the peer broke the protocol */
    MAIL_EDAMAGED = -14, /* stored data that fails its check */
    MAIL_ELIMIT = -15,   /* a limit was reached */
    MAIL_EVERSION = -16, /* data of a newer, unknown version */
    MAIL_ESYS = -17      /* any other refusal of the system */
};

/** A short English text for `code`: static, without a full stop, never NULL. */
MAIL_API const char *mail_strerror(int code);

/** The code for a system error number (`errno`). */
MAIL_API int mail_error_from_errno(int number);

/** What an engine waits for: the bits of every `…_wants`. */
enum {
    MAIL_WANTS_READ = 1,  /* bytes from the peer */
    MAIL_WANTS_WRITE = 2, /* `out` to be sent */
    MAIL_WANTS_ANSWER = 4, /* the answer to its question */
    MAIL_WANTS_TIME = 8    /* its deadline: `tick` then, and nothing moves it before */
};

/**
 * What went wrong, for a person. Every function that takes one accepts NULL;
 * on success it is left alone.
 */
typedef struct mail_error {
    int code;
    char text[256]; /* one line, NUL-terminated, no control characters */
} mail_error;

/** Fills `err` (unless NULL) and returns `code`, so that a function can end with it. */
MAIL_API int mail_error_set(mail_error *err, int code, const char *format, ...) MAIL_PRINTF(3, 4);

/**
 * A run of bytes that belongs to somebody else. Not NUL-terminated; may hold
 * any byte. `data` may be NULL when `length` is 0.
 */
typedef struct mail_span {
    const char *data;
    size_t length;
} mail_span;

/** A span over a string literal or any array with a final NUL. */
#define MAIL_SPAN(literal) ((mail_span){(literal), sizeof(literal) - 1})

/** A span over `length` bytes. */
static inline mail_span mail_span_of(const void *data, size_t length)
{
    mail_span span = {(const char *)data, length};

    return span;
}

/** A span over a NUL-terminated text; NULL gives the empty span. */
static inline mail_span mail_span_text(const char *text)
{
    return mail_span_of(text, text != NULL ? strlen(text) : 0);
}

/** `span` from `offset` (at most its length) on. */
static inline mail_span mail_span_from(mail_span span, size_t offset)
{
    return mail_span_of(offset > 0 ? span.data + offset : span.data, span.length - offset);
}

/** The first `length` (at most its length) bytes of `span`. */
static inline mail_span mail_span_first(mail_span span, size_t length)
{
    return mail_span_of(span.data, length);
}

/** The same bytes. */
static inline bool mail_span_equal(mail_span a, mail_span b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

/** Equal but for the case of ASCII letters; the locale plays no part. */
MAIL_API bool mail_span_equal_nocase(mail_span a, mail_span b);

/**
 * The memory of one object and all that it makes. A NULL `const mail_mem *`
 * anywhere means malloc's family.
 *
 * `resize` works as realloc: a NULL `old` allocates, `size` 0 frees and returns
 * NULL; it returns NULL, `old` untouched, when there is no memory. `old_size` is
 * what was asked for before. It must be thread-safe where the object is.
 *
 * Ownership: borrows until the object is destroyed.
 */
typedef struct mail_mem {
    void *(*resize)(void *arg, void *old, size_t old_size, size_t size);
    void *arg;
} mail_mem;

#ifdef __cplusplus
}
#endif

#endif
