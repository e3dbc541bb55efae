/* SPDX-License-Identifier: MIT */
#include "net/login_guard.h"

#include "base/random.h"
#include "net/quotas.h"

#define MAX_DOUBLINGS    4
#define FAILURE_INTERVAL (30 * MAIL_SECOND)

/* Hosts, names, and pairs of both that are remembered. */
#define MAX_KEYS 65536

/* How long a host is remembered to have logged in to a name. */
#define PAIR_MEMORY (30 * MAIL_DAY)

int login_guard_init(login_guard *guard, const mail_mem *mem, const mail_login_options *opts)
{
    mail_rate_options of_host = {opts->max_failures, FAILURE_INTERVAL};
    mail_rate_options of_user = {opts->max_user_failures, FAILURE_INTERVAL};
    int code = net_guesses_init(&guard->hosts, mem, MAX_KEYS, 0, &of_host);

    guard->delay = opts->delay;
    random_fill(NULL, &guard->seed, sizeof(guard->seed));
    if (code == MAIL_OK) {
        code = net_guesses_init(&guard->users, mem, MAX_KEYS, 0, &of_user);
    }
    return code == MAIL_OK ? net_guesses_init(&guard->pairs, mem, MAX_KEYS, PAIR_MEMORY, &of_host)
                           : code;
}

void login_guard_deinit(login_guard *guard)
{
    net_guesses_deinit(&guard->hosts);
    net_guesses_deinit(&guard->users);
    net_guesses_deinit(&guard->pairs);
}

static uint64_t key_of_host(const login_guard *guard, const mail_ip *client)
{
    mail_ip host = net_host_of(client);
    char text[1 + sizeof(host.bytes)];

    text[0] = (char)host.family;
    memcpy(text + 1, host.bytes, sizeof(host.bytes));
    return hash_bytes(&guard->seed, mail_span_of(text, sizeof(text)));
}

void login_try_init(login_try *try, login_guard *guard, const mail_ip *client, bool counts_host,
                    mail_span name)
{
    uint64_t user_key = hash_bytes_nocase(&guard->seed, name);
    uint64_t both[] = {key_of_host(guard, client), user_key};
    uint64_t pair = hash_bytes(&guard->seed, mail_span_of((const char *)both, sizeof(both)));
    bool is_friend = net_guesses_knows(&guard->pairs, pair);

    *try = (login_try){
        .guard = guard,
        .counts_host = counts_host,
        .host_key = both[0],
        .pair_key = pair,
        .bucket = is_friend ? &guard->pairs : &guard->users,
        .bucket_key = is_friend ? pair : user_key,
    };
}

bool login_try_is_known(const login_try *try)
{
    return try->bucket == &try->guard->pairs;
}

bool login_try_is_barred(const login_try *try, mail_time now)
{
    return (try->counts_host && net_guesses_is_barred(&try->guard->hosts, try->host_key, now)) ||
           net_guesses_is_barred(try->bucket, try->bucket_key, now);
}

int login_try_charge(login_try *try, mail_time now)
{
    int code;

    if (try->is_charged) {
        return MAIL_OK;
    }
    code = net_guesses_take(&try->guard->hosts, try->host_key, now);
    if (code != MAIL_OK && (try->counts_host || code != MAIL_EAGAIN)) {
        return code;
    }
    code = net_guesses_take(try->bucket, try->bucket_key, now);
    if (code != MAIL_OK) {
        net_guesses_give(&try->guard->hosts, try->host_key, now);
    }
    try->is_charged = code == MAIL_OK;
    return code;
}

void login_try_refund(login_try *try, mail_time now)
{
    if (try->is_charged) {
        net_guesses_give(&try->guard->hosts, try->host_key, now);
        net_guesses_give(try->bucket, try->bucket_key, now);
        try->is_charged = false;
    }
}

void login_try_succeeded(login_try *try, mail_time now)
{
    login_try_refund(try, now);
    net_guesses_note(&try->guard->pairs, try->pair_key, now);
}

mail_duration login_try_delay(const login_try *try, mail_time now)
{
    uint32_t of_host = net_guesses_count(&try->guard->hosts, try->host_key, now);
    uint32_t of_user = net_guesses_count(try->bucket, try->bucket_key, now);
    uint32_t count = of_host > of_user ? of_host : of_user;
    uint32_t doublings = count > 0 ? count - 1 : 0;

    return try->guard->delay << (doublings < MAX_DOUBLINGS ? doublings : MAX_DOUBLINGS);
}
