/* SPDX-License-Identifier: MIT */
/* STARTTLS (RFC 3207), and TLS from the first octet (RFC 8314). */
#include "smtp/client.h"

#include <assert.h>
#include <stdio.h>

/* Two round trips, and some arithmetic on a slow host. */
#define HANDSHAKE_TIMEOUT MAIL_MINUTE

bool smtp_client_wants_starttls(const mail_smtp_client *cl)
{
    return cl->offer.starttls && !cl->is_private &&
           (cl->tls == MAIL_SMTP_TLS_MAY || cl->tls == MAIL_SMTP_TLS_REQUIRE);
}

void smtp_client_ask_for_tls(mail_smtp_client *cl)
{
    cl->state = SMTP_CLIENT_AWAIT_TLS;
    cl->tls_since = cl->now;
    smtp_client_report(cl, MAIL_SMTP_CLIENT_STARTTLS);
}

/* RFC 3207, section 4: a host that cannot now may still take mail in clear, if we let it. */
static void on_refusal(mail_smtp_client *cl, const mail_reply *reply)
{
    char text[MAIL_REPLY_TEXT_SIZE];
    mail_reply why = {.code = 451, .status = {4, 7, 4}};

    if (cl->tls == MAIL_SMTP_TLS_REQUIRE) {
        int length = snprintf(text, sizeof(text), "TLS is required, and the host refuses it: ");

        length += (int)mail_reply_print(reply, text + length, sizeof(text) - (size_t)length);
        why.text = mail_span_of(text, (size_t)length);
        smtp_client_leave(cl, &why, true);
        return;
    }
    cl->offer.starttls = false;
    smtp_client_proceed(cl);
}

bool smtp_client_on_starttls(mail_smtp_client *cl, const mail_reply *reply, size_t index)
{
    (void)index;
    if (mail_reply_is_positive(reply)) {
        smtp_client_ask_for_tls(cl);
    } else if (reply->code < 400) {
        smtp_client_fail_protocol(cl, "a reply that does not fit its command", reply);
    } else {
        on_refusal(cl, reply);
    }
    return true;
}

mail_time smtp_client_tls_deadline(const mail_smtp_client *cl)
{
    bool is_bounded = cl->max_timeout > 0 && cl->max_timeout < HANDSHAKE_TIMEOUT;

    return cl->tls_since + (is_bounded ? cl->max_timeout : HANDSHAKE_TIMEOUT);
}

bool mail_smtp_client_awaits_tls(const mail_smtp_client *cl)
{
    return cl->state == SMTP_CLIENT_AWAIT_TLS;
}

/* RFC 3207, section 4.2: nothing that was learned before counts. */
void mail_smtp_client_tls_started(mail_smtp_client *cl, mail_time now, mail_span binding,
                                  bool is_verified)
{
    assert(cl->state == SMTP_CLIENT_AWAIT_TLS && smtp_wire_out(&cl->wire).length == 0);
    assert(binding.length == 0 || binding.length == sizeof(cl->binding));
    cl->now = now;
    cl->state = SMTP_CLIENT_OPENING;
    cl->is_private = true;
    cl->is_verified = is_verified;
    cl->has_binding = binding.length > 0;
    if (cl->has_binding) {
        memcpy(cl->binding, binding.data, binding.length);
    }
    if (cl->tls == MAIL_SMTP_TLS_IMPLICIT) {
        cl->wire.waits_since = now; /* for the greeting */
        return;
    }
    smtp_client_say_ehlo(cl);
    smtp_wire_time(&cl->wire, now);
}

void mail_smtp_client_refuse(mail_smtp_client *cl, mail_time now, const mail_reply *why)
{
    assert(cl->state == SMTP_CLIENT_AWAIT_TLS || cl->state == SMTP_CLIENT_AWAIT_CREDENTIALS);
    cl->now = now;
    if (cl->state == SMTP_CLIENT_AWAIT_TLS) {
        smtp_client_fail(cl, why, true); /* there is no way to say QUIT any more */
        return;
    }
    smtp_client_leave(cl, why, true);
    smtp_wire_time(&cl->wire, now);
}
