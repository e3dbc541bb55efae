/* SPDX-License-Identifier: MIT */
#ifndef LIB_NET_LINK_H
#define LIB_NET_LINK_H

#include <mail/loop.h>

#include "base/buffer.h"
#include "net/filter.h"
#include "net/socket.h"

/*
 * A link moves bytes between a descriptor and whoever owns it: an engine and what
 * surrounds it. These are called from a turn of the link; `out`, `sent`, `wants` and
 * `deadline` also from net_link_kick. Any of them may close the link.
 */
typedef struct net_link_ops {
    /* Uses what it can of `in`, which may be empty. While it does not want to
     * read, the rest is kept; else the rest comes again with more behind it. */
    void (*feed)(void *arg, mail_time now, mail_span in, size_t *used);
    void (*eof)(void *arg, mail_time now);  /* once: no more input will come */
    void (*tick)(void *arg, mail_time now); /* the deadline has come */
    mail_span (*out)(void *arg);
    void (*sent)(void *arg, mail_time now, size_t n);
    unsigned (*wants)(void *arg); /* MAIL_WANTS_…; 0: it is over, `out` is empty */
    mail_time (*deadline)(void *arg);
    void (*closed)(void *arg); /* last: the link holds nothing any more and may be freed */
} net_link_ops;

/*
 * An idle link holds no buffer: it reads to the stack, and what the owner leaves
 * is kept in a block that is given back once used.
 */
typedef struct net_link {
    const mail_sockets *net;
    mail_loop *loop;
    const net_link_ops *ops;
    void *arg;
    mail_filter *filter; /* NULL: the wire is the owner's */
    mail_watch *watch;
    mail_timer *timer;
    mail_time armed_at; /* when `timer` comes: at or before the deadline */
    buffer held;        /* what was read and not used */
    int fd;
    uint32_t drained; /* octets thrown away while lingering */
    uint8_t interest;
    bool in_turn;
    bool again;     /* kicked in a turn */
    bool is_closed; /* `closed` comes at the end of the turn, or has come */
    bool saw_eof;   /* the owner was told */
    bool said_end;  /* to the filter: no more will be written */
    bool is_broken; /* nothing can be sent any more */
    bool lingers;   /* once it is over */
    bool is_secret; /* what the owner is being given */
    bool lingering;
} net_link;

/* `net` NULL: the system's. Ownership: takes `fd` if it succeeds. MAIL_ENOMEM, MAIL_ESYS. */
int net_link_init(net_link *ln, const mail_sockets *net, mail_loop *loop, const mail_mem *mem,
                  int fd, const net_link_ops *ops, void *arg);

/* Closes the descriptor. Only `closed` comes after it: from within, or in a turn at its end. */
void net_link_close(net_link *ln);

/* What was read already comes before all that the descriptor gives. Before the first turn. */
void net_link_preload(net_link *ln, mail_span bytes);

/* Makes a turn now. Only from a callback of the loop. */
void net_link_run(net_link *ln);

/* The same for the first turn, which looks for what came before anything was said. */
void net_link_start(net_link *ln);

/* Makes a turn in the next round. From anywhere. */
void net_link_soon(net_link *ln);

/* The same for a callback that may come late: `link` is a net_link, and a closed one has no turn. */
void net_link_wake(void *link);

/*
 * Something has changed: there is more in `out`, an answer was given, room came. Sends
 * at once what there is; calls `feed` only in a turn to come. From anywhere.
 */
void net_link_kick(net_link *ln);

/*
 * From now on all bytes pass through `filter`; input that is held is thrown away.
 * RFC 3207, section 6: what came in clear before TLS must not be taken for more.
 *
 * Ownership: borrows until `closed`.
 */
void net_link_set_filter(net_link *ln, mail_filter *filter);

/* From within `feed`: what it was given is secret, and wiped once it is done with. */
static inline void net_link_keep_secret(net_link *ln)
{
    ln->is_secret = true;
}

/* Whoever does not read them for so long does not want to hear our last words. */
#define NET_LAST_WORDS (30 * MAIL_SECOND)

/*
 * Once it is over, reads and drops what the peer still sends for a moment, so that
 * our last reply is not lost to the reset that closing would provoke (RFC 9293, 3.6.1).
 */
static inline void net_link_linger(net_link *ln)
{
    ln->lingers = true;
}

#endif
