/* SPDX-License-Identifier: MIT */
#include "sim/operator.h"

#include <stdlib.h>

#include "mta/control.h"
#include "support/support.h"

/* Far less than a message waits before it is given up. */
#define HELD_MAX (3 * MAIL_HOUR)

/* What a list of a queue may come to. */
#define REPLY_MAX ((size_t)16 << 20)

typedef enum state {
    EXPECT_LIST,
    EXPECT_RESULT
} state;

typedef enum extent {
    SOME_IDS,
    ONE_DOMAIN,
    ALL
} extent;

/* One operator at one relay: looks at the list, does one thing and leaves. */
typedef struct visit {
    sim_operators *all;
    unsigned relay;
    sim_actor actor;
    struct sim_end *end;
    state state;
    bool frees_all;
    control_verb verb;
    extent extent;
    char domain[MAIL_DOMAIN_SIZE];
    char id_texts[CONTROL_IDS_MAX][MAIL_QUEUE_ID_SIZE];
    const char *ids[CONTROL_IDS_MAX];
    size_t id_count;
    buffer in;
} visit;

static unsigned below(const visit *vs, unsigned n)
{
    return (unsigned)sim_below(vs->all->world, n);
}

static void leave(visit *vs)
{
    vs->all->open--;
    sim_end_close(vs->end);
    buffer_deinit(&vs->in);
    free(vs);
}

static void ask(visit *vs, control_verb verb, const mail_queue_selector *which)
{
    buffer line;

    buffer_init(&line, NULL, CONTROL_LINE_MAX);
    assert_int_equal(control_request_print(verb, which, &line), MAIL_OK);
    sim_trace(vs->all->world, "%s: operator asks: %.*s", vs->all->relays[vs->relay].name,
              (int)buffer_length(&line) - 1, buffer_bytes(&line).data);
    sim_end_write(vs->end, buffer_bytes(&line));
    buffer_deinit(&line);
}

/* The lines of the next message in a list; empty: there is none. */
static mail_span next_message(mail_span *rest)
{
    static const char key[] = "message ";
    mail_span lines = *rest;
    const char *next;

    if (lines.length < strlen(key) || memcmp(lines.data, key, strlen(key)) != 0) {
        return mail_span_of(NULL, 0);
    }
    next = memmem(lines.data, lines.length, "\nmessage ", strlen("\nmessage "));
    next = next != NULL ? next : memmem(lines.data, lines.length, "\nok ", strlen("\nok "));
    assert_non_null(next);
    lines.length = (size_t)(next + 1 - lines.data);
    *rest = mail_span_from(*rest, lines.length);
    return lines;
}

static mail_span domain_of(mail_span address)
{
    const char *at = memrchr(address.data, '@', address.length);

    return at != NULL ? mail_span_from(address, (size_t)(at + 1 - address.data))
                      : mail_span_of(NULL, 0);
}

static bool choose_domain(const mail_queue_item *item, void *arg)
{
    visit *vs = arg;
    mail_span domain =
        domain_of(item->recipients[below(vs, (unsigned)item->recipient_count)].address);

    snprintf(vs->domain, sizeof(vs->domain), "%.*s", (int)domain.length, domain.data);
    return true;
}

/* What is about to be removed may come to nothing: before it is asked for, since it may be done unheard. */
static bool choose_id(const mail_queue_item *item, void *arg)
{
    visit *vs = arg;
    char *id = vs->id_texts[vs->id_count];

    if (vs->id_count == CONTROL_IDS_MAX) {
        return false;
    }
    snprintf(id, MAIL_QUEUE_ID_SIZE, "%s", item->id);
    vs->ids[vs->id_count++] = id;
    for (size_t i = 0; i < item->recipient_count && vs->verb == CONTROL_REMOVE; i++) {
        const mail_queue_recipient *rcpt = &item->recipients[i];

        if (!rcpt->done && (vs->domain[0] == '\0' || mail_span_equal(domain_of(rcpt->address),
                                                                     mail_span_text(vs->domain)))) {
            sim_ledger_remove(vs->all->ledger, vs->relay, id, item->sender, rcpt->address);
        }
    }
    return true;
}

static void read_message(mail_span lines, bool (*fn)(const mail_queue_item *item, void *arg),
                         visit *vs)
{
    bool goes_on;

    assert_int_equal(control_item_parse(lines, NULL, fn, vs, &goes_on), MAIL_OK);
}

static void choose_domain_in(visit *vs, mail_span listed, unsigned count)
{
    unsigned index = below(vs, count);
    mail_span lines = next_message(&listed);

    while (index-- > 0) {
        lines = next_message(&listed);
    }
    read_message(lines, choose_domain, vs);
}

static void choose_ids_in(visit *vs, mail_span listed, unsigned count)
{
    mail_span lines;

    while ((lines = next_message(&listed)).length > 0) {
        if (vs->extent != SOME_IDS || below(vs, count) < 2) {
            read_message(lines, choose_id, vs);
        }
    }
}

static unsigned count_messages(mail_span listed)
{
    unsigned count = 0;

    while (next_message(&listed).length > 0) {
        count++;
    }
    return count;
}

/*
 * What is removed is always named: a message that has come since the list was written would go
 * without the ledger's knowledge.
 */
static void choose(visit *vs, mail_span listed, unsigned count)
{
    static const control_verb verbs[] = {CONTROL_HOLD,  CONTROL_HOLD,  CONTROL_RELEASE,
                                         CONTROL_RETRY, CONTROL_RETRY, CONTROL_REMOVE};
    unsigned dice = below(vs, 50);

    vs->verb = verbs[below(vs, MAIL_COUNT(verbs))];
    vs->extent = dice == 0 ? ALL : dice < 12 ? ONE_DOMAIN : SOME_IDS;
    if (vs->extent == ONE_DOMAIN) {
        choose_domain_in(vs, listed, count);
    }
    if (vs->extent == SOME_IDS || vs->verb == CONTROL_REMOVE) {
        choose_ids_in(vs, listed, count);
    }
}

static void act(visit *vs)
{
    mail_span listed = buffer_bytes(&vs->in);
    unsigned count = count_messages(listed);
    const mail_queue_selector everything = {.all = true};
    mail_queue_selector which = {.ids = vs->ids};

    vs->state = EXPECT_RESULT;
    if (vs->frees_all) {
        ask(vs, CONTROL_RELEASE, &everything);
        return;
    }
    if (count > 0) {
        choose(vs, listed, count);
    }
    which.id_count = vs->id_count;
    which.domain = mail_span_text(vs->domain);
    which.all = vs->extent == ALL && vs->id_count == 0;
    if (count == 0 || (which.id_count == 0 && which.domain.length == 0 && !which.all)) {
        leave(vs);
        return;
    }
    ask(vs, vs->verb, &which);
}

static void end_visit(visit *vs, mail_span last)
{
    sim_operators *all = vs->all;
    int64_t changed;

    last = mail_span_first(last, last.length - 1);
    sim_trace(all->world, "%s: operator hears: %.*s", all->relays[vs->relay].name, (int)last.length,
              last.data);
    last = mail_span_from(last, strlen("ok"));
    assert_true(control_signed(&last, &changed) && changed >= 0);
    all->changed += (unsigned)changed;
    if (vs->frees_all) {
        all->freed[vs->relay] = all->world->now;
        all->left &= ~(1U << vs->relay);
    }
    leave(vs);
}

/* The last line of a reply, if it has come whole. */
static bool find_last(mail_span in, const char *word, mail_span *last)
{
    const char *from;

    if (in.length == 0 || in.data[in.length - 1] != '\n') {
        return false;
    }
    from = memrchr(in.data, '\n', in.length - 1);
    *last = mail_span_from(in, from != NULL ? (size_t)(from + 1 - in.data) : 0);
    return last->length > strlen(word) && memcmp(last->data, word, strlen(word)) == 0;
}

static void on_bytes(struct sim_end *end, mail_span bytes, void *arg)
{
    visit *vs = arg;
    mail_span in;
    mail_span last;

    (void)end;
    assert_int_equal(buffer_append(&vs->in, bytes), MAIL_OK);
    in = buffer_bytes(&vs->in);
    if (find_last(in, "error ", &last)) { /* no memory, or its disk is ill */
        leave(vs);
    } else if (find_last(in, "ok ", &last) && vs->state == EXPECT_RESULT) {
        end_visit(vs, last);
    } else if (find_last(in, "ok ", &last)) {
        act(vs);
    }
}

static void *on_open(struct sim_end *end, void *arg)
{
    visit *vs = arg;
    const mail_queue_selector everything = {.all = true};

    (void)end;
    ask(vs, CONTROL_LIST, &everything);
    return vs;
}

static void on_end(void *arg)
{
    visit *vs = arg;

    vs->all->open--;
    buffer_deinit(&vs->in);
    free(vs);
}

static void begin_visit(sim_operators *ops, unsigned relay)
{
    visit *vs = calloc(1, sizeof(*vs));

    assert_non_null(vs);
    vs->all = ops;
    vs->relay = relay;
    vs->frees_all = ops->is_over || ops->world->now - ops->freed[relay] > HELD_MAX;
    vs->actor = (sim_actor){on_open, on_bytes, on_end, vs};
    buffer_init(&vs->in, NULL, REPLY_MAX);
    ops->open++;
    vs->end = sim_actor_dial_unix(&ops->relays[relay].host, RELAY_CONTROL, &vs->actor);
}

/* One whose queue has been held up for too long comes first. */
static unsigned choose_relay(const sim_operators *ops)
{
    for (unsigned i = 0; i < ops->relay_count; i++) {
        if (ops->is_over ? (ops->left & (1U << i)) != 0
                         : ops->world->now - ops->freed[i] > HELD_MAX && ops->relays[i].is_up) {
            return i;
        }
    }
    return (unsigned)sim_below(ops->world, ops->relay_count);
}

static void come(void *arg)
{
    sim_operators *ops = arg;
    mail_duration pause = ops->is_over ? MAIL_MINUTE : ops->pause;

    if (ops->is_over && ops->left == 0) {
        return;
    }
    begin_visit(ops, choose_relay(ops));
    sim_event_set(ops->world, &ops->next,
                  ops->world->now + 1 + (mail_duration)sim_below(ops->world, 2 * (uint64_t)pause));
}

void sim_operators_start(sim_operators *ops, sim_world *world, sim_ledger *ledger,
                         sim_relay *relays, unsigned relay_count, mail_duration pause)
{
    *ops = (sim_operators){.world = world,
                           .ledger = ledger,
                           .relays = relays,
                           .relay_count = relay_count,
                           .pause = pause};
    for (unsigned i = 0; i < relay_count; i++) {
        ops->freed[i] = world->now;
    }
    ops->next = (sim_event){.fn = come, .arg = ops};
    if (pause > 0) {
        sim_event_set(world, &ops->next, world->now + pause);
    }
}

void sim_operators_stop(sim_operators *ops)
{
    ops->is_over = true;
    if (ops->pause > 0) {
        ops->left = (1U << ops->relay_count) - 1;
        sim_event_set(ops->world, &ops->next, ops->world->now);
    }
}

bool sim_operators_are_done(const sim_operators *ops)
{
    return ops->left == 0 && ops->open == 0;
}
