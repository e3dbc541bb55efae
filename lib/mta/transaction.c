/* SPDX-License-Identifier: MIT */
#include "mta/transaction.h"

int transaction_begin(mail_envelope *envelope, const mail_smtp_event *ev)
{
    const mail_smtp_mail *mail = ev->mail;

    mail_envelope_reset(envelope);
    envelope->ret = mail->ret;
    envelope->body = mail->body;
    envelope->smtputf8 = mail->smtputf8;
    envelope->requiretls = mail->requiretls;
    return mail_envelope_set_sender(envelope, mail_path_text(ev->path), mail->envid);
}

mail_recipient transaction_recipient(const mail_smtp_event *ev)
{
    return (mail_recipient){
        .address = mail_path_text(ev->path),
        .orcpt = ev->rcpt->orcpt,
        .notify = ev->rcpt->notify,
    };
}
