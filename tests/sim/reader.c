/* SPDX-License-Identifier: MIT */
#include "sim/reader.h"

#include <stdlib.h>

#include "sim/pop3.h"
#include "sim/town.h"
#include "support/support.h"

#define MESSAGES 200

/* How long a session may last before it is broken off. */
#define PATIENCE (20 * MAIL_MINUTE)

typedef struct reader {
    sim_readers *all;
    char name[16];
    char domain[32];
    sim_copy *marked[MESSAGES]; /* deleted, if QUIT goes well */
    unsigned marked_count;
} reader;

static bool on_message(const char *uid, mail_span content, void *arg)
{
    reader *rd = arg;
    sim_copy *copy = sim_ledger_seen(rd->all->ledger, rd->name, rd->domain, uid, content);

    rd->all->fetched++;
    if (sim_below(rd->all->world, 10) >= 8) {
        return false;
    }
    assert_true(rd->marked_count < MESSAGES);
    rd->marked[rd->marked_count++] = copy;
    return true;
}

static void on_quit(void *arg)
{
    const reader *rd = arg;

    for (unsigned i = 0; i < rd->marked_count; i++) {
        rd->marked[i]->may_go = true;
    }
}

static void on_over(bool is_well, void *arg)
{
    reader *rd = arg;

    for (unsigned i = 0; is_well && i < rd->marked_count; i++) {
        rd->marked[i]->is_gone = true;
    }
    rd->all->removed += is_well ? rd->marked_count : 0;
    rd->all->open--;
    free(rd);
}

static void read_mail(sim_readers *readers)
{
    unsigned host = (unsigned)sim_below(readers->world, readers->relays);
    char login[64];
    reader *rd = calloc(1, sizeof(*rd));

    assert_non_null(rd);
    rd->all = readers;
    snprintf(rd->name, sizeof(rd->name), "user%u", (unsigned)sim_below(readers->world, TOWN_USERS));
    snprintf(rd->domain, sizeof(rd->domain), "h%u.example", host);
    snprintf(login, sizeof(login), "%s@%s", rd->name, rd->domain);
    readers->open++;
    readers->sessions++;
    sim_pop3_start(&(sim_pop3_options){
        .from = &readers->host,
        .to = {sim_town_address(host), 110},
        .user = login,
        .password = "secret",
        .patience = PATIENCE,
        .leaves = 10000,
        .on_message = on_message,
        .on_quit = on_quit,
        .on_over = on_over,
        .arg = rd,
    });
}

static void begin(void *arg)
{
    sim_readers *readers = arg;

    if (!readers->is_over) {
        read_mail(readers);
        sim_event_set(readers->world, &readers->next,
                      readers->world->now +
                          (mail_duration)sim_below(readers->world, 2 * (uint64_t)readers->pause));
    }
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
