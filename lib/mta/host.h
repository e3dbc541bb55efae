/* SPDX-License-Identifier: MIT */
#ifndef LIB_MTA_HOST_H
#define LIB_MTA_HOST_H

#include <mail/address.h>
#include <mail/base.h>
#include <mail/reply.h>

#include "base/hash.h"
#include "base/random.h"
#include "base/table.h"

/* The longest text kept of why a host could not be used. */
#define HOST_REPLY_SIZE 256

/* The longest name of a host, or path of a unix socket. */
#define HOST_NAME_SIZE 256

/*
 * A place to connect to, and how well that went. All destinations share them, so that a
 * host which is down is found out once and not by every domain that it serves
 * (RFC 5321, section 4.5.4.1).
 */
typedef struct host {
    table_entry by_place;
    mail_endpoint at; /* ip.family 0: `path` */
    unsigned demand;  /* what its users ask of it: who asks for more may find it useless */
    char path[HOST_NAME_SIZE];
    unsigned uses;     /* sessions and plans that point here */
    unsigned failures; /* in a row */
    mail_time down_until;
    mail_time clear_until; /* its TLS does not work: not tried before */
    bool is_local;         /* the last failure was found out by us, not told by it */
    mail_reply reply;      /* of the last failure; its text lies in `text` */
    char text[HOST_REPLY_SIZE];
} host;

typedef struct host_book {
    const mail_mem *mem;
    hash_seed seed;
    const mail_random *random; /* set after init; NULL: the system's */
    table hosts;
    size_t sweep_at; /* how many there must be before it is looked which can be forgotten */
    mail_duration backoff;
    mail_duration backoff_max;
} host_book;

void host_book_init(host_book *book, const mail_mem *mem, const hash_seed *seed,
                    mail_duration backoff, mail_duration backoff_max);
void host_book_deinit(host_book *book);

/* The host at a place, for those with the same demands; one use. NULL: no memory. */
host *host_use(host_book *book, const mail_endpoint *at, unsigned demand, mail_time now);
host *host_use_path(host_book *book, const char *path, mail_time now);

/* One use less. What failed lately is remembered. */
void host_drop(host_book *book, host *hst);

static inline bool host_is_down(const host *hst, mail_time now)
{
    return hst->down_until > now;
}

/* It did not take a message at all, for `reply`, ours or its: leaves it alone for a while. */
void host_failed(host_book *book, host *hst, const mail_reply *reply, bool is_local, mail_time now);

/* Its TLS does not work. */
static inline void host_spare_tls(host *hst, mail_time until)
{
    hst->clear_until = until;
}

/* It works. */
void host_worked(host *hst);

/* None is left alone any more: somebody knows better. What fails again rests as long as before. */
void host_book_forgive(host_book *book);

#endif
