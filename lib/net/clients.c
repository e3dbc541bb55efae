/* SPDX-License-Identifier: MIT */
#include "net/clients.h"

#include <assert.h>

#include "base/list.h"
#include "base/mem.h"
#include "base/random.h"

mail_ip net_host_of(const mail_ip *ip)
{
    mail_ip key = {.family = ip->family};

    memcpy(key.bytes, ip->bytes, ip->family == 6 ? 8 : 4);
    return key;
}

void net_clients_init(net_clients *clients, const mail_mem *mem)
{
    *clients = (net_clients){.mem = mem};
    random_fill(NULL, &clients->seed, sizeof(clients->seed));
    table_init(&clients->by_address, mem);
}

void net_clients_deinit(net_clients *clients)
{
    assert(clients->by_address.count == 0);
    table_deinit(&clients->by_address);
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
    if (table_insert(&clients->by_address, &client->entry, hash) != MAIL_OK) {
        mem_free(clients->mem, client, sizeof(*client));
        return NULL;
    }
    return client;
}

int net_clients_enter(net_clients *clients, const mail_ip *ip, uint32_t max_sessions,
                      net_client **out)
{
    mail_ip key = net_host_of(ip);
    uint64_t hash = hash_bytes(&clients->seed, mail_span_of(key.bytes, sizeof(key.bytes)));
    net_client *client = find(clients, &key, hash);

    if (client != NULL && client->sessions >= max_sessions) {
        return MAIL_ELIMIT;
    }
    if (client == NULL) {
        client = add(clients, &key, hash);
    }
    if (client == NULL) {
        return MAIL_ENOMEM;
    }
    client->sessions++;
    *out = client;
    return MAIL_OK;
}

void net_clients_leave(net_clients *clients, net_client *client)
{
    if (--client->sessions == 0) {
        table_remove(&clients->by_address, &client->entry);
        mem_free(clients->mem, client, sizeof(*client));
    }
}
