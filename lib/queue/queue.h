/* SPDX-License-Identifier: MIT */
#ifndef LIB_QUEUE_QUEUE_H
#define LIB_QUEUE_QUEUE_H

#include <mail/queue.h>

#include <pthread.h>
#include <stdatomic.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/random.h"
#include "base/table.h"
#include "queue/due.h"
#include "queue/head.h"
#include "queue/storage.h"

/* Beside the flags of an outcome, which are written down: */
enum {
    QUEUE_LEASED = 16,
    QUEUE_REMOVING = 32 /* an operator removed it while it was leased */
};

/* What one recipient's state weighs in the log, about. */
#define QUEUE_OUTCOME_WEIGHT 64

/*
 * What the queue knows of a message without looking at the disk. Addresses and texts
 * stay there: a million of these must fit into memory.
 */
typedef struct queue_recipient {
    due_node due;           /* in its lane's heap while it waits */
    list in_lane;           /* oldest first */
    struct mail_lane *lane; /* NULL once done */
    queue_place outcome;    /* the last record about it; 0: none */
    uint32_t index;         /* in its message */
    uint16_t attempts;
    uint8_t flags; /* QUEUE_DONE … */
} queue_recipient;

typedef struct queue_message {
    table_entry by_id; /* its hash is the id */
    list in_order;     /* oldest first */
    queue_place place;
    uint64_t size;
    mail_wall arrival;
    uint64_t number; /* grows along `in_order`; in recovery: the sequence of its last record */
    uint32_t arrival_tick;
    uint32_t head_length;
    uint32_t sender_hash;
    uint32_t count;
    uint32_t open;   /* recipients not done */
    uint32_t leased; /* recipients leased */
    uint8_t flags;   /* QUEUE_HEAD_… */
    queue_recipient recipients[];
} queue_message;

struct mail_lane {
    table_entry by_domain;
    due_node due; /* in the queue's heap while something waits and nobody has taken it */
    due_heap waiting;
    list recipients;
    list *noticed; /* up to this one every recipient has had its notice of delay; NULL: none */
    mail_queue *queue;
    mail_time not_before;
    uint32_t uses;  /* recipients, and the taker; guarded by lanes_lock */
    uint32_t round; /* of the operator's last word that took back a putting off */
    bool is_taken;
    size_t domain_length;
    char domain[];
};

struct mail_queue {
    const mail_mem *mem;
    const mail_log *log;
    mail_queue_options opts; /* every default filled in */
    queue_store *store;
    hash_seed seed;
    mail_time tick_zero; /* when the spool's clock stood at 0 */
    int large_dir;       /* for large bodies; -1: there are none */

    _Atomic uint64_t next_id;
    _Atomic uint64_t promised_bytes; /* announced for messages being written */
    _Atomic uint64_t filling_bytes;  /* of memory for messages being written */
    _Atomic uint64_t waiting_bytes;  /* of finished messages that are not safe yet */

    pthread_mutex_t lanes_lock;
    table lanes;

    pthread_mutex_t lock; /* of what the writer leaves for others: */
    pthread_cond_t unwoken;
    list intakes;
    _Atomic unsigned intake_count;
    list arrived; /* messages that are safe and not in the index yet */
    list settled; /* the owner's records */
    bool due_told;

    /* The owner's alone from here on. */
    table messages;
    list order;
    uint64_t numbered; /* the last number that a message was given */
    list *walk; /* how far a checkpoint has got in `order`; NULL: none is being written */
    due_heap lanes_due;
    mail_time keep_at;
    uint32_t round; /* of an operator's words */
    uint32_t flushes;
    mail_time fresh_due; /* the last that queue_fresh_due gave */
    mail_queue_stats stats;
};

/*
 * A queue opened as `manual` has no threads: what they would do waits for this call, which
 * does it until nothing is left. For simulations, whose every step must be repeatable.
 */
void queue_step(mail_queue *queue);

/* queue.c. The spool's own clock goes on by the monotonic one and is kept in every record. */
mail_time queue_now(const mail_queue *queue);
mail_wall queue_wall(const mail_queue *queue);
/* Housekeeping may have something to do. */
void queue_keep_soon(mail_queue *queue);
/* Empties the index; the storage still has what it had. */
void queue_forget_messages(mail_queue *queue);
uint32_t queue_tick(const mail_queue *queue, mail_time now);
mail_time queue_instant(const mail_queue *queue, uint32_t tick);

/* lane.c. The lane of an address, made if need be, once more in use. Any thread; MAIL_ENOMEM. */
int queue_lane_use(mail_queue *queue, mail_span address, mail_lane **out);
void queue_lane_drop(mail_lane *lane);
/* An existing lane, in use until dropped; or NULL. */
mail_lane *queue_lane_find(mail_queue *queue, mail_span domain);
/* Puts a recipient into its lane, to be due at `due` unless it is held. */
void queue_lane_join(mail_lane *lane, queue_recipient *recipient, mail_time due);
void queue_lane_leave(queue_recipient *recipient);
/* Put off until an operator wants it, or somebody who says where mail goes. */
static inline bool queue_lane_is_kept(const mail_lane *lane)
{
    return lane->not_before == MAIL_NEVER;
}
/* How many recipients wait in lanes that are kept. */
uint64_t queue_lanes_kept(mail_queue *queue);
void queue_lane_wait(queue_recipient *recipient, mail_time due);
void queue_lane_stop_waiting(queue_recipient *recipient);

/* index.c */
queue_message *queue_message_create(mail_queue *queue, uint64_t id, uint32_t count);
void queue_message_destroy(mail_queue *queue, queue_message *message);
queue_message *queue_message_of(const queue_recipient *recipient);
uint32_t queue_message_weight(const queue_message *message);
uint64_t queue_message_id(const queue_message *message);
queue_message *queue_index_find(const mail_queue *queue, uint64_t id);
int queue_index_add(mail_queue *queue, queue_message *message);
void queue_index_remove(mail_queue *queue, queue_message *message);
/* The recipient is done: it leaves its lane. */
void queue_index_close(mail_queue *queue, queue_recipient *recipient);
/* Takes over what other threads have left. */
void queue_drain(mail_queue *queue);
uint32_t queue_sender_hash(mail_span sender);

/* note.c. The new states of some recipients of a message, to be written down together. */
queue_record *queue_note_begin(const mail_queue *queue, const queue_message *message,
                               uint32_t count);
/* Room was made at the start; without memory for `reply` it is left out. */
void queue_note_add(const mail_queue *queue, queue_record *note, const queue_recipient *recipient,
                    mail_span reply);
/* Writes it, or that the message is done, which then goes from the index. */
void queue_note_commit(mail_queue *queue, queue_record *note, queue_message *message);
void queue_set_held(mail_queue *queue, queue_recipient *recipient, bool is_held);

/* read.c. A message's record as far as it was read; `data` is the caller's to free. */
typedef struct queue_loaded {
    queue_header header;
    queue_head head;
    char *data;
    size_t length;
    mail_span body; /* all of it, checked, if it was short; else data NULL */
} queue_loaded;

int queue_load(mail_queue *queue, const queue_message *message, queue_loaded *out);
void queue_unload(mail_queue *queue, queue_loaded *loaded);
/* The replies that lie in the outcome record at `place`; `*data_out` as above. */
int queue_load_outcomes(mail_queue *queue, queue_place place, char **data_out, size_t *length_out);
int queue_body_open(mail_queue *queue, const queue_message *message, const queue_loaded *loaded,
                    mail_source **out);
/* The record can't be read: it is put aside and the message given up. */
void queue_give_up(mail_queue *queue, queue_message *message);

/* schedule.c */
mail_time queue_fresh_due(mail_queue *queue, uint32_t arrival_tick);
mail_time queue_retry_at(const mail_queue *queue, const queue_message *message,
                         const queue_recipient *recipient, mail_time now);
bool queue_is_older(const mail_queue *queue, const queue_message *message, mail_duration age,
                    mail_time now);

#endif
