/* SPDX-License-Identifier: MIT */
#include "sendmail_verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <mail/loop_poll.h>
#include <mail/resolver.h>

#include "exit_code.h"
#include "sendmail_deliver.h"
#include "sendmail_message.h"

/* What became of the search for one recipient's hosts. */
typedef struct finding {
    char text[400];
    int exit_code;
} finding;

static void on_verdict(const mail_mx_verdict *verdict, void *arg)
{
    finding *found = arg;
    char reply[MAIL_REPLY_TEXT_SIZE];

    if (verdict->reply.code == 0) {
        found->exit_code = EX_OK;
        snprintf(found->text, sizeof(found->text), "deliverable: mailer smtp, host %s",
                 verdict->hosts[0].name);
        return;
    }
    mail_reply_print(&verdict->reply, reply, sizeof(reply));
    found->exit_code = exit_code_of_refusal(&verdict->reply);
    snprintf(found->text, sizeof(found->text), "%s: %.300s",
             found->exit_code == EX_TEMPFAIL ? "not known now" : "undeliverable", reply);
}

static int look_up(const sendmail_options *opts, const mail_submission *submission,
                   const mail_envelope *envelope, finding *findings, mail_error *err)
{
    char hostname[MAIL_DOMAIN_SIZE];
    mail_resolver *resolver = NULL;
    mail_loop_poll *loop;
    int code;

    snprintf(hostname, sizeof(hostname), "%.*s", (int)submission->hostname.length,
             submission->hostname.data);
    if (mail_loop_poll_create(&loop, NULL) != MAIL_OK) {
        return EX_OSERR;
    }
    code = sendmail_resolver_make(&resolver, mail_loop_poll_loop(loop), opts, hostname, err);
    for (size_t i = 0; code == EX_OK && i < mail_envelope_count(envelope); i++) {
        mail_span domain = mail_address_domain(mail_envelope_recipient(envelope, i).address);

        if (mail_resolver_mx(resolver, domain, on_verdict, &findings[i], NULL) != MAIL_OK) {
            code = EX_OSERR;
        }
    }
    if (code == EX_OK && mail_loop_poll_run(loop) != MAIL_OK) {
        code = EX_OSERR;
    }
    mail_resolver_destroy(resolver);
    mail_loop_poll_destroy(loop);
    return code;
}

static int find(const sendmail_options *opts, const mail_submission *submission,
                const mail_envelope *envelope, finding *findings, mail_error *err)
{
    if (opts->smart_host == NULL) {
        return look_up(opts, submission, envelope, findings, err);
    }
    for (size_t i = 0; i < mail_envelope_count(envelope); i++) {
        snprintf(findings[i].text, sizeof(findings[i].text),
                 "deliverable: mailer relay, host %.300s", opts->smart_host);
    }
    return EX_OK;
}

static int print(const mail_envelope *envelope, const finding *findings)
{
    int worst = EX_OK;

    for (size_t i = 0; i < mail_envelope_count(envelope); i++) {
        mail_span address = mail_envelope_recipient(envelope, i).address;

        printf("%.*s... %s\n", (int)address.length, address.data, findings[i].text);
        worst = findings[i].exit_code > worst ? findings[i].exit_code : worst;
    }
    return fflush(stdout) == 0 ? worst : EX_IOERR;
}

int sendmail_verify(const sendmail_options *opts, const mail_submission *submission,
                    mail_error *err)
{
    mail_envelope envelope;
    finding *findings = NULL;
    int code;

    mail_envelope_init(&envelope, NULL);
    code = sendmail_recipients(opts, submission, &envelope, 0, err);
    if (code == EX_OK && mail_envelope_count(&envelope) == 0) {
        mail_error_set(err, MAIL_EINVAL, "-bv: no recipients: whom to verify stands behind it");
        code = EX_USAGE;
    }
    if (code == EX_OK) {
        findings = calloc(mail_envelope_count(&envelope), sizeof(*findings));
        code = findings != NULL ? find(opts, submission, &envelope, findings, err) : EX_OSERR;
    }
    if (code == EX_OK) {
        code = print(&envelope, findings);
    }
    free(findings);
    mail_envelope_deinit(&envelope);
    return code;
}
