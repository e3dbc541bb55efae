/* SPDX-License-Identifier: MIT */
#include "mta/drop_envelope.h"

/* What is refused for now, for want of memory, says nothing of the address: the file stays. */
static int add_recipient(mail_envelope *envelope, const mail_receive *rcv,
                         const mail_recipient *given)
{
    const origin from = {.may_relay = true};
    mail_recipient recipient = *given;
    mail_path path = {.length = 0};
    mail_reply reply;

    recipient_complete(rcv, given->address, &path);
    reply = recipient_add(rcv, &from, &path, given, envelope);
    if (reply.code == 0) {
        return MAIL_OK;
    }
    if (mail_reply_is_transient(&reply)) {
        return MAIL_ENOMEM;
    }
    recipient.address = mail_path_text(&path);
    return mail_envelope_add(envelope, &recipient);
}

int drop_envelope_make(mail_envelope *envelope, const mail_receive *rcv, const mail_envelope *given)
{
    mail_path path = {.length = 0};
    int code;

    envelope->ret = given->ret;
    envelope->body = given->body;
    envelope->smtputf8 = given->smtputf8;
    envelope->requiretls = given->requiretls;
    recipient_complete(rcv, mail_envelope_sender(given), &path);
    code = mail_envelope_set_sender(envelope, mail_path_text(&path), mail_envelope_envid(given));
    for (size_t i = 0; code == MAIL_OK && i < mail_envelope_count(given); i++) {
        mail_recipient recipient = mail_envelope_recipient(given, i);

        code = add_recipient(envelope, rcv, &recipient);
    }
    return code;
}
