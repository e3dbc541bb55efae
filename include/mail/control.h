/* SPDX-License-Identifier: MIT */
#ifndef MAIL_CONTROL_H
#define MAIL_CONTROL_H

#include <mail/base.h>
#include <mail/log.h>
#include <mail/loop.h>
#include <mail/queue.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The owner's side of a spool's unix socket `control`, through which other programs of the same
 * user look into the queue and change it (<mail/operator.h>), and by connecting to it say that
 * there is something in `drop` (<mail/drop.h>).
 *
 * A request is one line, at most 4096 octets, that ends with LF; any number may follow each other:
 *
 *     list WHICH      stats            body id ID
 *     hold WHICH      release WHICH    retry WHICH    expire WHICH    remove WHICH
 *     await id FILE
 *
 * WHICH is `all`, or of these words, in this order, what is needed: `id ID` up to a hundred times,
 * `domain DOMAIN`, `sender ADDRESS` (to the end of the line; `<>`: the null reverse-path). What
 * comes back are lines of
 *
 *     message ID waiting|active|hold ARRIVAL SIZE SENDER
 *     to waiting|held|done ATTEMPTS NEXT-TRY ADDRESS  (of the message before)
 *     reply TEXT                                      (of the recipient before; none: no line)
 *     stat NAME VALUE
 *     data LENGTH                                     (and as many octets behind the LF)
 *     outcome accepted|transient|permanent|ambiguous ADDRESS   (and its reply as above)
 *
 * and, always last, `ok COUNT` or `error CODE TEXT`, CODE as in <mail/base.h>. Lines that begin
 * with another word are to be skipped. Instants are seconds since 1970.
 *
 * `await` is for a program that is about to drop a message under the name FILE: it is answered by a
 * line `awaiting`, after which the file may come, and then, as it comes, by what becomes of each recipient
 * at the first try. It is over when all were tried or are held; nothing may be sent meanwhile. At
 * most 64 connections may wait, which do not count as connections.
 *
 * A request is served in small parts, one each round of the loop, and no faster than its reply is read.
 */
typedef struct mail_control mail_control;

typedef struct mail_control_options {
    size_t size; /* MAIL_CONTROL_OPTIONS_INIT */
    const mail_mem *mem;
    const mail_log *log;        /* who changed what */
    mail_queue *queue;          /* required; borrowed until destroy */
    const char *spool;          /* required: the folder in which the socket is made; copied */
    void (*on_poke)(void *arg); /* somebody has connected; may be NULL */
    void *arg;
    uint32_t max_connections;           /* default 16; one more is closed at once */
    const struct mail_sockets *sockets; /* private to libmail's tests */
} mail_control_options;

#define MAIL_CONTROL_OPTIONS_INIT                                                                  \
    {                                                                                              \
        .size = sizeof(mail_control_options)                                                       \
    }

/**
 * Listens. The socket is for this user (and root) only.
 *
 * Errors: MAIL_EINVAL for bad options, and for a spool whose path is too long for a socket's
 * name; MAIL_EBUSY another process listens there; MAIL_EPERM, MAIL_ENOENT, MAIL_ENOMEM,
 * MAIL_ESYS. `err` says it in one line.
 */
MAIL_API int mail_control_create(mail_control **out, mail_loop *loop,
                                 const mail_control_options *opts, mail_error *err);

/** Cuts all connections off and stops listening. */
MAIL_API void mail_control_destroy(mail_control *control);

/** Connections open now. */
MAIL_API size_t mail_control_connections(const mail_control *control);

#ifdef __cplusplus
}
#endif

#endif
