/* SPDX-License-Identifier: MIT */
/*
 * Sends the message on standard input:  send SMARTHOST|mx SENDER RECIPIENT...
 * Prints what became of each recipient.
 */
#include <stdio.h>
#include <string.h>

#include <mail/compose.h>
#include <mail/send.h>

/* Standard input in wire form: CRLF line ends. */
static size_t read_message(char *out, size_t size)
{
    static char in[1 << 20];
    size_t n = fread(in, 1, sizeof(in), stdin);
    mail_newlines newlines;
    size_t used;
    size_t length;

    mail_newlines_init(&newlines);
    length = mail_newlines_convert(&newlines, mail_span_of(in, n), &used, out, size - 4);
    return length + mail_newlines_end(&newlines, out + length);
}

int main(int argc, char **argv)
{
    static char message[(2 << 20) + 8];
    mail_send_options opts = MAIL_SEND_OPTIONS_INIT;
    mail_send_results *results;
    mail_envelope envelope;
    mail_error err;
    bool good;

    if (argc < 4) {
        fprintf(stderr, "usage: send SMARTHOST|mx SENDER RECIPIENT... <MESSAGE\n");
        return 64;
    }
    opts.smart_host = strcmp(argv[1], "mx") != 0 ? argv[1] : NULL;
    mail_envelope_init(&envelope, NULL);
    mail_envelope_set_sender(&envelope, mail_span_text(argv[2]), (mail_span){0});
    for (int i = 3; i < argc; i++) {
        mail_envelope_add(&envelope, &(mail_recipient){.address = mail_span_text(argv[i])});
    }
    if (mail_send_wait(&results, &envelope,
                       mail_span_of(message, read_message(message, sizeof(message))), &opts,
                       &err) != MAIL_OK) {
        fprintf(stderr, "send: %s\n", err.text);
        return 1;
    }
    for (size_t i = 0; i < mail_send_results_count(results); i++) {
        mail_send_result result = mail_send_results_at(results, i);
        char reply[MAIL_REPLY_TEXT_SIZE];

        mail_reply_print(&result.reply, reply, sizeof(reply));
        printf("%.*s: %s (%s)\n", (int)result.recipient.length, result.recipient.data,
               mail_outcome_kind_name(result.kind), reply);
    }
    good = mail_send_results_are_good(results);
    mail_send_results_destroy(results);
    mail_envelope_deinit(&envelope);
    return good ? 0 : 1;
}
