/* SPDX-License-Identifier: MIT */
#include "net/clients.h"

#include <assert.h>

#include "base/mem.h"
#include "base/random.h"

/* Hosts without a session that are remembered for their failures. */
#define MAX_IDLE 65536

mail_ip net_host_of(const mail_ip *ip)
{
    mail_ip key = {.family = ip->family};

    memcpy(key.bytes, ip->bytes, ip->family == 6 ? 8 : 4);
    return key;
}

void net_clients_init(net_clients *clients, const mail_mem *mem, uint32_t max_failures,
                      mail_duration interval)
{
    mail_rate_options opts = {.burst = max_failures, .interval = interval};
    int code;

    *clients = (net_clients){.mem = mem};
    random_fill(NULL, &clients->seed, sizeof(clients->seed));
    table_init(&clients->by_address, mem);
    list_init(&clients->idle);
    code = mail_rate_init(&clients->failures, &opts);
    assert(code == MAIL_OK);
    (void)code;
}

static void forget(net_clients *clients, net_client *client)
{
    list_remove(&client->link);
    table_remove(&clients->by_address, &client->entry);
    mem_free(clients->mem, client, sizeof(*client));
}

void net_clients_deinit(net_clients *clients)
{
    while (!list_is_empty(&clients->idle)) {
        forget(clients, LIST_OWNER(clients->idle.next, net_client, link));
    }
    assert(clients->by_address.count == 0);
    table_deinit(&clients->by_address);
}

/* As many as come are looked at, so that what nobody asks for any more goes. */
static void forget_some(net_clients *clients, mail_time now)
{
    for (int i = 0; i < 2 && !list_is_empty(&clients->idle); i++) {
        net_client *oldest = LIST_OWNER(clients->idle.next, net_client, link);

        if (oldest->failures.full_at > now && clients->by_address.count <= MAX_IDLE) {
            break;
        }
        forget(clients, oldest);
    }
}

static net_client *find(net_clients *clients, const mail_ip *key, uint64_t hash)
{
    table_entry *entry = table_first(&clients->by_address, hash);

    while (entry != NULL && !mail_ip_equal(&LIST_OWNER(entry, net_client, entry)->key, key)) {
        entry = table_next(entry);
    }
    return entry != NULL ? LIST_OWNER(entry, net_client, entry) : NULL;
}

static net_client *add(net_clients *clients, const mail_ip *key, uint64_t hash)
{
    net_client *client = mem_alloc(clients->mem, sizeof(*client));

    if (client == NULL) {
        return NULL;
    }
    client->key = *key;
    client->failures = clients->failures;
    list_init(&client->link);
    if (table_insert(&clients->by_address, &client->entry, hash) != MAIL_OK) {
        mem_free(clients->mem, client, sizeof(*client));
        return NULL;
    }
    return client;
}

int net_clients_enter(net_clients *clients, const mail_ip *ip, mail_time now, uint32_t max_sessions,
                      net_client **out)
{
    mail_ip key = net_host_of(ip);
    uint64_t hash = hash_bytes(&clients->seed, mail_span_of(key.bytes, sizeof(key.bytes)));
    net_client *client = find(clients, &key, hash);

    if (client != NULL && client->sessions >= max_sessions) {
        return MAIL_ELIMIT;
    }
    if (client == NULL) {
        forget_some(clients, now);
        client = add(clients, &key, hash);
    }
    if (client == NULL) {
        return MAIL_ENOMEM;
    }
    list_remove(&client->link);
    client->sessions++;
    *out = client;
    return MAIL_OK;
}

void net_clients_leave(net_clients *clients, net_client *client)
{
    if (--client->sessions == 0) {
        list_push_back(&clients->idle, &client->link);
    }
}

bool net_client_is_barred(const net_client *client, mail_time now)
{
    return mail_rate_ready_at(&client->failures, now, 1) > now;
}

void net_client_failed(net_client *client, mail_time now)
{
    mail_rate_take(&client->failures, now, 1);
}
