/* SPDX-License-Identifier: MIT */
#include "mta/receive.h"

#include <stdio.h>

#include "base/ascii.h"

/* Up to so many recipients are compared with each other. */
#define COMPARED_MAX 1000

bool recipient_may_relay(const mail_receive *rcv, const mail_smtp_session *session)
{
    static const mail_ip loopback = {.family = 4, .bytes = {127, 0, 0, 1}};
    const mail_ip *peer = session->peer_is_unix ? &loopback : &session->peer.ip;

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

static bool is_local(const mail_receive *rcv, const mail_path *path)
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

/* What could only be returned later is refused now. */
static mail_reply add_routed(const mail_receive *rcv, const mail_recipient *recipient,
                             mail_envelope *envelope)
{
    const mail_nexthop *hop = NULL;

    if (rcv->opts.route_of != NULL) {
        hop = rcv->opts.route_of(mail_address_domain(recipient->address), rcv->opts.route_arg);
    }
    return hop != NULL && hop->kind == MAIL_NEXTHOP_ERROR ? hop->reply : add(envelope, recipient);
}

/*
 * RFC 3461, section 5.2.7: an alias for one address hands all parameters on. Of one for
 * several, the first speaks for all: the success of each would be told to a sender who knows of
 * none of them (DS-019).
 */
static void be_one_of_several(mail_recipient *recipient)
{
    uint8_t left = recipient->notify & (uint8_t)~MAIL_NOTIFY_SUCCESS;

    if (recipient->notify != 0 && left == 0) {
        left = MAIL_NOTIFY_NEVER;
    }
    recipient->notify = left;
    recipient->orcpt = MAIL_SPAN("");
}

/* Of several targets the good ones get the message, and what the others say is returned. */
static mail_reply add_targets(const mail_receive *rcv, const mail_path *path,
                              const mail_alias *alias, const mail_recipient *given,
                              mail_envelope *envelope)
{
    char domain[MAIL_PATH_MAX + 1];
    mail_reply reply = {0};

    snprintf(domain, sizeof(domain), "%.*s", (int)mail_path_domain(path).length,
             mail_path_domain(path).data);
    for (size_t i = 0; reply.code == 0 && i < alias->count; i++) {
        mail_recipient recipient = *given;
        mail_path target;

        if (mail_path_from_text(alias->targets[i], MAIL_PATH_UTF8 | MAIL_PATH_BARE, &target) !=
                MAIL_OK ||
            (mail_path_domain(&target).length == 0 && !complete(&target, domain))) {
            return MAIL_REPLY(550, 5, 1, 3, "This alias leads to a bad address");
        }
        recipient.address = mail_path_text(&target);
        if (i > 0) {
            be_one_of_several(&recipient);
        }
        reply =
            alias->count == 1 ? add_routed(rcv, &recipient, envelope) : add(envelope, &recipient);
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

    if (alias != NULL) {
        return add_alias(rcv, path, alias, given, envelope);
    }
    if (!is_postmaster(path) && rcv->opts.has_user != NULL &&
        !rcv->opts.has_user(path, rcv->opts.user_arg)) {
        return MAIL_REPLY(550, 5, 1, 1, "No such user here");
    }
    return add_routed(rcv, given, envelope);
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
    if (is_local(rcv, &whole)) {
        return add_local(rcv, &whole, &recipient, envelope);
    }
    if (!from->may_relay) {
        return MAIL_REPLY(550, 5, 7, 1, "Relaying denied");
    }
    return add_routed(rcv, &recipient, envelope);
}
