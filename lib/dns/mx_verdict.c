/* SPDX-License-Identifier: MIT */
#include "dns/mx_plan.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"

#define LINE_MAX_OCTETS 512

/* Appends a line; one that finds no room is left out. */
static int append_line(buffer *to, const char *format, va_list args)
{
    char line[LINE_MAX_OCTETS] = "\n";
    size_t from = buffer_length(to) > 0 ? 0 : 1; /* no LF before the first */
    int code;

    vsnprintf(line + 1, sizeof(line) - 1, format, args);
    code = buffer_append(to, mail_span_text(line + from));
    return code == MAIL_ELIMIT ? MAIL_OK : code;
}

int mx_fault(mail_mx_plan *plan, const char *format, ...)
{
    va_list args;
    int code;

    va_start(args, format);
    code = append_line(&plan->faults, format, args);
    va_end(args);
    return code;
}

static int finish(mail_mx_plan *plan)
{
    plan->verdict.faults = buffer_bytes(&plan->faults);
    plan->verdict.has_faults = plan->verdict.faults.length > 0;
    plan->is_settled = true;
    return MAIL_OK;
}

int mx_refuse(mail_mx_plan *plan, mail_reply reply, const char *format, ...)
{
    va_list args;
    int code;

    va_start(args, format);
    code = append_line(&plan->text, format, args);
    va_end(args);
    if (code != MAIL_OK) {
        return code;
    }
    reply.text = buffer_bytes(&plan->text);
    plan->verdict.reply = reply;
    return finish(plan);
}

/* MX-007, now that the addresses are known: how many candidates come before our own. */
static size_t count_before_own(mail_mx_plan *plan)
{
    for (size_t i = 0; i < plan->asked; i++) {
        if (plan->candidates[i].is_own) {
            plan->has_own = true;
            while (i > 0 && plan->candidates[i - 1].preference == plan->candidates[i].preference) {
                i--;
            }
            return i;
        }
    }
    return plan->asked;
}

static size_t count_addresses(const mx_candidate *candidate)
{
    return candidate->family[MX_V6].count + candidate->family[MX_V4].count;
}

static int report_refused(mail_mx_plan *plan, const mx_candidate *candidate)
{
    char ip[MAIL_IP_TEXT_SIZE];

    if (candidate->refused_count == 0) {
        return MAIL_OK;
    }
    mail_ip_print(&candidate->refused, ip);
    return mx_fault(plan, "%s: %s is no public address", candidate->name, ip);
}

/* What is wrong with one host, a line each. A domain that is its own host can't be at fault as MX. */
static int report(mail_mx_plan *plan, const mx_candidate *candidate)
{
    bool is_target = !plan->verdict.implicit;
    int code = MAIL_OK;

    if (candidate->is_alias && is_target) { /* MX-008; RFC 2181, section 10.3 */
        code = mx_fault(plan, "%s: an alias, which the target of an MX record must not be",
                        candidate->name);
    }
    if (code == MAIL_OK) {
        code = report_refused(plan, candidate);
    }
    if (code == MAIL_OK && candidate->failure != NULL) {
        code = mx_fault(plan, "%s: %s", candidate->name, candidate->failure);
    } else if (code == MAIL_OK && is_target && count_addresses(candidate) == 0 &&
               candidate->refused_count == 0) {
        code = mx_fault(plan, "%s: %s", candidate->name,
                        candidate->is_missing ? "no such name" : "no address");
    }
    return code;
}

/* The families take turns, so that the limit never leaves one out (MX-009). */
static size_t interleave(const mail_mx_plan *plan, const mx_candidate *candidate, mail_ip *out)
{
    size_t count = 0;

    for (size_t i = 0; i < MX_ADDRESSES_MAX; i++) {
        for (size_t f = 0; f < MX_FAMILIES; f++) {
            const mx_addresses *family = &candidate->family[f];

            if (i < family->count && count < plan->opts.max_addresses) {
                out[count++] = family->ips[i];
            }
        }
    }
    return count;
}

static int make_hosts(mail_mx_plan *plan, size_t usable)
{
    plan->hosts = mem_alloc(plan->opts.mem, plan->candidate_count * sizeof(*plan->hosts));
    if (plan->hosts == NULL) {
        return MAIL_ENOMEM;
    }
    plan->addresses =
        mem_alloc(plan->opts.mem, usable * plan->opts.max_addresses * sizeof(*plan->addresses));
    if (plan->addresses == NULL) {
        return MAIL_ENOMEM;
    }
    plan->address_count = usable * plan->opts.max_addresses;
    return MAIL_OK;
}

static void add_host(mail_mx_plan *plan, const mx_candidate *candidate)
{
    mail_ip *ips = plan->addresses + plan->verdict.host_count * plan->opts.max_addresses;

    plan->hosts[plan->verdict.host_count++] = (mail_mx_host){
        .name = candidate->name,
        .preference = candidate->preference,
        .addresses = ips,
        .address_count = interleave(plan, candidate, ips),
        .ttl = candidate->ttl,
    };
}

static int settle_on_hosts(mail_mx_plan *plan, size_t count, size_t usable)
{
    int code;

    usable = usable < plan->opts.max_hosts ? usable : plan->opts.max_hosts;
    code = make_hosts(plan, usable);
    if (code != MAIL_OK) {
        return code;
    }
    for (size_t i = 0; i < count && plan->verdict.host_count < usable; i++) {
        if (count_addresses(&plan->candidates[i]) > 0) {
            add_host(plan, &plan->candidates[i]);
        }
    }
    plan->verdict.hosts = plan->hosts;
    return finish(plan);
}

/* A domain whose own address would do, but has none. */
static int refuse_without_address(mail_mx_plan *plan, const mx_candidate *self)
{
    /* A configured host that is missing is a mistake to be mended, not the sender's fault. */
    if (plan->opts.is_host) {
        return mx_refuse(plan, MAIL_REPLY(451, 4, 4, 4, ""),
                         "No address of %s, which all mail goes to", plan->domain);
    }
    if (self->is_missing) {
        return mx_refuse(plan, MAIL_REPLY(550, 5, 1, 2, ""), "No such domain: %s", plan->domain);
    }
    return mx_refuse(plan, MAIL_REPLY(550, 5, 1, 2, ""), "%s has neither MX record nor address",
                     plan->domain);
}

/*
 * No host is left. The mildest cause decides, as it may have passed when we try again:
 * no answer, then a missing address, then what will be refused again (MX-002, MX-004).
 */
static int settle_on_refusal(mail_mx_plan *plan, size_t count)
{
    const mx_candidate *without = NULL;
    const mx_candidate *refused = NULL;
    char ip[MAIL_IP_TEXT_SIZE];

    for (size_t i = 0; i < count; i++) {
        const mx_candidate *candidate = &plan->candidates[i];

        if (candidate->failure != NULL && !candidate->is_missing) {
            return mx_refuse(plan, MAIL_REPLY(451, 4, 4, 3, ""), "Can't look up %s: %s",
                             candidate->name, candidate->failure);
        }
        if (candidate->refused_count > 0) {
            refused = candidate;
        } else {
            without = candidate;
        }
    }
    if (count == 0 && plan->has_own) {
        return mx_refuse(plan, MAIL_REPLY(554, 5, 4, 6, ""), "Mail for %s loops back to this host",
                         plan->domain);
    }
    if (without != NULL && plan->verdict.implicit) {
        return refuse_without_address(plan, without);
    }
    if (without != NULL) {
        return mx_refuse(plan, MAIL_REPLY(451, 4, 4, 4, ""), "No MX host of %s has an address",
                         plan->domain);
    }
    if (refused != NULL) {
        mail_ip_print(&refused->refused, ip);
        return mx_refuse(plan, MAIL_REPLY(550, 5, 4, 4, ""),
                         "%s lies on %s, which is no public address", refused->name, ip);
    }
    return mx_refuse(plan, MAIL_REPLY(550, 5, 4, 4, ""), "No MX record of %s names a usable host",
                     plan->domain);
}

int mx_settle(mail_mx_plan *plan)
{
    size_t count = count_before_own(plan);
    size_t usable = 0;

    for (size_t i = 0; i < count; i++) {
        int code = report(plan, &plan->candidates[i]);

        if (code != MAIL_OK) {
            return code;
        }
        usable += count_addresses(&plan->candidates[i]) > 0;
    }
    return usable > 0 ? settle_on_hosts(plan, count, usable) : settle_on_refusal(plan, count);
}
