/* SPDX-License-Identifier: MIT */
#ifndef MAIL_OPERATOR_H
#define MAIL_OPERATOR_H

#include <mail/base.h>
#include <mail/deliver.h>
#include <mail/queue.h>
#include <mail/sink.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * A spool as an operator has it in hand: through its owner's socket `control` when there is an
 * owner, else with the queue opened for the purpose. Looking never needs the owner nor the
 * spool's lock; changing needs one of them. All functions here block.
 *
 * What lies in `drop` (<mail/drop.h>) and is in the queue only once there is an owner belongs to it
 * here: its id is the file's name up to the dot, which may stand behind it or not.
 */
typedef struct mail_operator mail_operator;

/**
 * Takes the spool in folder `dir` in hand, to look only or also `to_change`. Nothing is made
 * where there is no spool; one in which mail was only dropped yet is one.
 *
 * Errors: MAIL_ENOENT no spool there; MAIL_EBUSY owned by a process that does not listen, and it
 * is to be changed; MAIL_EPERM not a spool, another user's, or on a read-only disk;
 * MAIL_EDAMAGED; MAIL_EVERSION of a newer version; MAIL_EIO, MAIL_ENOMEM. `err` says it in one line.
 */
MAIL_API int mail_operator_open(mail_operator **out, const char *dir, bool to_change,
                                const mail_mem *mem, mail_error *err);
MAIL_API void mail_operator_close(mail_operator *op);

/** Whether an owner does the work. */
MAIL_API bool mail_operator_has_owner(const mail_operator *op);

/**
 * As mail_queue_list; what was dropped comes last. Where `fn` stops a list, no other can be had
 * from an owner. Errors: also MAIL_ECONN, MAIL_ETIMEDOUT, MAIL_EPROTO of the owner. */
MAIL_API int mail_operator_list(mail_operator *op, const mail_queue_selector *which,
                                bool (*fn)(const mail_queue_item *item, void *arg), void *arg,
                                mail_error *err);

/** What can be done to messages. */
typedef enum mail_operator_action {
    MAIL_OPERATOR_HOLD,
    MAIL_OPERATOR_RELEASE, /* what was held */
    MAIL_OPERATOR_RETRY,   /* due now */
    MAIL_OPERATOR_EXPIRE,  /* due now, for the last time; not what was dropped */
    MAIL_OPERATOR_REMOVE   /* without a report to anybody */
} mail_operator_action;

/**
 * Says in `found` of each of `ids` whether there is a message of it, or a file of that name that was
 * set aside from `drop`. Errors: as mail_operator_list.
 */
MAIL_API int mail_operator_find(mail_operator *op, const char *const *ids, size_t count,
                                bool *found, mail_error *err);

/**
 * Says how many messages were changed. One that was dropped is changed as a whole: for a domain
 * only if all its recipients are in it. What was set aside from `drop` is removed by id alone. What
 * the owner is taking into the queue at this moment may slip through, as what is being delivered.
 * Errors: as mail_operator_list.
 */
MAIL_API int64_t mail_operator_change(mail_operator *op, mail_operator_action action,
                                      const mail_queue_selector *which, mail_error *err);

/** Writes the content of message `id` into `out`, which it does not end. Errors: MAIL_ENOENT; those of the sink. */
MAIL_API int mail_operator_body(mail_operator *op, const char *id, mail_sink *out, mail_error *err);

/** Counts since open are those of the owner, or without one nothing. `dropped` is counted here. */
MAIL_API int mail_operator_stats(mail_operator *op, mail_queue_stats *out, mail_error *err);

/**
 * For a program that is about to drop a message as `file` (<mail/drop.h>), before it does: asks
 * the spool's owner to tell what becomes of it. Nothing else may be asked of `*out`.
 *
 * Errors: MAIL_ENOENT there is no owner, or none that would hear this user; MAIL_EBUSY too many wait
 * already; MAIL_ECONN, MAIL_ETIMEDOUT, MAIL_EPROTO of the owner; MAIL_EINVAL a bad name; MAIL_ENOMEM.
 */
MAIL_API int mail_operator_await(mail_operator **out, const char *dir, const char *file,
                                 const mail_mem *mem, mail_error *err);

/**
 * Once the file is there: calls `fn` with what came of each recipient at its first try (its reply,
 * not where that is from), until all were tried or are held.
 *
 * Errors: MAIL_ETIMEDOUT `patience` has passed before; MAIL_ELIMIT the message is too big; MAIL_EDAMAGED and
 * others: why it was not taken; MAIL_ECANCELED it was removed; MAIL_ECONN the owner has gone, and what is in
 * the queue goes on when there is one again; MAIL_EPROTO, MAIL_ENOMEM.
 */
MAIL_API int mail_operator_outcomes(mail_operator *op, mail_duration patience, mail_delivery_fn *fn,
                                    void *arg, mail_error *err);

/** What a check has found. */
typedef struct mail_queue_check {
    uint64_t messages; /* looked at */
    uint64_t octets;   /* of their content */
    uint64_t damaged;  /* stretches of the log and messages that can't be read */
} mail_queue_check;

/**
 * Reads all that the queue in `dir` holds and compares every checksum; changes nothing. Each
 * fault is told to `fn` in one line. With the owner at work what moves while it is read may look
 * damaged: such a spool is read a second time before anything is said.
 *
 * Errors: as mail_operator_open. MAIL_OK with `damaged` above 0 is a result.
 */
MAIL_API int mail_operator_check(const char *dir, const mail_mem *mem,
                                 void (*fn)(const char *fault, void *arg), void *arg,
                                 mail_queue_check *out, mail_error *err);

/** How a list is written. */
typedef enum mail_queue_format {
    MAIL_QUEUE_TABLE, /* for a person: all that is known */
    MAIL_QUEUE_MAILQ, /* as Postfix's mailq writes it, which scripts read */
    MAIL_QUEUE_JSON   /* an object a line */
} mail_queue_format;

/** What has been written of a list. Zero it before the first message. */
typedef struct mail_queue_printer {
    mail_queue_format format;
    mail_wall now;     /* TABLE: instants are told from here */
    mail_sink *out;    /* everything goes there; it is not ended */
    uint64_t messages; /* so far */
    uint64_t octets;
} mail_queue_printer;

/** Writes a message, and before the first one the headings. Errors: of the sink; MAIL_ENOMEM. */
MAIL_API int mail_queue_print(mail_queue_printer *printer, const mail_queue_item *item);

/** Writes what comes behind the last message. */
MAIL_API int mail_queue_print_end(mail_queue_printer *printer);

/** The name of a number of the queue's statistics, and where it lies: for tables. NULL: no more. */
MAIL_API const char *mail_queue_stats_name(size_t index);
MAIL_API uint64_t mail_queue_stats_value(const mail_queue_stats *stats, size_t index);

#ifdef __cplusplus
}
#endif

#endif
