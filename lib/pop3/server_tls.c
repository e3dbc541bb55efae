/* SPDX-License-Identifier: MIT */
/* STLS (RFC 2595, section 4), and TLS from the first octet (RFC 8314). */
#include <assert.h>

#include "base/mem.h"
#include "pop3/server.h"

int pop3_on_stls(mail_pop3_server *srv, mail_span arg, mail_pop3_event *ev)
{
    (void)arg;
    if (srv->is_private) {
        return pop3_fault(srv, "TLS is on already");
    }
    if (!srv->stls) {
        return pop3_fault(srv, "unknown command");
    }
    if (srv->utf8) { /* RFC 6856, section 2.1 */
        return pop3_fault(srv, "no STLS after UTF8");
    }
    ev->type = MAIL_POP3_EV_STLS;
    srv->state = AWAIT_STLS;
    return MAIL_OK;
}

/*
 * What a peer sends in clear behind STLS is not what it says in TLS, but what somebody
 * between us put there. Reported once, run never.
 */
void pop3_tls_step(mail_pop3_server *srv, mail_span in, size_t *used, mail_pop3_event *ev)
{
    *used = in.length;
    if (in.length > 0 && !srv->told_dropped) {
        srv->told_dropped = true;
        ev->type = MAIL_POP3_EV_DROPPED;
    }
}

bool mail_pop3_server_awaits_tls(const mail_pop3_server *srv)
{
    return srv->state == EXPECT_TLS;
}

int mail_pop3_server_tls_started(mail_pop3_server *srv, mail_time now, mail_span binding,
                                 mail_span identity)
{
    if (srv->state == CLOSING || srv->state == CLOSED) {
        return MAIL_OK; /* forced down meanwhile */
    }
    assert(srv->state == EXPECT_TLS && buffer_length(&srv->out) == 0);
    assert(binding.length == 0 || binding.length == sizeof(srv->binding));
    if (identity.length > 0) {
        srv->identity = mem_text(srv->mem, identity);
        if (srv->identity == NULL) {
            return MAIL_ENOMEM;
        }
    }
    srv->has_binding = binding.length > 0;
    if (srv->has_binding) {
        memcpy(srv->binding, binding.data, binding.length);
    }
    srv->active_at = now;
    srv->is_private = true;
    srv->state = srv->implicit_tls ? EXPECT_START : EXPECT_USER;
    return MAIL_OK;
}
