/* SPDX-License-Identifier: MIT */
#ifndef MAIL_SINK_H
#define MAIL_SINK_H

#include <mail/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Called when what was waited for may be tried again. */
typedef void mail_wake_fn(void *arg);

/** Called with the outcome of a `finish` that took time. */
typedef void mail_finish_fn(int code, void *arg);

typedef struct mail_sink mail_sink;

/** What a kind of sink does; see the functions of the same names. */
typedef struct mail_sink_ops {
    size_t (*room)(mail_sink *sink);
    int (*write)(mail_sink *sink, mail_span bytes);
    int (*finish)(mail_sink *sink, mail_finish_fn *fn, void *arg);
    void (*abort)(mail_sink *sink);
} mail_sink_ops;

/**
 * Where the bytes of one message go. The writer asks for the `room`, writes at
 * most so much (taken whole), and ends with exactly one `finish` (what counts)
 * or `abort` (nothing happened). After either the sink must not be touched.
 *
 * A kind of sink embeds this struct as its first member.
 */
struct mail_sink {
    const mail_sink_ops *ops;
    mail_wake_fn *on_room; /* set by the writer: room has grown from 0; may be NULL */
    void *on_room_arg;
};

/** How many bytes the next write may have; 0 means wait for `on_room`. */
static inline size_t mail_sink_room(mail_sink *sink)
{
    return sink->ops->room(sink);
}

/**
 * Writes `bytes`, at most the room. They are copied, or gone to their place,
 * when it returns.
 *
 * Errors: those of the medium (MAIL_ENOSPC, MAIL_EIO, MAIL_ENOMEM, MAIL_ELIMIT,
 * MAIL_ECONN). The sink is then good for nothing but `abort`.
 */
static inline int mail_sink_write(mail_sink *sink, mail_span bytes)
{
    return sink->ops->write(sink, bytes);
}

/**
 * Makes the message count. MAIL_OK: done, `fn` is not called. MAIL_EAGAIN: `fn`
 * will be called once, on the thread of the caller's loop, with the outcome.
 * Anything else: it failed, nothing counts, `fn` is not called. In every case
 * the sink is gone.
 */
static inline int mail_sink_finish(mail_sink *sink, mail_finish_fn *fn, void *arg)
{
    return sink->ops->finish(sink, fn, arg);
}

/** Gives up: nothing that was written counts. The sink is gone. */
static inline void mail_sink_abort(mail_sink *sink)
{
    sink->ops->abort(sink);
}

typedef struct mail_source mail_source;

/** What a kind of source does; see the functions of the same names. */
typedef struct mail_source_ops {
    int (*peek)(mail_source *source, mail_span *out);
    void (*drop)(mail_source *source, size_t n);
    void (*close)(mail_source *source);
} mail_source_ops;

/**
 * Where the bytes of one message come from. The source lends a span; the reader
 * says how much it is done with. A kind of source embeds this struct first.
 */
struct mail_source {
    const mail_source_ops *ops;
    mail_wake_fn *on_bytes; /* set by the reader: there is more after MAIL_EAGAIN; may be NULL */
    void *on_bytes_arg;
};

/**
 * Lends the next bytes, as many as lie at hand. An empty span is the end.
 *
 * Ownership: lends until the next `drop` or `close`.
 * Errors: MAIL_EAGAIN: wait for `on_bytes`. MAIL_EIO, MAIL_EDAMAGED: no more will come.
 */
static inline int mail_source_peek(mail_source *source, mail_span *out)
{
    return source->ops->peek(source, out);
}

/** Says that the first `n` bytes of what `peek` lent are done with. */
static inline void mail_source_drop(mail_source *source, size_t n)
{
    source->ops->drop(source, n);
}

/** Closes it; it is gone. */
static inline void mail_source_close(mail_source *source)
{
    source->ops->close(source);
}

/**
 * A source over bytes in memory. There is nothing to close.
 *
 * Ownership: borrows `bytes` until the last use of `source`.
 */
typedef struct mail_source_span {
    mail_source source;
    mail_span rest; /* private */
} mail_source_span;

/** Begins at the start of `bytes`. */
MAIL_API void mail_source_span_init(mail_source_span *source, mail_span bytes);

/**
 * A sink that keeps what it gets in memory, up to a limit. `finish` and `abort`
 * leave the bytes where they are; deinit frees them.
 */
typedef struct mail_sink_memory {
    mail_sink sink;
    const mail_mem *mem; /* private */
    char *data;          /* private */
    size_t length;       /* private */
    size_t capacity;     /* private */
    size_t limit_bytes;  /* private */
    bool finished;       /* private */
} mail_sink_memory;

/** Empty; past `limit_bytes` a write fails with MAIL_ELIMIT. */
MAIL_API void mail_sink_memory_init(mail_sink_memory *sink, const mail_mem *mem, size_t limit_bytes);
MAIL_API void mail_sink_memory_deinit(mail_sink_memory *sink);

/** What was written so far. Ownership: lends until the next write or deinit. */
MAIL_API mail_span mail_sink_memory_bytes(const mail_sink_memory *sink);

/** Whether `finish` was called. */
MAIL_API bool mail_sink_memory_finished(const mail_sink_memory *sink);

#ifdef __cplusplus
}
#endif

#endif
