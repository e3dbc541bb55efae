/* SPDX-License-Identifier: MIT */
#ifndef LIB_NET_GUESSES_H
#define LIB_NET_GUESSES_H

#include <mail/rate.h>

#include "base/list.h"
#include "base/table.h"

/*
 * How often wrong passwords were tried of late, by key: a bucket each, so many in a row and one
 * more every so often. A key is a hash of 64 bits with a secret seed, of a host or of a name:
 * nobody can choose one that is another's. At most `max` are kept; what is full again and has
 * been left alone for `memory`, and else what was left alone for longest, makes room.
 */
typedef struct net_guesses {
    const mail_mem *mem;
    table by_key;
    list recent; /* the one left alone for longest first */
    mail_rate fresh;
    size_t max;
    mail_duration memory;
} net_guesses;

/* MAIL_EINVAL for a burst and interval that mail_rate_init refuses. */
int net_guesses_init(net_guesses *gs, const mail_mem *mem, size_t max, mail_duration memory,
                     const mail_rate_options *rate);
void net_guesses_deinit(net_guesses *gs);

/* One more try. MAIL_OK; MAIL_EAGAIN: too many of late; MAIL_ENOMEM. */
int net_guesses_take(net_guesses *gs, uint64_t key, mail_time now);

/* It was none of a wrong password. */
void net_guesses_give(net_guesses *gs, uint64_t key, mail_time now);

/* Remembers the key without holding anything against it, as well as memory allows. */
void net_guesses_note(net_guesses *gs, uint64_t key, mail_time now);

/* Whether it is remembered. */
bool net_guesses_knows(const net_guesses *gs, uint64_t key);

/* Whether the next `take` would find too many. */
bool net_guesses_is_barred(const net_guesses *gs, uint64_t key, mail_time now);

/* How many are held against it now. */
uint32_t net_guesses_count(const net_guesses *gs, uint64_t key, mail_time now);

#endif
