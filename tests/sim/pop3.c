/* SPDX-License-Identifier: MIT */
#include "sim/pop3.h"

#include <stdlib.h>

#include "base/buffer.h"
#include "support/support.h"

#define MESSAGES 200

/* What is awaited: the reply to what was sent. */
typedef enum pop3_state {
    EXPECT_GREETING,
    EXPECT_USER,
    EXPECT_PASS,
    EXPECT_UIDL,
    EXPECT_LIST,
    EXPECT_RETR,
    EXPECT_MESSAGE,
    EXPECT_DELE,
    EXPECT_QUIT
} pop3_state;

struct sim_pop3 {
    sim_pop3_options opts;
    char user[MAIL_PATH_MAX + 1];
    char password[64];
    struct sim_end *end;
    sim_actor actor;
    sim_event patience;
    pop3_state state;
    buffer in;
    buffer text; /* of a message */
    unsigned count;
    unsigned at;
    char uids[MESSAGES][72];
};

static void finish(sim_pop3 *ps, bool is_well)
{
    const sim_pop3_options opts = ps->opts;

    sim_event_unset(opts.from->world, &ps->patience);
    buffer_deinit(&ps->in);
    buffer_deinit(&ps->text);
    free(ps);
    opts.on_over(is_well, opts.arg);
}

static void leave(sim_pop3 *ps, bool is_well)
{
    sim_end_close(ps->end);
    finish(ps, is_well);
}

static void on_patience(void *arg)
{
    leave(arg, false);
}

static void say(const sim_pop3 *ps, const char *format, ...) MAIL_PRINTF(2, 3);

static void say(const sim_pop3 *ps, const char *format, ...)
{
    char line[MAIL_PATH_MAX + 16];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    sim_end_write(ps->end, mail_span_of(line, (size_t)n));
}

static void quit(sim_pop3 *ps)
{
    ps->state = EXPECT_QUIT;
    if (ps->opts.on_quit != NULL) {
        ps->opts.on_quit(ps->opts.arg);
    }
    say(ps, "QUIT\r\n");
}

static void retrieve(sim_pop3 *ps)
{
    if (ps->at == ps->count) {
        quit(ps);
        return;
    }
    ps->state = EXPECT_RETR;
    buffer_clear(&ps->text, 0);
    say(ps, "RETR %u\r\n", ps->at + 1);
}

static void see_message(sim_pop3 *ps)
{
    mail_span text;

    assert_int_equal(buffer_append(&ps->text, mail_span_of("", 1)), MAIL_OK);
    text = mail_span_first(buffer_bytes(&ps->text), buffer_length(&ps->text) - 1);
    if (ps->opts.on_message(ps->uids[ps->at++], text, ps->opts.arg)) {
        ps->state = EXPECT_DELE;
        say(ps, "DELE %u\r\n", ps->at);
    } else {
        retrieve(ps);
    }
}

static void add_uid(sim_pop3 *ps, mail_span line)
{
    const char *blank = memchr(line.data, ' ', line.length);

    if (ps->count < MESSAGES) {
        snprintf(ps->uids[ps->count++], sizeof(ps->uids[0]), "%.*s",
                 (int)(line.data + line.length - blank - 1), blank + 1);
    }
}

static void add_line(sim_pop3 *ps, mail_span line)
{
    mail_span text = line.length > 0 && line.data[0] == '.' ? mail_span_from(line, 1) : line;

    assert_int_equal(buffer_append(&ps->text, text), MAIL_OK);
    assert_int_equal(buffer_append(&ps->text, MAIL_SPAN("\r\n")), MAIL_OK);
}

/* A line of a list or a message, or the dot behind it. */
static void on_data(sim_pop3 *ps, mail_span line)
{
    if (!mail_span_equal(line, MAIL_SPAN("."))) {
        (ps->state == EXPECT_LIST ? add_uid : add_line)(ps, line);
    } else if (ps->state == EXPECT_LIST) {
        retrieve(ps);
    } else {
        see_message(ps);
    }
}

/* False: the session is gone. */
static bool on_reply(sim_pop3 *ps, bool is_good)
{
    if (!is_good || sim_chance(ps->opts.from->world, ps->opts.leaves)) {
        leave(ps, false);
        return false;
    }
    switch (ps->state) {
    case EXPECT_GREETING:
        ps->state = EXPECT_USER;
        say(ps, "USER %s\r\n", ps->user);
        break;
    case EXPECT_USER:
        ps->state = EXPECT_PASS;
        say(ps, "PASS %s\r\n", ps->password);
        break;
    case EXPECT_PASS:
        ps->state = EXPECT_UIDL;
        say(ps, "UIDL\r\n");
        break;
    case EXPECT_UIDL:
        ps->state = EXPECT_LIST;
        break;
    case EXPECT_RETR:
        ps->state = EXPECT_MESSAGE;
        break;
    case EXPECT_DELE:
        retrieve(ps);
        break;
    case EXPECT_QUIT:
        leave(ps, true);
        return false;
    case EXPECT_LIST:
    case EXPECT_MESSAGE:
        break;
    }
    return true;
}

static void on_bytes(struct sim_end *end, mail_span bytes, void *state)
{
    sim_pop3 *ps = state;
    bool goes_on = true;

    (void)end;
    assert_int_equal(buffer_append(&ps->in, bytes), MAIL_OK);
    while (goes_on) {
        mail_span in = buffer_bytes(&ps->in);
        const char *found = in.length > 0 ? memmem(in.data, in.length, "\r\n", 2) : NULL;
        char line[1100];
        size_t length;

        if (found == NULL) {
            return;
        }
        length = (size_t)(found - in.data);
        assert_true(length < sizeof(line));
        memcpy(line, in.data, length);
        buffer_consume(&ps->in, length + 2);
        if (ps->state == EXPECT_LIST || ps->state == EXPECT_MESSAGE) {
            on_data(ps, mail_span_of(line, length));
        } else {
            goes_on = on_reply(ps, length > 0 && line[0] == '+');
        }
    }
}

static void *on_open(struct sim_end *end, void *arg)
{
    sim_pop3 *ps = arg;

    (void)end;
    return ps;
}

static void on_end(void *state)
{
    finish(state, false);
}

void sim_pop3_start(const sim_pop3_options *opts)
{
    sim_world *world = opts->from->world;
    sim_pop3 *ps = calloc(1, sizeof(*ps));

    assert_non_null(ps);
    ps->opts = *opts;
    snprintf(ps->user, sizeof(ps->user), "%s", opts->user);
    snprintf(ps->password, sizeof(ps->password), "%s", opts->password);
    ps->actor = (sim_actor){on_open, on_bytes, on_end, ps};
    ps->patience = (sim_event){.fn = on_patience, .arg = ps};
    buffer_init(&ps->in, NULL, (size_t)1 << 20);
    buffer_init(&ps->text, NULL, (size_t)1 << 20);
    ps->end = sim_actor_dial(opts->from, &opts->to, &ps->actor);
    sim_event_set(world, &ps->patience, world->now + opts->patience);
}
