/* SPDX-License-Identifier: MIT */
/* A client's messages, divided by newlines, against a server; the first octet chooses the mechanism and who listens. */
#include <stdint.h>
#include <string.h>

#include <mail/sasl.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static mail_span next_line(const uint8_t **at, size_t *left)
{
    const uint8_t *end = memchr(*at, '\n', *left);
    mail_span line = mail_span_of(*at, end != NULL ? (size_t)(end - *at) : *left);

    *at += line.length + (end != NULL);
    *left -= line.length + (end != NULL);
    return line;
}

static void run_server(mail_sasl_mechanism mechanism, const uint8_t *at, size_t left)
{
    mail_sasl_server_options opts = MAIL_SASL_SERVER_OPTIONS_INIT;
    mail_sasl_server *srv;
    mail_sasl_step step;

    opts.mechanism = mechanism;
    opts.binding = MAIL_SPAN("0123456789abcdef");
    opts.identity = MAIL_SPAN("me");
    opts.hostname = MAIL_SPAN("host");
    if (mail_sasl_server_create(&srv, &opts) != MAIL_OK) {
        return;
    }
    step = mail_sasl_server_step(srv, NULL);
    while (step == MAIL_SASL_CONTINUE && left > 0) {
        mail_span line = next_line(&at, &left);

        step = mail_sasl_server_step(srv, &line);
        if (step == MAIL_SASL_ASK) {
            step = mail_sasl_server_answer(srv, &(mail_sasl_answer){.kind = MAIL_SASL_REFUSE});
        }
    }
    mail_sasl_server_destroy(srv);
}

static void run_client(mail_sasl_mechanism mechanism, const uint8_t *at, size_t left)
{
    mail_sasl_client_options opts = MAIL_SASL_CLIENT_OPTIONS_INIT;
    mail_sasl_client *cl;

    opts.mechanism = mechanism;
    opts.user = MAIL_SPAN("user");
    opts.password = MAIL_SPAN("password");
    opts.token = MAIL_SPAN("token");
    opts.binding = MAIL_SPAN("0123456789abcdef");
    opts.max_iterations = 4;
    if (mail_sasl_client_create(&cl, &opts) != MAIL_OK) {
        return;
    }
    while (left > 0) {
        mail_span line = next_line(&at, &left);

        if (mail_sasl_client_step(cl, &line) != MAIL_SASL_CONTINUE) {
            break;
        }
    }
    mail_sasl_client_destroy(cl);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0) {
        mail_sasl_mechanism mechanism =
            (mail_sasl_mechanism)((data[0] & 0x7f) % MAIL_SASL_MECHANISMS);

        (data[0] & 0x80 ? run_client : run_server)(mechanism, data + 1, size - 1);
    }
    return 0;
}
