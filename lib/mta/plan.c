/* SPDX-License-Identifier: MIT */
#include "mta/destination.h"

#include "base/mem.h"

static mail_time now_of(const destination *dest)
{
    return mail_loop_now(dest->agent->loop);
}

void plan_forget(destination *dest)
{
    for (size_t i = 0; i < dest->plan_count; i++) {
        host_drop(&dest->agent->hosts, dest->plan[i].hst);
    }
    mem_free(dest->agent->mem, dest->plan, dest->plan_capacity * sizeof(*dest->plan));
    dest->plan = NULL;
    dest->plan_count = 0;
    dest->plan_capacity = 0;
}

static bool reserve_entry(destination *dest)
{
    size_t capacity = dest->plan_capacity > 0 ? dest->plan_capacity * 2 : 2;
    plan_entry *plan;

    if (dest->plan_count < dest->plan_capacity) {
        return true;
    }
    plan = dest->plan_count < PLAN_MAX
               ? mem_resize(dest->agent->mem, dest->plan, dest->plan_capacity * sizeof(*plan),
                            capacity * sizeof(*plan))
               : NULL;
    if (plan != NULL) {
        dest->plan = plan;
        dest->plan_capacity = capacity;
    }
    return plan != NULL;
}

/* Takes a use of the host. One for which there is no memory is missed; the others may do. */
static void add_entry(destination *dest, host *hst, const char *name)
{
    plan_entry *entry;

    if (hst == NULL) {
        return;
    }
    if (!reserve_entry(dest)) {
        host_drop(&dest->agent->hosts, hst);
        return;
    }
    entry = &dest->plan[dest->plan_count++];
    entry->hst = hst;
    memset(entry->name, 0, sizeof(entry->name));
    memcpy(entry->name, name, strnlen(name, sizeof(entry->name) - 1));
}

static void set_reply(destination *dest, const mail_reply *reply)
{
    size_t length =
        reply->text.length < HOST_REPLY_SIZE ? reply->text.length : (size_t)HOST_REPLY_SIZE;

    dest->plan_reply = *reply;
    if (length > 0) {
        memcpy(dest->plan_text, reply->text.data, length);
    }
    dest->plan_reply.text = mail_span_of(dest->plan_text, length);
}

static void take_verdict(destination *dest, const mail_mx_verdict *verdict, uint16_t port)
{
    mail_time now = now_of(dest);

    if (verdict->host_count == 0) {
        set_reply(dest, &verdict->reply);
    }
    for (size_t i = 0; i < verdict->host_count; i++) {
        const mail_mx_host *found = &verdict->hosts[i];
        mail_time expires = now + (found->ttl > 0 ? found->ttl : 1) * MAIL_SECOND;

        for (size_t a = 0; a < found->address_count; a++) {
            const mail_endpoint at = {found->addresses[a], port};

            add_entry(dest, host_use(&dest->agent->hosts, &at, dest->level, now), found->name);
        }
        dest->plan_expires = expires < dest->plan_expires ? expires : dest->plan_expires;
    }
}

static void on_mx(const mail_mx_verdict *verdict, void *arg)
{
    destination *dest = arg;

    dest->lookup = NULL;
    take_verdict(dest, verdict, dest->agent->opts.smtp_port);
    destination_go(dest);
}

static int resolve_from(destination *dest);

static void on_host(const mail_mx_verdict *verdict, void *arg)
{
    destination *dest = arg;

    dest->lookup = NULL;
    take_verdict(dest, verdict, dest->hop->hosts[dest->plan_host].port);
    /* A mistake in the configuration must not bounce mail: a next hop is only ever missed for now. */
    if (mail_reply_is_permanent(&dest->plan_reply)) {
        dest->plan_reply.code = 451;
        dest->plan_reply.status[0] = 4;
    }
    dest->plan_host++;
    if (resolve_from(dest) == MAIL_OK) {
        destination_go(dest);
    }
}

static int give_up(destination *dest, int code)
{
    if (code == MAIL_EINVAL) {
        set_reply(dest, &MAIL_REPLY(451, 4, 4, 3, "No resolver is configured"));
    } else {
        set_reply(dest, &MAIL_REPLY(451, 4, 3, 0, "No memory to look up the destination"));
    }
    return MAIL_OK;
}

/* Goes on with the hosts of the next hop from the one that stands at. */
static int resolve_from(destination *dest)
{
    mail_resolver *resolver = dest->agent->opts.resolver;

    for (; dest->plan_host < dest->hop->host_count; dest->plan_host++) {
        const mail_nexthop_host *at = &dest->hop->hosts[dest->plan_host];
        const mail_endpoint endpoint = {at->ip, at->port};
        int code;

        if (at->port == 0) {
            add_entry(dest, host_use_path(&dest->agent->hosts, at->name, now_of(dest)), at->name);
        } else if (at->ip.family != 0) {
            add_entry(dest, host_use(&dest->agent->hosts, &endpoint, dest->level, now_of(dest)),
                      at->name);
        } else {
            code = resolver == NULL ? MAIL_EINVAL
                                    : mail_resolver_host(resolver, mail_span_text(at->name),
                                                         on_host, dest, &dest->lookup);
            if (code == MAIL_OK) {
                return MAIL_EAGAIN;
            }
            give_up(dest, code);
        }
    }
    return MAIL_OK;
}

int plan_make(destination *dest)
{
    mail_resolver *resolver = dest->agent->opts.resolver;
    int code;

    plan_forget(dest);
    dest->plan_expires = MAIL_NEVER;
    dest->plan_host = 0;
    set_reply(dest, &MAIL_REPLY(451, 4, 4, 3, "No address was found"));
    if (dest->hop->kind != MAIL_NEXTHOP_MX) {
        return resolve_from(dest);
    }
    code = resolver == NULL
               ? MAIL_EINVAL
               : mail_resolver_mx(resolver, mail_span_text(dest->key), on_mx, dest, &dest->lookup);
    return code == MAIL_OK ? MAIL_EAGAIN : give_up(dest, code);
}
