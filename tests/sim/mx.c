/* SPDX-License-Identifier: MIT */
#include "sim/mx.h"

#include <stdlib.h>

#include "base/buffer.h"
#include "support/support.h"

/* More in one transaction are refused for now. */
#define RCPTS 50

/* What the second kind of host takes, and says so. */
#define SMALL_BYTES 61440

typedef struct session {
    sim_mx *mx;
    struct sim_end *end;
    buffer in;
    bool in_data;
    bool is_mute; /* from now on */
    bool has_sender;
    unsigned count;
    char rcpts[RCPTS][64];
} session;

static void reply(const session *ss, const char *text)
{
    if (!ss->is_mute) {
        sim_end_write(ss->end, mail_span_text(text));
    }
}

static void free_session(session *ss)
{
    buffer_deinit(&ss->in);
    free(ss);
}

static void *on_open(struct sim_end *end, void *arg)
{
    session *ss = calloc(1, sizeof(*ss));

    assert_non_null(ss);
    ss->mx = arg;
    ss->end = end;
    buffer_init(&ss->in, NULL, (size_t)1 << 20);
    if (sim_chance(ss->mx->host.world, ss->mx->faults.unwelcoming)) {
        reply(ss, sim_below(ss->mx->host.world, 2) == 0 ? "421 4.3.2 Not today\r\n"
                                                        : "554 5.3.2 Never\r\n");
    } else {
        reply(ss, "220-mx\r\n220 ESMTP\r\n");
    }
    return ss;
}

static void on_end(void *state)
{
    free_session(state);
}

static void leave(session *ss)
{
    sim_end_close(ss->end);
    free_session(ss);
}

/* Whether something else than the ordinary reply was given; then `*gone` if the session has ended. */
static bool misbehaves(session *ss, bool *gone)
{
    const sim_mx_faults *faults = &ss->mx->faults;
    sim_world *world = ss->mx->host.world;

    if (sim_chance(world, faults->closes)) {
        leave(ss);
        *gone = true;
        return true;
    }
    if (sim_chance(world, faults->transient)) {
        reply(ss, "451 4.3.0 Not now\r\n");
        return true;
    }
    if (sim_chance(world, faults->permanent)) {
        reply(ss, "550 5.7.1 Not at all\r\n");
        return true;
    }
    ss->is_mute = ss->is_mute || sim_chance(world, faults->silent);
    return ss->is_mute;
}

static bool starts(mail_span line, const char *verb)
{
    return line.length >= strlen(verb) &&
           mail_span_equal_nocase(mail_span_first(line, strlen(verb)), mail_span_text(verb));
}

static void add_rcpt(session *ss, mail_span line)
{
    const char *from = memchr(line.data, '<', line.length);
    const char *to = memchr(line.data, '>', line.length);

    assert_true(from != NULL && to != NULL);
    if (ss->count == RCPTS) {
        reply(ss, "452 4.5.3 Too many recipients\r\n");
        return;
    }
    snprintf(ss->rcpts[ss->count++], sizeof(ss->rcpts[0]), "%.*s", (int)(to - from - 1), from + 1);
    reply(ss, "250 2.1.5 OK\r\n");
}

static void greet(const session *ss)
{
    reply(ss, "250-mx\r\n250-PIPELINING\r\n250-8BITMIME\r\n");
    reply(ss, ss->mx->is_plain ? "250-SIZE 61440\r\n" : "250-SMTPUTF8\r\n");
    reply(ss, "250 ENHANCEDSTATUSCODES\r\n");
}

static void reset(session *ss)
{
    ss->has_sender = false;
    ss->count = 0;
}

/* False: the session is gone. */
static bool on_line(session *ss, mail_span line)
{
    bool gone = false;

    if (starts(line, "QUIT")) {
        reply(ss, "221 2.0.0 Bye\r\n");
        leave(ss);
        return false;
    }
    if (starts(line, "RSET")) {
        reset(ss);
        reply(ss, "250 2.0.0 OK\r\n");
    } else if (misbehaves(ss, &gone)) {
        return !gone;
    } else if (starts(line, ss->mx->lmtp ? "LHLO" : "EHLO")) {
        greet(ss);
    } else if (starts(line, "MAIL")) {
        reset(ss);
        ss->has_sender = true;
        reply(ss, "250 2.1.0 OK\r\n");
    } else if (starts(line, "RCPT") && ss->has_sender) {
        add_rcpt(ss, line);
    } else if (starts(line, "DATA") && ss->count > 0) {
        ss->in_data = true;
        reply(ss, "354 Go ahead\r\n");
    } else {
        reply(ss, "503 5.5.1 Not now\r\n");
    }
    return true;
}

/* The text without the dots that the way has put in front. */
static char *unstuff(mail_span data, size_t *length)
{
    char *text = malloc(data.length + 1);
    bool at_start = true;

    assert_non_null(text);
    *length = 0;
    for (size_t i = 0; i < data.length; i++) {
        if (!at_start || data.data[i] != '.') {
            text[(*length)++] = data.data[i];
        }
        at_start = data.data[i] == '\n';
    }
    text[*length] = '\0';
    return text;
}

/* One verdict for all; false: the session is gone. */
static bool take_all(session *ss, mail_span text)
{
    bool gone = false;

    if (misbehaves(ss, &gone)) {
        return !gone;
    }
    if (ss->mx->is_plain && text.length > SMALL_BYTES) {
        reply(ss, "552 5.3.4 Too large\r\n");
        return true;
    }
    for (unsigned i = 0; i < ss->count; i++) {
        sim_ledger_taken(ss->mx->ledger, ss->rcpts[i], text);
    }
    if (sim_chance(ss->mx->host.world, ss->mx->faults.closes_after_dot)) {
        leave(ss);
        return false;
    }
    reply(ss, "250 2.0.0 Taken\r\n");
    return true;
}

/* A verdict for each (RFC 2033, section 4.2). */
static bool take_each(session *ss, mail_span text)
{
    bool gone = false;

    for (unsigned i = 0; i < ss->count; i++) {
        if (misbehaves(ss, &gone)) {
            if (gone) {
                return false;
            }
            continue;
        }
        sim_ledger_taken(ss->mx->ledger, ss->rcpts[i], text);
        if (sim_chance(ss->mx->host.world, ss->mx->faults.closes_after_dot)) {
            leave(ss);
            return false;
        }
        reply(ss, "250 2.0.0 Taken\r\n");
    }
    return true;
}

/* All of a message has come; false: the session is gone. */
static bool on_dot(session *ss, mail_span data)
{
    size_t length;
    char *text = unstuff(data, &length);
    bool goes_on = (ss->mx->lmtp ? take_each : take_all)(ss, mail_span_of(text, length));

    if (goes_on) {
        ss->in_data = false;
        reset(ss);
    }
    free(text);
    return goes_on;
}

static void on_bytes(struct sim_end *end, mail_span bytes, void *state)
{
    session *ss = state;
    bool goes_on = true;

    (void)end;
    assert_int_equal(buffer_append(&ss->in, bytes), MAIL_OK);
    while (goes_on) {
        mail_span in = buffer_bytes(&ss->in);
        const char *mark = ss->in_data ? "\r\n.\r\n" : "\r\n";
        const char *found = in.length > 0 ? memmem(in.data, in.length, mark, strlen(mark)) : NULL;
        size_t length;
        char *copy;

        if (found == NULL) {
            return;
        }
        length = (size_t)(found - in.data) + (ss->in_data ? 2 : 0);
        copy = malloc(length + 1);
        assert_non_null(copy);
        memcpy(copy, in.data, length);
        buffer_consume(&ss->in, (size_t)(found - in.data) + strlen(mark));
        goes_on = ss->in_data ? on_dot(ss, mail_span_of(copy, length))
                              : on_line(ss, mail_span_of(copy, length));
        free(copy);
    }
}

void sim_mx_start(sim_mx *mx, sim_world *world, sim_ledger *ledger, sim_mx_kind kind,
                  mail_ip address)
{
    *mx = (sim_mx){.ledger = ledger,
                   .is_plain = kind == SIM_MX_PLAIN,
                   .lmtp = kind == SIM_MX_LMTP,
                   .actor = {on_open, on_bytes, on_end, mx}};
    sim_host_init(&mx->host, world, "mx", address);
    mx->listener = sim_actor_listen(&mx->host, mx->lmtp ? 24 : 25, &mx->actor);
}

void sim_mx_stop(sim_mx *mx)
{
    sim_actor_unlisten(mx->listener);
    sim_host_cut(&mx->host, false); /* those that wait for what never comes */
}
