/* SPDX-License-Identifier: MIT */
#include "mta/receive.h"

#include <stdio.h>

#include "base/ascii.h"
#include "base/utf8.h"

/* Up to so many recipients are compared with each other. */
#define COMPARED_MAX 1000

bool recipient_may_relay(const mail_receive *rcv, const mail_smtp_session *session)
{
    static const mail_ip loopback = {.family = 4, .bytes = {127, 0, 0, 1}};
    const mail_ip *peer = session->peer_is_unix ? &loopback : &session->peer.ip;

    if (session->authenticated.length > 0) {
        return true;
    }
    for (size_t i = 0; i < rcv->opts.relay_count; i++) {
        if (mail_network_contains(&rcv->relay_from[i], peer)) {
            return true;
        }
    }
    return false;
}

/* RFC 5321, section 4.5.1: there is always somebody to complain to. */
static bool is_postmaster(const mail_path *path)
{
    char name[MAIL_PATH_MAX + 1];
    size_t length = mail_path_local_unquoted(path, name);

    return mail_span_equal_nocase(mail_span_of(name, length), MAIL_SPAN("postmaster"));
}

/* `local` becomes `local@domain`. */
static bool complete(mail_path *path, const char *domain)
{
    char text[2 * MAIL_PATH_MAX + 2];
    int length = snprintf(text, sizeof(text), "%.*s@%s", (int)path->length, path->text, domain);

    return length > 0 && (size_t)length < sizeof(text) &&
           mail_path_from_text(mail_span_of(text, (size_t)length), MAIL_PATH_UTF8, path) == MAIL_OK;
}

void recipient_complete(const mail_receive *rcv, mail_span address, mail_path *out)
{
    *out = (mail_path){.length = 0};
    if (address.length > 0 &&
        mail_path_from_text(address, MAIL_PATH_UTF8 | MAIL_PATH_BARE, out) == MAIL_OK &&
        mail_path_domain(out).length == 0) {
        (void)complete(out, rcv->default_domain);
    }
}

bool recipient_is_local(const mail_receive *rcv, const mail_path *path)
{
    mail_span domain = mail_path_domain(path);

    return domain_set_has(&rcv->local, domain) ||
           mail_span_equal_nocase(domain, mail_span_text(rcv->default_domain));
}

static bool is_in(const mail_envelope *envelope, mail_span address)
{
    size_t count = mail_envelope_count(envelope);

    for (size_t i = 0; i < count && count <= COMPARED_MAX; i++) {
        if (mail_span_equal(mail_envelope_recipient(envelope, i).address, address)) {
            return true;
        }
    }
    return false;
}

static mail_reply add(mail_envelope *envelope, const mail_recipient *recipient)
{
    int code;

    if (is_in(envelope, recipient->address)) {
        return (mail_reply){0}; /* said twice, delivered once */
    }
    code = mail_envelope_add(envelope, recipient);
    if (code == MAIL_ELIMIT) {
        return MAIL_REPLY(452, 4, 5, 3, "Too many recipients");
    }
    return code == MAIL_OK ? (mail_reply){0} : MAIL_REPLY(451, 4, 3, 0, "Out of memory");
}

/* Why mail to an address could only be returned later; code 0: it could be delivered. */
static mail_reply refusal_of(const mail_receive *rcv, const mail_path *path)
{
    const mail_nexthop *hop = NULL;
    bool is_here = recipient_is_local(rcv, path);

    if (rcv->opts.route_of != NULL) {
        hop = rcv->opts.route_of(mail_path_domain(path), rcv->opts.route_arg);
        is_here = is_here || (hop != NULL && hop->kind == MAIL_NEXTHOP_LOCAL);
    }
    if (is_here && !is_postmaster(path) && rcv->opts.has_user != NULL &&
        !rcv->opts.has_user(path, rcv->opts.user_arg)) {
        return MAIL_REPLY(550, 5, 1, 1, "No such user here");
    }
    return hop != NULL && hop->kind == MAIL_NEXTHOP_ERROR ? hop->reply : (mail_reply){0};
}

/* What could only be returned later is refused now. */
static mail_reply add_good(const mail_receive *rcv, const mail_path *path,
                           const mail_recipient *recipient, mail_envelope *envelope)
{
    mail_reply reply = refusal_of(rcv, path);

    return reply.code != 0 ? reply : add(envelope, recipient);
}

/* The ORCPT of an address as it was given; 0: it has none (RFC 3461, section 5.2.1). */
static size_t print_orcpt(mail_span address, char *out, size_t size)
{
    bool is_ascii = utf8_is_ascii(address);
    const char *type = is_ascii ? "rfc822;" : "utf-8;";
    size_t used = strlen(type);
    int n;

    memcpy(out, type, used);
    if (is_ascii) {
        n = mail_xtext_encode(address, out + used, size - used);
        return n > 0 ? used + (size_t)n : 0;
    }
    /* As it may stand under SMTPUTF8 (RFC 6533, section 3), where no blank may. */
    if (address.length > size - used || memchr(address.data, ' ', address.length) != NULL) {
        return 0;
    }
    memcpy(out + used, address.data, address.length);
    return used + address.length;
}

/*
 * RFC 3461, section 5.2.7.3 (c): of an alias for several no success is told but its own, lest
 * a sender be told of many who knows of none.
 */
static uint8_t without_success(uint8_t notify)
{
    uint8_t left = notify & (uint8_t)~MAIL_NOTIFY_SUCCESS;

    return notify != 0 && left == 0 ? MAIL_NOTIFY_NEVER : left;
}

bool recipient_of_target(const mail_path *alias, mail_span target, mail_path *out)
{
    char domain[MAIL_PATH_MAX + 1];

    snprintf(domain, sizeof(domain), "%.*s", (int)mail_path_domain(alias).length,
             mail_path_domain(alias).data);
    return mail_path_from_text(target, MAIL_PATH_UTF8 | MAIL_PATH_BARE, out) == MAIL_OK &&
           (mail_path_domain(out).length > 0 || complete(out, domain));
}

/* The alias itself stays among the recipients, to be told of once the message is accepted. */
static mail_reply add_expanded(const mail_recipient *given, mail_envelope *envelope)
{
    mail_recipient recipient = *given;

    recipient.notify = MAIL_NOTIFY_SUCCESS;
    recipient.role = MAIL_RECIPIENT_EXPANDED;
    return mail_envelope_add(envelope, &recipient) == MAIL_OK
               ? (mail_reply){0}
               : MAIL_REPLY(451, 4, 3, 0, "Out of memory");
}

/* Whether none of its targets is any good. */
static bool leads_nowhere(const mail_receive *rcv, const mail_path *path, const mail_alias *alias)
{
    for (size_t i = 0; i < alias->count; i++) {
        mail_path target;
        mail_reply reply;

        if (recipient_of_target(path, alias->targets[i], &target)) {
            reply = refusal_of(rcv, &target);
            if (!mail_reply_is_permanent(&reply)) {
                return false;
            }
        }
    }
    return true;
}

/*
 * RFC 3461, section 5.2.7: an alias hands on what it was given; its targets are nobody's
 * business but ours (section 5.2.7.4). Of several the good ones get the message, and what the
 * others say is returned.
 */
static mail_reply add_targets(const mail_receive *rcv, const mail_path *path,
                              const mail_alias *alias, const mail_recipient *given,
                              mail_envelope *envelope)
{
    char orcpt[3 * MAIL_PATH_MAX + 16];
    mail_recipient shared = *given;
    mail_reply reply = {0};

    if (alias->count > 1 && leads_nowhere(rcv, path, alias)) {
        return MAIL_REPLY(550, 5, 1, 1, "No such user here");
    }
    if (shared.orcpt.length == 0) {
        shared.orcpt = mail_span_of(orcpt, print_orcpt(mail_path_text(path), orcpt, sizeof(orcpt)));
    }
    shared.role = shared.orcpt.length > 0 ? MAIL_RECIPIENT_HIDDEN : MAIL_RECIPIENT_PLAIN;
    if (alias->count > 1) {
        shared.notify = without_success(given->notify);
    }
    for (size_t i = 0; reply.code == 0 && i < alias->count; i++) {
        mail_path target;

        if (!recipient_of_target(path, alias->targets[i], &target)) {
            return MAIL_REPLY(550, 5, 1, 3, "This alias leads to a bad address");
        }
        shared.address = mail_path_text(&target);
        reply =
            alias->count == 1 ? add_good(rcv, &target, &shared, envelope) : add(envelope, &shared);
    }
    if (reply.code == 0 && alias->count > 1 && (given->notify & MAIL_NOTIFY_SUCCESS)) {
        reply = add_expanded(given, envelope);
    }
    return reply;
}

/* All that an alias stands for, or nothing: whoever was refused brings it again. */
static mail_reply add_alias(const mail_receive *rcv, const mail_path *path, const mail_alias *alias,
                            const mail_recipient *given, mail_envelope *envelope)
{
    size_t count = mail_envelope_count(envelope);
    mail_reply reply = add_targets(rcv, path, alias, given, envelope);

    if (reply.code != 0) {
        mail_envelope_truncate(envelope, count);
    }
    return reply;
}

static mail_reply add_local(const mail_receive *rcv, const mail_path *path,
                            const mail_recipient *given, mail_envelope *envelope)
{
    const mail_alias *alias = rcv->aliases != NULL ? mail_aliases_find(rcv->aliases, path) : NULL;

    /* Whatever became of those who stand for him, there is a postmaster. */
    if (alias != NULL && !(is_postmaster(path) && leads_nowhere(rcv, path, alias))) {
        return add_alias(rcv, path, alias, given, envelope);
    }
    return add_good(rcv, path, given, envelope);
}

/* `postmaster`, or as if he had been called so, by a name of ours that no mail is received for. */
static bool is_host_postmaster(const mail_receive *rcv, const mail_path *path)
{
    return is_postmaster(path) && !recipient_is_local(rcv, path) &&
           mail_span_equal_nocase(mail_path_domain(path), mail_span_text(rcv->hostname));
}

mail_reply recipient_add(const mail_receive *rcv, const origin *from, const mail_path *path,
                         const mail_recipient *given, mail_envelope *envelope)
{
    mail_recipient recipient = *given;
    mail_path whole = *path;

    if (mail_path_domain(&whole).length == 0 && !complete(&whole, rcv->default_domain)) {
        return MAIL_REPLY(553, 5, 1, 3, "This address has no domain");
    }
    recipient.address = mail_path_text(&whole);
    if (rcv->opts.accept_all) {
        return add(envelope, &recipient);
    }
    if (is_host_postmaster(rcv, &whole) &&
        mail_path_from_text(MAIL_SPAN("postmaster"), MAIL_PATH_BARE, &whole) == MAIL_OK &&
        complete(&whole, rcv->default_domain)) {
        recipient.address = mail_path_text(&whole);
    }
    if (recipient_is_local(rcv, &whole)) {
        return add_local(rcv, &whole, &recipient, envelope);
    }
    if (!from->may_relay) {
        return MAIL_REPLY(550, 5, 7, 1, "Relaying denied");
    }
    return add_good(rcv, &whole, &recipient, envelope);
}
