/* SPDX-License-Identifier: MIT */
/* Bytes from the wire against a server that expects a handshake: the first octet cuts the rest. */
#include <stdint.h>

#include <mail/tls.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mail_tls_context_options context_opts = MAIL_TLS_CONTEXT_OPTIONS_INIT;
    mail_tls_options opts = MAIL_TLS_OPTIONS_INIT;
    mail_tls_context *context;
    mail_tls *tls;
    size_t at = 1;

    if (size == 0) {
        return 0;
    }
    context_opts.no_trust = true;
    opts.server = (data[0] & 1) != 0;
    opts.name = MAIL_SPAN("mx.b.example");
    if (mail_tls_context_create(&context, &context_opts, NULL) != MAIL_OK) {
        return 0;
    }
    if (mail_tls_create(&tls, context, &opts) == MAIL_OK) {
        while (at < size) {
            size_t n =
                size - at < (size_t)(data[0] >> 1) + 1 ? size - at : (size_t)(data[0] >> 1) + 1;
            size_t used;

            (void)mail_tls_feed(tls, mail_span_of(data + at, n), &used);
            if (used == 0) {
                break;
            }
            at += used;
            mail_tls_sent(tls, mail_tls_out(tls).length);
        }
        (void)mail_tls_eof(tls);
        mail_tls_destroy(tls);
    }
    mail_tls_context_unref(context);
    return 0;
}
