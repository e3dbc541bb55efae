/* SPDX-License-Identifier: MIT */
#ifndef MAIL_QUEUE_H
#define MAIL_QUEUE_H

#include <mail/base.h>
#include <mail/envelope.h>
#include <mail/log.h>
#include <mail/reply.h>
#include <mail/sink.h>
#include <mail/smtp_client.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * A durable queue of messages. A message is in it exactly while its record is in
 * the log and not marked done: once an intake's `finish` has succeeded it is on the
 * disk, and a crash repeats at most the deliveries that were in flight.
 *
 * A queue blocks on files, and its writer thread is its own. All functions here
 * belong to one thread, that of the delivery agent, but for the intake: any number of
 * threads, each with a `mail_intake` of its own, may take messages in.
 */
typedef struct mail_queue mail_queue;

/** The length of a queue id's text with its final NUL. Unique for a year and across restarts. */
#define MAIL_QUEUE_ID_SIZE 20

typedef struct mail_queue_options {
    size_t size;         /* MAIL_QUEUE_OPTIONS_INIT */
    const mail_mem *mem; /* thread-safe */
    const mail_log *log; /* thread-safe; borrowed until close */
    bool in_memory;      /* keep everything in memory, nothing survives (tests, capture) */
    bool read_only;      /* for looking at a spool, owned by a process or not: takes no lock */
    /* Delays between tries, of which the last repeats; default 5m 10m 20m 30m 1h 2h 4h. */
    const mail_duration *retry;
    size_t retry_count;
    mail_duration give_up;     /* default 5 days */
    mail_duration warn_after;  /* default 4 hours */
    uint64_t segment_bytes;    /* default 64 MiB, a multiple of 4096 */
    uint64_t large_bytes;      /* a body above it gets a file of its own; default 1 MiB */
    uint64_t reserve_bytes;    /* refuse while the disk has less free; default 64 MiB */
    void (*on_due)(void *arg); /* from any thread: messages have come, due_at may be earlier */
    void *on_due_arg;
    mail_time (*now)(void *arg);  /* monotonic; NULL: CLOCK_MONOTONIC. Thread-safe */
    mail_wall (*wall)(void *arg); /* NULL: CLOCK_REALTIME. Thread-safe */
    void *clock_arg;
    const struct mail_files *files;   /* private to libmail's tests: NULL is the system's files */
    const struct mail_random *random; /* private to libmail's tests: NULL is the system's chance */
    bool manual; /* private to libmail's tests: no threads; lib/queue/queue.h says more */
    void (*on_work)(void *arg); /* private to libmail's tests: with `manual`: a step is due */
    void *on_work_arg;
    bool hand_over; /* `finish` never waits for the disk, not even for a quick one */
} mail_queue_options;

#define MAIL_QUEUE_OPTIONS_INIT                                                                    \
    {                                                                                              \
        .size = sizeof(mail_queue_options)                                                         \
    }

/**
 * Opens the spool in folder `dir` (made 0700 if missing; ignored in memory) and
 * recovers what it holds.
 *
 * Errors: MAIL_EBUSY owned by another process; MAIL_EPERM not ours; MAIL_EDAMAGED; MAIL_EVERSION; MAIL_EIO;
 * MAIL_ENOSPC; MAIL_ENOMEM; `err` says it in one line.
 */
MAIL_API int mail_queue_open(mail_queue **out, const char *dir, const mail_queue_options *opts,
                             mail_error *err);

/** Finishes what the writer has begun and closes. All intakes and leases must be gone. */
MAIL_API void mail_queue_close(mail_queue *queue);

/** One thread's door into the queue. */
typedef struct mail_intake mail_intake;

/**
 * Opens a door. `wake` is called when `mail_intake_poll` has something to do (once until it is
 * called), from the writer thread or, within `finish`, from this one: ring a bell of your loop with it.
 */
MAIL_API int mail_intake_open(mail_intake **out, mail_queue *queue, mail_wake_fn *wake, void *arg);

/** Closes it; no message may be begun and unfinished. */
MAIL_API void mail_intake_close(mail_intake *intake);

/** Runs, on this thread, the `finish` and `on_room` callbacks that have come due. */
MAIL_API void mail_intake_poll(mail_intake *intake);

/**
 * Waits until no `finish` callback is owed any more, and runs those that come due meanwhile. It takes
 * no longer than a flush of the disk: for the end of a program, whose loop runs no more.
 */
MAIL_API void mail_intake_settle(mail_intake *intake);

/**
 * Begins a message for `envelope` (copied; at least one recipient). `expected` is the
 * size to reserve, 0 unknown. The message goes into `*out`, CRLF line ends, trace fields
 * first; its `finish` gives MAIL_EAGAIN and later, through `poll`, MAIL_OK once it is on
 * the disk. While syncs take less than half a millisecond, a message that is the only one on
 * its way in through this intake is synced by `finish` itself, which then gives MAIL_OK.
 *
 * Errors: MAIL_ENOSPC (452 4.3.1), MAIL_EIO (451 4.3.0), MAIL_ENOMEM.
 */
MAIL_API int mail_intake_begin(mail_intake *intake, const mail_envelope *envelope,
                               uint64_t expected, char id[MAIL_QUEUE_ID_SIZE], mail_sink **out);

/**
 * Whether a message of `expected` octets would find room now: for the reply to MAIL.
 * Errors: MAIL_ENOSPC, MAIL_EIO. Thread-safe.
 */
MAIL_API int mail_queue_has_room(mail_queue *queue, uint64_t expected);

/**
 * A lane holds what waits for one recipient domain. It is offered when something in it
 * is due, belongs to the taker until given back, and what is deferred as a whole (a dead
 * host) costs nothing, however many messages wait in it.
 */
typedef struct mail_lane mail_lane;

/** A lane with something due that nobody has taken; NULL: none. */
MAIL_API mail_lane *mail_queue_take_lane(mail_queue *queue);

/** The domain, canonical, in lower case; empty for addresses without one. */
MAIL_API mail_span mail_lane_domain(const mail_lane *lane);

/**
 * Gives a lane back. It is not offered before `not_before`, with INT64_MIN as soon as something in
 * it is due. MAIL_NEVER keeps all that is in it and will come: it is listed as held until
 * `mail_queue_unhold`, `mail_queue_flush` or `mail_queue_offer_kept`, or a restart. The lane may be
 * gone afterwards.
 */
MAIL_API void mail_lane_give_back(mail_lane *lane, mail_time not_before);

/** Offers all lanes that were given back with MAIL_NEVER: what they were kept for may have changed. */
MAIL_API void mail_queue_offer_kept(mail_queue *queue);

/**
 * When to call `mail_queue_take_lane` again, which also does a bit of housekeeping; MAIL_NEVER:
 * not before `on_due`. May be in the past.
 */
MAIL_API mail_time mail_queue_due_at(const mail_queue *queue);

/** One message with those of its recipients that are to be tried together. */
typedef struct mail_lease mail_lease;

/**
 * Leases the next due message of a taken lane. Errors: MAIL_ENOENT none is due;
 * MAIL_EIO, MAIL_EDAMAGED (set aside and logged; ask again), MAIL_ENOMEM.
 */
MAIL_API int mail_lane_lease(mail_lane *lane, mail_lease **out);

/**
 * Leases the lane's oldest message, due or not, that has got too old (`mail_lease_expires`) or
 * lacks its notice of delay (`mail_lease_warns`). For when the lane's host has just failed: ask
 * until MAIL_ENOENT and report each with that failure, without another try. Without it what
 * waits behind a dead host would be given up no sooner than it is tried. Report each as done
 * or warned, or it comes again. Errors: as mail_lane_lease.
 */
MAIL_API int mail_lane_lease_overdue(mail_lane *lane, mail_lease **out);

/**
 * Adds the same message's recipients in other domains for which `same` says true, as far as they
 * are due or fresh and not leased: those that go to the same host in one transaction. Errors: MAIL_ENOMEM.
 */
MAIL_API int mail_lease_widen(mail_lease *lease, bool (*same)(mail_span domain, void *arg),
                              void *arg);

/** The message's queue id. Ownership: lends until the lease ends. */
MAIL_API const char *mail_lease_id(const mail_lease *lease);
/**
 * The envelope with the leased recipients only. Those with role EXPANDED, which are to be told of
 * and not to be delivered to, are in leases of their own. Ownership: lends until the lease ends.
 */
MAIL_API const mail_envelope *mail_lease_envelope(const mail_lease *lease);
/** What a client must know of the message. Ownership: lends until the lease ends. */
MAIL_API const mail_smtp_content *mail_lease_content(const mail_lease *lease);
/** When the message came into the queue. */
MAIL_API mail_wall mail_lease_arrival(const mail_lease *lease);
/** How often recipient `index` was tried before. */
MAIL_API unsigned mail_lease_attempts(const mail_lease *lease, size_t index);
/**
 * Whether recipient `index` must be given up if it cannot be delivered now: the message is too old,
 * or an operator wants no further try.
 */
MAIL_API bool mail_lease_expires(const mail_lease *lease, size_t index);
/** Whether a notice of delay is due for recipient `index`: old enough, none sent yet. */
MAIL_API bool mail_lease_warns(const mail_lease *lease, size_t index);

/**
 * Opens the message for reading, from its start, wire form. Any number of times in a lease.
 * Ownership: gives; close it before the lease ends. Errors: MAIL_EIO, MAIL_EDAMAGED, MAIL_ENOMEM.
 */
MAIL_API int mail_lease_body(mail_lease *lease, mail_source **out);

/** What is to become of a recipient. */
typedef enum mail_queue_verdict {
    MAIL_QUEUE_DONE,  /* delivered, or failed and reported: never again */
    MAIL_QUEUE_RETRY, /* try again by the schedule; `reply` is kept for the operator */
    MAIL_QUEUE_AGAIN, /* not tried: due as before */
    MAIL_QUEUE_HELD   /* not tried: held until released, then due as before */
} mail_queue_verdict;

/**
 * Says what became of recipient `index`; `reply` may be NULL. `warned`: its notice of delay has
 * been queued. Recipients not reported when the lease ends count as AGAIN.
 */
MAIL_API void mail_lease_report(mail_lease *lease, size_t index, mail_queue_verdict verdict,
                                const mail_reply *reply, bool warned);

/** When recipient `index`, reported as RETRY, will be tried next (for the log and notices). */
MAIL_API mail_wall mail_lease_next_try(const mail_lease *lease, size_t index);

/**
 * Writes down now what has been reported, and lets those recipients go: for a lease that must
 * last. Those that nothing was said of stay, each with its index. Without memory nothing
 * happens: all is written at the end.
 */
MAIL_API void mail_lease_settle(mail_lease *lease);

/** How many recipients the lease still holds. */
MAIL_API size_t mail_lease_held(const mail_lease *lease);

/** How many of the message's other recipients are leased, or could be now: this round isn't over. */
MAIL_API size_t mail_lease_others(const mail_lease *lease);

/** Writes the reports into the log (not waited for) and ends the lease. */
MAIL_API void mail_lease_end(mail_lease *lease);

/**
 * A walk through the queue in parts, so that nobody has to wait for the whole of it. Begin with
 * all zero but `limit`; each call goes on where the last one stopped. What leaves the queue between
 * the calls does no harm, and what comes after the first is not met. Ids that are given one by one
 * are all one part.
 */
typedef struct mail_queue_page {
    size_t limit; /* messages to look at, at most; required */
    /* set by the call: the last one looked at that is still there */
    char after[MAIL_QUEUE_ID_SIZE];
    uint64_t number; /* private: where the last one looked at stood */
    uint64_t end;    /* private: where the last of all stood at the beginning */
    bool is_last;    /* set by the call: nothing is behind it */
} mail_queue_page;

/** Messages an operator means. All zero: none. */
typedef struct mail_queue_selector {
    const char *const *ids;
    size_t id_count;
    mail_span domain; /* recipients in it */
    mail_span sender; /* canonical address; `<>`: the null reverse-path */
    bool all;
    mail_queue_page *page; /* NULL: as many as there are */
} mail_queue_selector;

/**
 * Each says how many messages it changed, or a negative code, and calls `on_due` if it changed any.
 * Idempotent; safe during delivery.
 */
MAIL_API int64_t mail_queue_hold(mail_queue *queue, const mail_queue_selector *which);
MAIL_API int64_t mail_queue_unhold(mail_queue *queue, const mail_queue_selector *which);
/** Due now, whatever the schedule and the back-off of its lanes say. */
MAIL_API int64_t mail_queue_flush(mail_queue *queue, const mail_queue_selector *which);
/** The same, and it is the last try: who cannot be reached by it is to be given up, and reported. */
MAIL_API int64_t mail_queue_expire(mail_queue *queue, const mail_queue_selector *which);
/** How often either was asked for: who leaves hosts alone for a while forgets it then. */
MAIL_API uint32_t mail_queue_flushes(const mail_queue *queue);
/** Without a report to anybody. */
MAIL_API int64_t mail_queue_remove(mail_queue *queue, const mail_queue_selector *which);

/** How a message stands. */
typedef enum mail_queue_state {
    MAIL_QUEUE_WAITING,
    MAIL_QUEUE_ACTIVE,
    MAIL_QUEUE_ON_HOLD,
    MAIL_QUEUE_DROPPED /* not in the queue yet: a file of <mail/drop.h> */
} mail_queue_state;

/** A recipient as the list shows it. */
typedef struct mail_queue_recipient {
    mail_span address;
    bool done;
    bool held;
    unsigned attempts;
    mail_wall next_try;
    mail_span last_reply; /* as mail_reply_print wrote it; empty: none yet */
} mail_queue_recipient;

/** A message as the list shows it. */
typedef struct mail_queue_item {
    const char *id;
    mail_queue_state state;
    mail_wall arrival;
    uint64_t size;
    mail_span sender;
    const mail_queue_recipient *recipients;
    size_t recipient_count;
} mail_queue_item;

/**
 * Shows the messages that `which` means, oldest first, to `fn` until it returns false. Spans lend for
 * the call. Errors: MAIL_ENOMEM, MAIL_EIO.
 */
MAIL_API int mail_queue_list(mail_queue *queue, const mail_queue_selector *which,
                             bool (*fn)(const mail_queue_item *item, void *arg), void *arg);

/** Opens the message `id` for reading. Errors: MAIL_ENOENT and those of mail_lease_body. */
MAIL_API int mail_queue_read(mail_queue *queue, const char *id, mail_source **out);

/** Numbers of a queue. */
typedef struct mail_queue_stats {
    uint64_t messages, recipients, held, leased; /* all but the first count recipients */
    uint64_t accepted, done, retried, removed;   /* since open */
    uint64_t syncs, bytes_written;               /* since open */
    uint64_t segments_live, segments_free, log_bytes_live;
    uint64_t damaged; /* set aside since open, which sees most of it */
    uint64_t dropped; /* messages in `drop`: only mail_operator_stats looks there */
} mail_queue_stats;

/** Reads them. */
MAIL_API void mail_queue_stats_read(mail_queue *queue, mail_queue_stats *out);

#ifdef __cplusplus
}
#endif

#endif
