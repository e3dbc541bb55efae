/* SPDX-License-Identifier: MIT */
#include "net/link.h"

#include <assert.h>
#include <errno.h>

/*
 * A turn is: give the owner what came, send what it has to say, and again while
 * either moved something; then say what is waited for. So all replies to a
 * group of commands leave in one write, and a short read or write ends its
 * part without a further system call that would only say EAGAIN.
 *
 * Each part of a turn is bounded, so that one busy peer does not hold up the rest.
 */

#define READ_SIZE    ((size_t)32 * 1024)
#define READ_LEAST   ((size_t)4 * 1024) /* of room behind what is held */
#define TURN_READS   4
#define TURN_WRITES  16
#define TURN_PASSES  32
#define LINGER_TIME  (2 * MAIL_SECOND)
#define LINGER_BYTES (1024U * 1024U)

/* What goes on in one turn. */
typedef struct turn {
    mail_time now;
    bool readable;   /* the descriptor was, and was not yet read empty */
    bool is_full;    /* it takes no more */
    unsigned reads;  /* left */
    unsigned writes; /* left */
} turn;

static bool wants_read(const net_link *ln)
{
    return !ln->saw_eof && !ln->is_closed && (ln->ops->wants(ln->arg) & MAIL_WANTS_READ) != 0;
}

/* Whether there is input that the owner has not used yet. */
static bool has_input(const net_link *ln)
{
    return buffer_length(&ln->held) > 0 ||
           (ln->filter != NULL && ln->filter->ops->plain(ln->filter).length > 0);
}

static void drop_held(net_link *ln)
{
    if (ln->is_secret) {
        buffer_wipe(&ln->held);
    } else {
        buffer_clear(&ln->held, 0);
    }
}

static void tell_eof(net_link *ln, turn *tn)
{
    if (!ln->saw_eof && !ln->is_closed) {
        ln->saw_eof = true;
        drop_held(ln);
        ln->ops->eof(ln->arg, tn->now);
    }
}

/* Plain bytes lie in the filter until the owner has use for them. */
static size_t give_plain(net_link *ln, turn *tn)
{
    mail_span plain = ln->filter->ops->plain(ln->filter);
    size_t used = 0;

    ln->ops->feed(ln->arg, tn->now, plain, &used);
    ln->filter->ops->drop(ln->filter, used);
    return used;
}

static size_t give_filtered(net_link *ln, turn *tn, mail_span in)
{
    size_t total = 0;
    bool moved = true;

    while (moved) {
        size_t used = 0;

        moved = give_plain(ln, tn) > 0;
        if (total < in.length && wants_read(ln)) {
            if (ln->filter->ops->feed(ln->filter, tn->now, mail_span_from(in, total), &used) !=
                MAIL_OK) {
                tell_eof(ln, tn);
                return in.length;
            }
            total += used;
            moved = moved || used > 0;
        }
    }
    return total;
}

/* Gives `in` to the owner; how much of it is done with. */
static size_t give(net_link *ln, turn *tn, mail_span in)
{
    mail_filter *before = ln->filter;
    size_t used = 0;

    if (before != NULL) {
        return give_filtered(ln, tn, in);
    }
    ln->ops->feed(ln->arg, tn->now, in, &used);
    if (ln->filter != before) {
        used = in.length; /* what followed STARTTLS in clear is not what the peer says in TLS */
    }
    return used;
}

static bool give_held(net_link *ln, turn *tn)
{
    mail_span held = buffer_bytes(&ln->held);
    size_t used = give(ln, tn, held);

    if (used > 0 && buffer_length(&ln->held) > 0) { /* not dropped by an eof */
        if (ln->is_secret) {
            explicit_bzero((char *)(uintptr_t)held.data, used);
        }
        buffer_consume(&ln->held, used);
    }
    if (buffer_length(&ln->held) == 0) {
        drop_held(ln);
    }
    ln->is_secret = false;
    return used > 0;
}

/* Without memory for the rest the stream has a hole: nothing after it may be believed. */
static void hold(net_link *ln, turn *tn, mail_span rest)
{
    drop_held(ln);
    if (!ln->saw_eof && buffer_append(&ln->held, rest) != MAIL_OK) {
        ln->is_broken = true;
        tell_eof(ln, tn);
    }
}

/* Reads once, behind what is held, to the stack. */
static bool read_some(net_link *ln, turn *tn)
{
    mail_span held = buffer_bytes(&ln->held);
    char bytes[READ_SIZE];
    size_t room = READ_SIZE - held.length;
    size_t length;
    size_t used;
    ssize_t n;

    if (room < READ_LEAST) { /* an owner that asks for more must be able to use so much */
        ln->is_broken = true;
        return true;
    }
    n = ln->net->ops->read(ln->net, ln->fd, bytes + held.length, room);
    tn->readable = n == (ssize_t)room;
    tn->reads--;
    if (n == -EAGAIN) {
        return false;
    }
    if (n <= 0) {
        ln->is_broken = n < 0;
        tell_eof(ln, tn);
        return true;
    }
    if (held.length > 0) {
        memcpy(bytes, held.data, held.length);
    }
    used = give(ln, tn, mail_span_of(bytes, held.length + (size_t)n));
    length = held.length + (size_t)n;
    hold(ln, tn, mail_span_of(bytes + used, length - used));
    if (ln->is_secret) {
        explicit_bzero(bytes, length);
        ln->is_secret = false;
    }
    return true;
}

static bool take_in(net_link *ln, turn *tn, bool may_say_more)
{
    bool moved = false;

    if (ln->is_broken && !ln->saw_eof) {
        tell_eof(ln, tn);
        return true;
    }
    if (ln->saw_eof) {
        return false;
    }
    if (has_input(ln)) {
        may_say_more = false;
        moved = give_held(ln, tn);
    }
    if (tn->readable && tn->reads > 0 && wants_read(ln)) {
        moved = read_some(ln, tn) || moved;
    }
    return !moved && may_say_more ? give_held(ln, tn) : moved;
}

/* Moves what the owner says into the filter, as far as there is room. */
static bool filter_out(net_link *ln, turn *tn)
{
    mail_span out = ln->ops->out(ln->arg);
    size_t room = ln->filter->ops->room(ln->filter);

    if (out.length > room) {
        out.length = room;
    }
    if (out.length == 0) {
        return true;
    }
    if (ln->filter->ops->write(ln->filter, out) != MAIL_OK) {
        return false;
    }
    ln->ops->sent(ln->arg, tn->now, out.length);
    return true;
}

static mail_span wire_out(net_link *ln, turn *tn)
{
    if (ln->filter == NULL) {
        return ln->ops->out(ln->arg);
    }
    if (!filter_out(ln, tn)) {
        ln->is_broken = true;
    }
    if (!ln->said_end && ln->ops->wants(ln->arg) == 0) {
        ln->said_end = true;
        ln->filter->ops->close(ln->filter);
    }
    return ln->filter->ops->out(ln->filter);
}

static void wire_sent(net_link *ln, turn *tn, size_t n)
{
    if (ln->filter == NULL) {
        ln->ops->sent(ln->arg, tn->now, n);
    } else {
        ln->filter->ops->sent(ln->filter, n);
    }
}

/* Once nothing can be sent, what is left goes nowhere: after eof there is an end to it. */
static ssize_t write_some(net_link *ln, mail_span out)
{
    if (!ln->is_broken) {
        return ln->net->ops->write(ln->net, ln->fd, out.data, out.length);
    }
    return ln->saw_eof ? (ssize_t)out.length : -EAGAIN;
}

static bool send_out(net_link *ln, turn *tn)
{
    bool moved = false;

    while (!ln->is_closed && !tn->is_full && tn->writes > 0) {
        mail_span out = wire_out(ln, tn);
        ssize_t n;

        if (out.length == 0) {
            moved = moved || (ln->is_broken && !ln->saw_eof); /* by the filter: it is to be told */
            break;
        }
        n = write_some(ln, out);
        tn->writes--;
        tn->is_full = n == -EAGAIN || (n >= 0 && (size_t)n < out.length);
        if (n == -EAGAIN) {
            break;
        }
        moved = true;
        if (n < 0) {
            ln->is_broken = true;
            break;
        }
        wire_sent(ln, tn, (size_t)n);
    }
    return moved;
}

static bool has_out(net_link *ln)
{
    return ln->ops->out(ln->arg).length > 0 ||
           (ln->filter != NULL && ln->filter->ops->out(ln->filter).length > 0);
}

static void set_interest(net_link *ln, unsigned interest)
{
    if (interest != ln->interest) {
        ln->interest = (uint8_t)interest;
        ln->loop->ops->watch_set(ln->watch, interest);
    }
}

/*
 * Interest in reading is given up only when something came that can't be taken:
 * most of the time the peer waits too, and a change costs two system calls.
 */
static void await(net_link *ln, bool readable)
{
    unsigned interest = 0;

    if (wants_read(ln) || ((ln->interest & MAIL_READABLE) && !readable && !ln->saw_eof)) {
        interest |= MAIL_READABLE;
    }
    if (!ln->is_broken && has_out(ln)) {
        interest |= MAIL_WRITABLE;
    }
    set_interest(ln, interest);
}

/* The timer is never put off, only brought forward: when it comes early it is set again. */
static void arm(net_link *ln, mail_time when)
{
    if (when < ln->armed_at) {
        ln->armed_at = when;
        ln->loop->ops->timer_set(ln->timer, when);
    }
}

static void release(net_link *ln)
{
    ln->is_closed = true;
    ln->loop->ops->unwatch(ln->watch);
    ln->loop->ops->untimer(ln->timer);
    ln->net->ops->close(ln->net, ln->fd);
    buffer_deinit(&ln->held);
    ln->ops->closed(ln->arg);
}

/* It is over: nothing is to be sent or taken any more. */
static void finish(net_link *ln)
{
    if (ln->lingers && !ln->is_broken && !ln->saw_eof &&
        ln->net->ops->shutdown_write(ln->net, ln->fd) == 0) {
        ln->lingering = true;
        set_interest(ln, MAIL_READABLE);
        arm(ln, mail_loop_now(ln->loop) + LINGER_TIME);
        return;
    }
    release(ln);
}

static void linger(net_link *ln)
{
    char bytes[READ_SIZE];
    ssize_t n = ln->net->ops->read(ln->net, ln->fd, bytes, sizeof(bytes));

    if (n > 0) {
        ln->drained += (uint32_t)n;
    }
    if (n == -EAGAIN || (n > 0 && ln->drained < LINGER_BYTES)) {
        return;
    }
    release(ln);
}

/*
 * Input and output in turns, until nothing moves; false: it could go on. At first, and whenever
 * there is room for it again, the owner is called without input too: it may have more to say.
 */
static bool move(net_link *ln, turn *tn)
{
    bool may_say_more = true;

    for (unsigned pass = 0; pass < TURN_PASSES && !ln->is_closed; pass++) {
        bool moved;

        ln->again = false;
        moved = take_in(ln, tn, may_say_more);
        may_say_more = send_out(ln, tn);
        moved = may_say_more || moved;
        if (!moved && !ln->again) {
            return true;
        }
    }
    return false;
}

static void make_turn(net_link *ln, bool readable, bool is_due)
{
    turn tn = {.now = mail_loop_now(ln->loop),
               .readable = readable,
               .reads = TURN_READS,
               .writes = TURN_WRITES};
    bool is_done;

    assert(!ln->in_turn && !ln->is_closed);
    ln->in_turn = true;
    if (is_due && ln->ops->deadline(ln->arg) <= tn.now) {
        ln->ops->tick(ln->arg, tn.now);
    }
    is_done = move(ln, &tn);
    ln->in_turn = false;
    if (ln->is_closed) {
        release(ln);
    } else if (ln->ops->wants(ln->arg) == 0 && !has_out(ln)) {
        finish(ln);
    } else {
        await(ln, tn.readable);
        arm(ln, is_done ? ln->ops->deadline(ln->arg) : tn.now);
    }
}

static void on_watch(unsigned events, void *arg)
{
    net_link *ln = arg;

    if (ln->lingering) {
        linger(ln);
        return;
    }
    make_turn(ln, (events & MAIL_READABLE) != 0, false);
}

static void on_timer(void *arg)
{
    net_link *ln = arg;

    ln->armed_at = MAIL_NEVER;
    if (ln->lingering) {
        release(ln);
        return;
    }
    make_turn(ln, false, true);
}

int net_link_init(net_link *ln, const mail_sockets *net, mail_loop *loop, const mail_mem *mem,
                  int fd, const net_link_ops *ops, void *arg)
{
    int code;

    *ln = (net_link){.net = net != NULL ? net : &net_system_sockets,
                     .loop = loop,
                     .ops = ops,
                     .arg = arg,
                     .armed_at = MAIL_NEVER,
                     .fd = fd};
    buffer_init(&ln->held, mem, READ_SIZE);
    code = loop->ops->watch(loop, fd, on_watch, ln, &ln->watch);
    if (code == MAIL_OK) {
        code = loop->ops->timer(loop, on_timer, ln, &ln->timer);
    }
    if (code != MAIL_OK) {
        loop->ops->unwatch(ln->watch);
    }
    return code;
}

void net_link_preload(net_link *ln, mail_span bytes)
{
    ln->is_broken = buffer_append(&ln->held, bytes) != MAIL_OK; /* see hold */
}

void net_link_close(net_link *ln)
{
    if (ln->in_turn) {
        ln->is_closed = true;
    } else {
        release(ln);
    }
}

void net_link_run(net_link *ln)
{
    make_turn(ln, false, false);
}

void net_link_start(net_link *ln)
{
    make_turn(ln, true, false);
}

void net_link_soon(net_link *ln)
{
    if (ln->in_turn) {
        ln->again = true;
    } else if (!ln->lingering) {
        arm(ln, mail_loop_now(ln->loop));
    }
}

void net_link_wake(void *link)
{
    net_link *ln = link;

    if (!ln->is_closed) {
        net_link_soon(ln);
    }
}

/* Whether there is something to do that only a turn may do. */
static bool owes_turn(net_link *ln)
{
    return ln->is_broken || ln->ops->wants(ln->arg) == 0 || (wants_read(ln) && has_input(ln));
}

void net_link_kick(net_link *ln)
{
    turn tn = {.now = mail_loop_now(ln->loop), .writes = TURN_WRITES};

    if (ln->in_turn) {
        ln->again = true;
        return;
    }
    if (ln->lingering) {
        return;
    }
    ln->in_turn = true;
    send_out(ln, &tn);
    ln->in_turn = false;
    if (ln->is_closed) {
        release(ln);
        return;
    }
    await(ln, false);
    arm(ln, owes_turn(ln) ? tn.now : ln->ops->deadline(ln->arg));
}

void net_link_set_filter(net_link *ln, mail_filter *filter)
{
    ln->filter = filter;
    buffer_clear(&ln->held, 0);
}
