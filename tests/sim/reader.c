/* SPDX-License-Identifier: MIT */
#include "sim/reader.h"

#include <stdlib.h>

#include "base/buffer.h"
#include "sim/town.h"
#include "support/support.h"

#define MESSAGES 200

/* How long a session may last before it is broken off. */
#define PATIENCE (20 * MAIL_MINUTE)

/* What is awaited: the reply to what was sent. */
typedef enum reader_state {
    EXPECT_GREETING,
    EXPECT_USER,
    EXPECT_PASS,
    EXPECT_UIDL,
    EXPECT_LIST,
    EXPECT_RETR,
    EXPECT_MESSAGE,
    EXPECT_DELE,
    EXPECT_QUIT
} reader_state;

typedef struct reader {
    sim_readers *all;
    struct sim_end *end; /* NULL: not open yet */
    sim_actor actor;
    sim_event patience;
    reader_state state;
    unsigned host;
    unsigned user;
    buffer in;
    buffer text; /* of a message */
    unsigned count;
    unsigned at;
    char uids[MESSAGES][72];
    sim_copy *marked[MESSAGES]; /* deleted, if QUIT goes well */
    unsigned marked_count;
} reader;

static void free_reader(reader *rd)
{
    rd->all->open--;
    sim_event_unset(rd->all->world, &rd->patience);
    buffer_deinit(&rd->in);
    buffer_deinit(&rd->text);
    free(rd);
}

static void leave(reader *rd)
{
    sim_end_close(rd->end);
    free_reader(rd);
}

static void on_patience(void *arg)
{
    leave(arg);
}

static void say(const reader *rd, const char *format, ...) MAIL_PRINTF(2, 3);

static void say(const reader *rd, const char *format, ...)
{
    char line[128];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    sim_end_write(rd->end, mail_span_of(line, (size_t)n));
}

static void quit(reader *rd)
{
    rd->state = EXPECT_QUIT;
    for (unsigned i = 0; i < rd->marked_count; i++) {
        rd->marked[i]->may_go = true;
    }
    say(rd, "QUIT\r\n");
}

static void retrieve(reader *rd)
{
    if (rd->at == rd->count) {
        quit(rd);
        return;
    }
    rd->state = EXPECT_RETR;
    buffer_clear(&rd->text, 0);
    say(rd, "RETR %u\r\n", rd->at + 1);
}

static void see_message(reader *rd)
{
    char user[16];
    char domain[32];
    sim_copy *copy;

    snprintf(user, sizeof(user), "user%u", rd->user);
    snprintf(domain, sizeof(domain), "h%u.example", rd->host);
    assert_int_equal(buffer_append(&rd->text, mail_span_of("", 1)), MAIL_OK);
    copy =
        sim_ledger_seen(rd->all->ledger, user, domain, rd->uids[rd->at],
                        mail_span_of(buffer_bytes(&rd->text).data, buffer_length(&rd->text) - 1));
    rd->all->fetched++;
    rd->at++;
    if (sim_below(rd->all->world, 10) < 8) {
        rd->state = EXPECT_DELE;
        rd->marked[rd->marked_count++] = copy;
        say(rd, "DELE %u\r\n", rd->at);
    } else {
        retrieve(rd);
    }
}

static void add_uid(reader *rd, mail_span line)
{
    const char *blank = memchr(line.data, ' ', line.length);

    if (rd->count < MESSAGES) {
        snprintf(rd->uids[rd->count++], sizeof(rd->uids[0]), "%.*s",
                 (int)(line.data + line.length - blank - 1), blank + 1);
    }
}

static void see_removed(reader *rd)
{
    for (unsigned i = 0; i < rd->marked_count; i++) {
        rd->marked[i]->is_gone = true;
    }
    rd->all->removed += rd->marked_count;
}

static void add_line(reader *rd, mail_span line)
{
    mail_span text = line.length > 0 && line.data[0] == '.' ? mail_span_from(line, 1) : line;

    assert_int_equal(buffer_append(&rd->text, text), MAIL_OK);
    assert_int_equal(buffer_append(&rd->text, MAIL_SPAN("\r\n")), MAIL_OK);
}

/* A line of a list or a message, or the dot behind it. */
static void on_data(reader *rd, mail_span line)
{
    if (!mail_span_equal(line, MAIL_SPAN("."))) {
        (rd->state == EXPECT_LIST ? add_uid : add_line)(rd, line);
    } else if (rd->state == EXPECT_LIST) {
        retrieve(rd);
    } else {
        see_message(rd);
    }
}

/* False: the session is gone. */
static bool on_reply(reader *rd, bool is_good)
{
    if (!is_good || sim_below(rd->all->world, 100) == 0) {
        leave(rd); /* without QUIT: nothing may be removed */
        return false;
    }
    switch (rd->state) {
    case EXPECT_GREETING:
        rd->state = EXPECT_USER;
        say(rd, "USER user%u@h%u.example\r\n", rd->user, rd->host);
        break;
    case EXPECT_USER:
        rd->state = EXPECT_PASS;
        say(rd, "PASS secret\r\n");
        break;
    case EXPECT_PASS:
        rd->state = EXPECT_UIDL;
        say(rd, "UIDL\r\n");
        break;
    case EXPECT_UIDL:
        rd->state = EXPECT_LIST;
        break;
    case EXPECT_RETR:
        rd->state = EXPECT_MESSAGE;
        break;
    case EXPECT_DELE:
        retrieve(rd);
        break;
    case EXPECT_QUIT:
        see_removed(rd);
        leave(rd);
        return false;
    case EXPECT_LIST:
    case EXPECT_MESSAGE:
        break;
    }
    return true;
}

static void on_bytes(struct sim_end *end, mail_span bytes, void *state)
{
    reader *rd = state;
    bool goes_on = true;

    (void)end;
    assert_int_equal(buffer_append(&rd->in, bytes), MAIL_OK);
    while (goes_on) {
        mail_span in = buffer_bytes(&rd->in);
        const char *found = in.length > 0 ? memmem(in.data, in.length, "\r\n", 2) : NULL;
        char line[1100];
        size_t length;

        if (found == NULL) {
            return;
        }
        length = (size_t)(found - in.data);
        assert_true(length < sizeof(line));
        memcpy(line, in.data, length);
        buffer_consume(&rd->in, length + 2);
        if (rd->state == EXPECT_LIST || rd->state == EXPECT_MESSAGE) {
            on_data(rd, mail_span_of(line, length));
        } else {
            goes_on = on_reply(rd, length > 0 && line[0] == '+');
        }
    }
}

static void *on_open(struct sim_end *end, void *arg)
{
    reader *rd = arg;

    (void)end;
    return rd;
}

static void on_end(void *state)
{
    free_reader(state);
}

static void begin(void *arg)
{
    sim_readers *readers = arg;
    reader *rd = calloc(1, sizeof(*rd));
    mail_endpoint to = {.port = 110};

    if (readers->is_over) {
        free(rd);
        return;
    }
    assert_non_null(rd);
    rd->all = readers;
    rd->host = (unsigned)sim_below(readers->world, readers->relays);
    rd->user = (unsigned)sim_below(readers->world, TOWN_USERS);
    rd->actor = (sim_actor){on_open, on_bytes, on_end, rd};
    rd->patience = (sim_event){.fn = on_patience, .arg = rd};
    buffer_init(&rd->in, NULL, (size_t)1 << 20);
    buffer_init(&rd->text, NULL, (size_t)1 << 20);
    to.ip = sim_town_address(rd->host);
    readers->open++;
    readers->sessions++;
    rd->end = sim_actor_dial(&readers->host, &to, &rd->actor);
    sim_event_set(readers->world, &rd->patience, readers->world->now + PATIENCE);
    sim_event_set(readers->world, &readers->next,
                  readers->world->now +
                      (mail_duration)sim_below(readers->world, 2 * (uint64_t)readers->pause));
}

void sim_readers_start(sim_readers *readers, sim_world *world, sim_ledger *ledger, unsigned relays,
                       mail_duration pause)
{
    *readers = (sim_readers){.world = world, .ledger = ledger, .relays = relays, .pause = pause};
    sim_host_init(&readers->host, world, "reader", (mail_ip){4, {10, 9, 0, 2}, 0});
    readers->next = (sim_event){.fn = begin, .arg = readers};
    sim_event_set(world, &readers->next, world->now + pause);
}

void sim_readers_stop(sim_readers *readers)
{
    readers->is_over = true;
}
