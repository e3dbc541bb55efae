/* SPDX-License-Identifier: MIT */
/* STARTTLS (RFC 3207), and TLS from the first octet (RFC 8314). */
#include <assert.h>

#include "base/mem.h"
#include "smtp/server.h"

static const mail_reply NOT_HERE = SMTP_REPLY(502, 5, 5, 1, "Command not implemented");
static const mail_reply IS_ON = SMTP_REPLY(503, 5, 5, 1, "TLS is on already");
static const mail_reply NEEDS_NOTHING = SMTP_REPLY(501, 5, 5, 4, "Takes no argument");
static const mail_reply DROPPED = SMTP_REPLY(503, 5, 5, 1, "Input behind STARTTLS was dropped");

int smtp_server_on_starttls(mail_smtp_server *srv, mail_span arg, mail_smtp_event *ev)
{
    if (srv->is_private) {
        return smtp_server_refuse(srv, &IS_ON, ev);
    }
    if (!srv->opts.starttls) {
        return smtp_server_refuse(srv, &NOT_HERE, ev);
    }
    if (arg.length > 0) {
        return smtp_server_refuse(srv, &NEEDS_NOTHING, ev);
    }
    return smtp_server_ask(srv, MAIL_SMTP_EV_STARTTLS, ev);
}

int smtp_server_starttls_answered(mail_smtp_server *srv, const mail_reply *reply)
{
    int code = smtp_server_say(srv, reply);

    if (mail_reply_is_positive(reply)) {
        srv->owed = smtp_server_end_transaction(srv);
        srv->state = SMTP_EXPECT_TLS;
    }
    return code;
}

/*
 * RFC 3207, section 5: what a peer sends in clear behind STARTTLS is not what it says
 * in TLS, but what somebody between us put there. Reported once, run never.
 */
int smtp_server_tls_step(mail_smtp_server *srv, mail_span in, size_t *used, mail_smtp_event *ev)
{
    if (in.length == 0) {
        return MAIL_EAGAIN;
    }
    *used = in.length;
    if (!srv->told_dropped) {
        srv->told_dropped = true;
        ev->type = MAIL_SMTP_EV_REFUSED;
        ev->name = MAIL_SPAN("STARTTLS");
        ev->reply = &DROPPED;
    }
    return MAIL_OK;
}

bool mail_smtp_server_awaits_tls(const mail_smtp_server *srv)
{
    return srv->state == SMTP_EXPECT_TLS;
}

/* RFC 3207, section 4.2: nothing that was said before counts. */
int mail_smtp_server_tls_started(mail_smtp_server *srv, mail_time now, mail_span binding,
                                 mail_span identity)
{
    assert(srv->state == SMTP_EXPECT_TLS && buffer_length(&srv->out) == 0);
    assert(binding.length == 0 || binding.length == sizeof(srv->binding));
    if (identity.length > 0) {
        srv->identity = mem_text(srv->mem, identity);
        if (srv->identity == NULL) {
            return MAIL_ENOMEM;
        }
    }
    srv->now = now;
    srv->since = now;
    srv->is_private = true;
    srv->has_binding = binding.length > 0;
    if (srv->has_binding) {
        memcpy(srv->binding, binding.data, binding.length);
    }
    srv->esmtp = false;
    srv->is_authenticated = false;
    smtp_server_forget_user(srv);
    srv->extensions = smtp_extensions_of(srv);
    srv->state = srv->opts.implicit_tls ? SMTP_EXPECT_CONNECTION : SMTP_EXPECT_HELO;
    return MAIL_OK;
}
