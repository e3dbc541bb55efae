/* SPDX-License-Identifier: MIT */
#include "sim/town.h"

#include <stdlib.h>

#include "support/support.h"

mail_ip sim_town_address(unsigned index)
{
    return (mail_ip){4, {10, 0, 0, (unsigned char)(index + 1)}, 0};
}

/* `NAME.ID`: the number tells messages apart and is no part of the mailbox. */
static int mailbox_of(const mail_path *address, char path[MAIL_MAILBOX_PATH_SIZE], void *arg)
{
    const sim_town_host *host = arg;
    mail_span local = mail_path_local(address);
    const char *dot = memchr(local.data, '.', local.length);
    char name[64];

    snprintf(name, sizeof(name), "%.*s", (int)(dot != NULL ? dot - local.data : (int)local.length),
             local.data);
    if (strncmp(name, "user", 4) != 0 || atoi(name + 4) >= TOWN_USERS) {
        return MAIL_ENOENT;
    }
    snprintf(path, MAIL_MAILBOX_PATH_SIZE, "mail/%s/%s", host->name, name);
    return MAIL_OK;
}

static void on_log(mail_log_level level, const char *what, const mail_log_field *fields,
                   size_t count, void *arg)
{
    const sim_town_host *host = arg;

    (void)level;
    sim_ledger_log(host->ledger, host->index, what, fields, count);
}

static void on_outage(void *arg)
{
    const sim_town_host *host = arg;

    sim_ledger_crash(host->ledger, host->index);
}

static void write_accounts(sim_town_host *host)
{
    for (unsigned i = 0; i < TOWN_USERS; i++) {
        size_t used = strlen(host->accounts);

        snprintf(host->accounts + used, sizeof(host->accounts) - used, "user%u@%s:{PLAIN}secret\n",
                 i, host->name);
    }
}

void sim_town_host_init(sim_town_host *host, sim_ledger *ledger, unsigned index, unsigned count,
                        sim_relay_options *out)
{
    static const char *const routes[] = {
        "discard.example=discard", "refuse.example=error:550 5.7.1 Not here",
        "smart.example=10.0.1.1:25", "lmtp.example=lmtp:10.0.1.3:24"};
    /* So many tries that what can be reached at all is reached before it is given up. */
    static const mail_duration retry[] = {5 * MAIL_MINUTE, 10 * MAIL_MINUTE, 20 * MAIL_MINUTE,
                                          30 * MAIL_MINUTE};
    unsigned next = (index + 1) % count;

    *host = (sim_town_host){.ledger = ledger, .index = index};
    snprintf(host->name, sizeof(host->name), "h%u.example", index);
    host->domain = mail_span_text(host->name);
    snprintf(host->aliases, sizeof(host->aliases),
             "list: user5, user6, user7@h%u.example\nforward: user4@h%u.example\n", next, next);
    write_accounts(host);
    *out = (sim_relay_options){
        .name = host->name,
        .address = sim_town_address(index),
        .domains = &host->domain,
        .domain_count = 1,
        .routes = routes,
        .route_count = MAIL_COUNT(routes),
        .aliases = host->aliases,
        .accounts = host->accounts,
        .mailbox_of = mailbox_of,
        .clients = {{4, {10, 9, 0, 0}, 0}, 16},
        .takes_lmtp = true,
        .takes_drop = true,
        .max_message_bytes = TOWN_MAX_BYTES,
        .max_sessions = 60,
        .max_sessions_per_client = 40,
        .max_out = 4,
        .retry = retry,
        .retry_count = MAIL_COUNT(retry),
        .give_up = MAIL_DAY,
        .warn_after = MAIL_HOUR,
        .on_log = on_log,
        .on_outage = on_outage,
        .arg = host,
    };
}
