/* SPDX-License-Identifier: MIT */
#include "sim/load.h"

#include <stdlib.h>

#include "sim/sender.h"
#include "sim/town.h"
#include "support/support.h"

/* Users below it get mail of their own, the others through aliases. */
#define PLAIN_USERS 4

/* A message on its way to a relay. */
typedef struct sending {
    sim_load *load;
    sim_message *message;
    char *text;
    size_t length;
    mail_envelope envelope;
    sim_relay *at; /* where it is dropped */
    sim_event again;
} sending;

/* Recipients of an ordinary message, and of one to a large list. */
#define RCPTS       6
#define MANY_RCPTS  100
#define MANY_SPREAD 300

static unsigned below(const sim_load *load, unsigned n)
{
    return (unsigned)sim_below(load->world, n);
}

static sim_fate *add_fate(sim_rcpt *rcpt)
{
    return &rcpt->fates[rcpt->fate_count++];
}

static void choose_alias(const sim_load *load, sim_rcpt *rcpt, unsigned host)
{
    unsigned next = (host + 1) % load->relay_count;

    if (below(load, 2) == 0) {
        snprintf(rcpt->address, sizeof(rcpt->address), "list@h%u.example", host);
        for (unsigned i = 5; i < 8; i++) {
            sim_fate *fate = add_fate(rcpt);

            fate->must_come = true;
            snprintf(fate->address, sizeof(fate->address), "user%u@h%u.example", i,
                     i == 7 ? next : host);
        }
    } else {
        sim_fate *fate = add_fate(rcpt);

        fate->must_come = true;
        snprintf(rcpt->address, sizeof(rcpt->address), "forward@h%u.example", host);
        snprintf(fate->address, sizeof(fate->address), "user4@h%u.example", next);
    }
}

/* Where else mail may go: how often of a hundred, and what must come of it. */
static const struct place {
    const char *domain;
    unsigned weight;
    bool must_fail;
} places[] = {
    {"a.outside.example", 22, false},    {"b.outside.example", 12, false},
    {"chain.example", 4, false},         {"moving.example", 4, false},
    {"loop.example", 2, true},           {"smart.example", 8, false},
    {"now.changing.example", 12, false}, {"lmtp.example", 12, false},
    {"dead.example", 4, true},           {"discard.example", 6, true},
    {"refuse.example", 5, true},         {"nowhere.example", 5, true},
    {"nomail.example", 4, true},
};

/* What local parts end in when a message needs SMTPUTF8 (RFC 6531). */
static const char *flourish(const sim_message *message)
{
    return message->is_utf8 ? ".gr\xc3\xbc\xc3\x9f" : "";
}

static void choose_outside(const sim_load *load, sim_rcpt *rcpt, const sim_message *message,
                           unsigned index)
{
    unsigned dice = below(load, 100);
    size_t i = 0;
    sim_fate *fate = add_fate(rcpt);

    while (dice >= places[i].weight) {
        dice -= places[i++].weight;
    }
    fate->must_fail = places[i].must_fail;
    snprintf(rcpt->address, sizeof(rcpt->address), "x%u.%u%s@%s", index, message->id,
             flourish(message), places[i].domain);
    memcpy(fate->address, rcpt->address, sizeof(fate->address));
}

static void choose_user(const sim_load *load, sim_rcpt *rcpt, const sim_message *message,
                        unsigned host)
{
    sim_fate *fate = add_fate(rcpt);

    if (below(load, 12) == 0) {
        fate->must_fail = true;
        snprintf(rcpt->address, sizeof(rcpt->address), "nobody.%u@h%u.example", message->id, host);
    } else {
        fate->must_come = true;
        snprintf(rcpt->address, sizeof(rcpt->address), "user%u.%u%s@h%u.example",
                 below(load, PLAIN_USERS), message->id, flourish(message), host);
    }
    memcpy(fate->address, rcpt->address, sizeof(fate->address));
}

/* Nobody is named twice: two copies could not be told apart. */
static bool is_new(const sim_message *message, const sim_rcpt *rcpt)
{
    for (unsigned i = 0; i < message->rcpt_count; i++) {
        if (strcmp(message->rcpts[i].address, rcpt->address) == 0) {
            return false;
        }
    }
    return true;
}

static void choose_rcpt(const sim_load *load, sim_message *message, unsigned index)
{
    unsigned host = below(load, load->relay_count);
    unsigned dice = below(load, 100);
    sim_rcpt *rcpt = &message->rcpts[message->rcpt_count];

    memset(rcpt, 0, sizeof(*rcpt));
    if (dice < 55 && index < RCPTS) {
        choose_user(load, rcpt, message, host);
    } else if (dice < 65 && index < RCPTS && message->sender[0] != '\0') {
        choose_alias(load, rcpt, host);
    } else {
        choose_outside(load, rcpt, message, index);
    }
    rcpt->never = rcpt->fates[0].must_come ? false : below(load, 20) == 0;
    message->rcpt_count += is_new(message, rcpt) ? 1 : 0;
}

/* Those of short lines, where most pieces of a message begin with a line, are long more often. */
static size_t choose_size(const sim_load *load, unsigned id)
{
    unsigned dice = below(load, 1000);

    if (dice < 5) {
        return TOWN_MAX_BYTES + 1 + below(load, 1 << 16); /* nobody takes it */
    }
    return 100 + below(load, dice < 900 ? 3000 : dice < 980 && id % 8 != 0 ? 20000 : 80000);
}

static unsigned choose_count(const sim_load *load)
{
    if (below(load, 250) == 0) {
        return MANY_RCPTS + below(load, MANY_SPREAD);
    }
    return below(load, 3) > 0 ? 1 : 1 + below(load, RCPTS);
}

static void choose_message(const sim_load *load, sim_message *message, unsigned id)
{
    unsigned count = choose_count(load);

    message->id = id;
    message->size = choose_size(load, id);
    message->is_utf8 = below(load, 20) == 0;
    message->is_dropped = message->size <= TOWN_MAX_BYTES && below(load, 8) == 0;
    message->rcpts = calloc(count, sizeof(*message->rcpts));
    assert_non_null(message->rcpts);
    if (below(load, 50) > 0) {
        snprintf(message->sender, sizeof(message->sender), "user%u.%u@h%u.example",
                 below(load, PLAIN_USERS), id, below(load, load->relay_count));
    }
    for (unsigned i = 0; i < count; i++) {
        choose_rcpt(load, message, i);
    }
}

static void on_over(void *arg)
{
    sending *sd = arg;

    sd->load->done++;
    mail_envelope_deinit(&sd->envelope);
    free(sd->text);
    free(sd);
}

static void on_outcome(size_t index, const mail_outcome *outcome, void *arg)
{
    const sending *sd = arg;
    sim_rcpt *rcpt = &sd->message->rcpts[index];
    bool is_too_large = sd->message->size > TOWN_MAX_BYTES;

    sim_trace(sd->load->world, "load: message %u for %s: %s", sd->message->id, rcpt->address,
              mail_outcome_kind_name(outcome->kind));
    rcpt->accepted = outcome->kind == MAIL_OUTCOME_ACCEPTED;
    rcpt->refused = outcome->kind == MAIL_OUTCOME_PERMANENT;
    if (outcome->kind == MAIL_OUTCOME_AMBIGUOUS) {
        rcpt->maybe = true;
        rcpt->ambiguous++;
    }
    if (rcpt->accepted && is_too_large) {
        sim_broken(sd->load->ledger, "message %u was taken, large as it is", sd->message->id);
    }
    if (rcpt->refused && rcpt->fates[0].must_come && !is_too_large) {
        sim_broken(sd->load->ledger, "message %u for %s was refused", sd->message->id,
                   rcpt->address);
    }
}

static void fill_envelope(mail_envelope *envelope, const sim_message *message)
{
    mail_envelope_init(envelope, NULL);
    envelope->smtputf8 = message->is_utf8;
    envelope->body = message->is_utf8 ? MAIL_BODY_8BITMIME : MAIL_BODY_7BIT;
    assert_int_equal(
        mail_envelope_set_sender(envelope, mail_span_text(message->sender), (mail_span){0}),
        MAIL_OK);
    for (unsigned i = 0; i < message->rcpt_count; i++) {
        const sim_rcpt *rcpt = &message->rcpts[i];
        mail_recipient to = {.address = mail_span_text(rcpt->address),
                             .notify = rcpt->never ? MAIL_NOTIFY_NEVER : 0};

        assert_int_equal(mail_envelope_add(envelope, &to), MAIL_OK);
    }
}

/* A program on a relay's host: it tries until its file is safe, and then has done its part. */
static void drop(void *arg)
{
    sending *sd = arg;
    sim_world *world = sd->load->world;
    int code = sim_relay_drop(sd->at, &sd->envelope, mail_span_of(sd->text, sd->length));

    if (code != MAIL_EAGAIN) {
        sim_trace(world, "load: message %u dropped at %s: %d", sd->message->id, sd->at->name, code);
    }
    for (unsigned i = 0; i < sd->message->rcpt_count; i++) {
        sim_rcpt *rcpt = &sd->message->rcpts[i];

        rcpt->accepted = code == MAIL_OK;
        rcpt->maybe |= code != MAIL_OK && code != MAIL_EAGAIN; /* it may be there nevertheless */
    }
    if (code == MAIL_OK) {
        on_over(sd);
        return;
    }
    sd->message->ambiguous += code != MAIL_EAGAIN;
    sim_event_set(world, &sd->again,
                  world->now + MAIL_MINUTE + (mail_duration)sim_below(world, 9 * MAIL_MINUTE));
}

static void begin_sending(sim_load *load, sim_message *message)
{
    sending *sd = calloc(1, sizeof(*sd));
    sim_relay *relay = &load->relays[below(load, load->relay_count)];
    bool lmtp = below(load, 8) == 0;

    assert_non_null(sd);
    *sd = (sending){.load = load, .message = message, .at = relay};
    message->touched[relay - load->relays] = load->world->now; /* its log may name nobody */
    sd->text = sim_ledger_body(message, &sd->length);
    sd->again = (sim_event){.fn = drop, .arg = sd};
    fill_envelope(&sd->envelope, message);
    if (message->is_dropped) {
        drop(sd);
        return;
    }
    sim_sender_start(&(sim_sender_options){
        .loop = &load->loop,
        .from = &load->host,
        .to = {relay->host.address, lmtp ? 24 : 25},
        .lmtp = lmtp,
        .has_utf8 = message->is_utf8,
        .envelope = &sd->envelope,
        .content = mail_span_of(sd->text, sd->length),
        .on_outcome = on_outcome,
        .on_over = on_over,
        .arg = sd,
    });
}

static void begin_one(void *arg)
{
    sim_load *load = arg;
    unsigned id = load->begun++;

    choose_message(load, &load->ledger->messages[id], id);
    begin_sending(load, &load->ledger->messages[id]);
    if (load->begun < load->ledger->count) {
        mail_duration mean = load->spread / load->ledger->count;

        sim_event_set(load->world, &load->next,
                      load->world->now +
                          (mail_duration)sim_below(load->world, 2 * (uint64_t)mean + 1));
    }
}

void sim_load_start(sim_load *load, sim_world *world, sim_ledger *ledger, sim_relay *relays,
                    unsigned relay_count, mail_duration spread)
{
    *load = (sim_load){.world = world,
                       .ledger = ledger,
                       .relays = relays,
                       .relay_count = relay_count,
                       .spread = spread};
    sim_host_init(&load->host, world, "client.example", (mail_ip){4, {10, 9, 0, 1}, 0});
    sim_loop_init(&load->loop, world);
    load->next = (sim_event){.fn = begin_one, .arg = load};
    sim_event_set(world, &load->next, world->now);
}

bool sim_load_is_done(const sim_load *load)
{
    return load->done == load->ledger->count;
}
