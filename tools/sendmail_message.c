/* SPDX-License-Identifier: MIT */
#include "sendmail_message.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <mail/header.h>

#include "exit_code.h"

/* No header is longer. */
#define HEADER_MAX ((size_t)1 << 20)

#define CHUNK ((size_t)64 * 1024)

static ssize_t read_input(char *to, size_t size)
{
    ssize_t n;

    do {
        n = read(STDIN_FILENO, to, size);
    } while (n < 0 && errno == EINTR);
    return n;
}

/* An empty line, at the start or behind another. */
static bool has_empty_line(const char *text, size_t length)
{
    if (length > 0 && (text[0] == '\n' || (length > 1 && text[0] == '\r' && text[1] == '\n'))) {
        return true;
    }
    return memmem(text, length, "\n\n", 2) != NULL || memmem(text, length, "\n\r\n", 3) != NULL;
}

/* Whether all that is here may still be header. */
static bool is_all_header(mail_span text)
{
    mail_header_reader reader;
    mail_field field;
    int code;

    mail_header_reader_init(&reader, text);
    do {
        code = mail_header_reader_next(&reader, &field);
    } while (code == MAIL_OK);
    return code != MAIL_ENOENT || mail_header_reader_body(&reader) >= text.length;
}

static int read_start(sendmail_message *message, mail_error *err)
{
    ssize_t n = 1;

    message->start = malloc(HEADER_MAX);
    if (message->start == NULL) {
        mail_error_set(err, MAIL_ENOMEM, "out of memory");
        return EX_OSERR;
    }
    while (n > 0 && message->start_length < HEADER_MAX &&
           !has_empty_line(message->start, message->start_length)) {
        n = read_input(message->start + message->start_length, HEADER_MAX - message->start_length);
        if (n < 0) {
            mail_error_set(err, MAIL_EIO, "cannot read the message: %s", strerror(errno));
            return EX_NOINPUT;
        }
        message->start_length += (size_t)n;
    }
    if (message->start_length == HEADER_MAX &&
        is_all_header(mail_span_of(message->start, message->start_length))) {
        mail_error_set(err, MAIL_ELIMIT, "the header is longer than 1 MiB");
        return EX_DATAERR;
    }
    return 0;
}

bool sendmail_is_one_line(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < ' ' || *text == 127) {
            return false;
        }
    }
    return true;
}

/* One word of the command line: an address, or a list with commas. */
static int add_recipients(mail_envelope *envelope, const char *word,
                          const mail_submission *submission, const mail_recipient *like,
                          mail_error *err)
{
    mail_address_reader reader;
    mail_address mailbox;
    int code;

    if (!sendmail_is_one_line(word)) {
        mail_error_set(err, MAIL_EINVAL, "not an address: %.100s", word);
        return EX_USAGE;
    }
    mail_address_reader_init(&reader, mail_span_text(word), MAIL_PATH_UTF8 | MAIL_PATH_BARE);
    while ((code = mail_address_reader_next(&reader, &mailbox)) == MAIL_OK) {
        mail_recipient recipient = *like;
        char whole[2 * MAIL_PATH_MAX + 2];

        recipient.address = mail_path_text(&mailbox.path);
        if (mailbox.path.local_length == mailbox.path.length) {
            int n = snprintf(whole, sizeof(whole), "%s@%.*s", mailbox.path.text,
                             (int)submission->hostname.length, submission->hostname.data);

            recipient.address = mail_span_of(whole, (size_t)n);
        }
        code = mail_envelope_add(envelope, &recipient);
        if (code != MAIL_OK) {
            mail_error_set(err, code, "%s", mail_strerror(code));
            return exit_code_of_error(code);
        }
    }
    if (code != MAIL_ENOENT) {
        mail_error_set(err, code, "not an address: %.100s", word);
        return EX_USAGE;
    }
    return 0;
}

/* The -N list: never, or success, failure, delay. */
static bool parse_notify(const char *text, uint8_t *out)
{
    static const struct {
        const char *name;
        uint8_t bit;
    } names[] = {
        {"never", MAIL_NOTIFY_NEVER},
        {"success", MAIL_NOTIFY_SUCCESS},
        {"failure", MAIL_NOTIFY_FAILURE},
        {"delay", MAIL_NOTIFY_DELAY},
    };

    *out = 0;
    while (*text != '\0') {
        size_t length = strcspn(text, ",");
        size_t i = 0;

        while (i < MAIL_COUNT(names) &&
               !mail_span_equal_nocase(mail_span_of(text, length), mail_span_text(names[i].name))) {
            i++;
        }
        if (i == MAIL_COUNT(names)) {
            return false;
        }
        *out |= names[i].bit;
        text += length + (text[length] == ',');
    }
    return *out == MAIL_NOTIFY_NEVER || (*out & MAIL_NOTIFY_NEVER) == 0;
}

int sendmail_recipients(const sendmail_options *opts, const mail_submission *submission,
                        mail_envelope *envelope, uint8_t notify, mail_error *err)
{
    const mail_recipient like = {.notify = notify};

    for (size_t i = 0; i < opts->recipient_count; i++) {
        int code = add_recipients(envelope, opts->recipients[i], submission, &like, err);

        if (code != 0) {
            return code;
        }
    }
    return 0;
}

/* RFC 6531: the parameter is needed when an address or the header is not ASCII. */
static bool needs_smtputf8(const sendmail_message *message, const mail_envelope *envelope)
{
    mail_scan scan;

    mail_scan_init(&scan);
    mail_scan_feed(&scan, mail_sink_memory_bytes(&message->header));
    mail_scan_end(&scan);
    if (mail_scan_needs_smtputf8(&scan)) {
        return true;
    }
    for (size_t i = 0; i < mail_envelope_count(envelope); i++) {
        mail_span address = mail_envelope_recipient(envelope, i).address;

        for (size_t at = 0; at < address.length; at++) {
            if ((unsigned char)address.data[at] > 127) {
                return true;
            }
        }
    }
    return false;
}

/* The whole message is to be written as its body is: only a line of a mailbox file goes. */
static void keep_header(sendmail_message *message)
{
    static const char mark[] = "From ";
    const char *lf = memchr(message->start, '\n', message->start_length);
    bool is_marked = lf != NULL && message->start_length > sizeof(mark) &&
                     memcmp(message->start, mark, sizeof(mark) - 1) == 0;

    message->body = is_marked ? (size_t)(lf - message->start) + 1 : 0;
    mail_sink_memory_deinit(&message->header);
    mail_sink_memory_init(&message->header, NULL, HEADER_MAX);
}

/* Shows the field as one line, which behind each line end goes on with white space. */
static int refuse_field(mail_span field, mail_error *err)
{
    char shown[100];
    size_t length = 0;

    for (size_t i = 0; i < field.length && length < sizeof(shown); i++) {
        if (field.data[i] != '\r' && field.data[i] != '\n') {
            shown[length++] = field.data[i];
        }
    }
    mail_error_set(err, MAIL_EINVAL, "not an address, in %.*s", (int)length, shown);
    return EX_DATAERR;
}

int sendmail_message_begin(sendmail_message *message, const sendmail_options *opts,
                           const mail_submission *submission, mail_envelope *envelope,
                           mail_error *err)
{
    mail_submission wanted = *submission;
    mail_submitted submitted;
    int code;

    *message = (sendmail_message){0};
    mail_sink_memory_init(&message->header, NULL, 2 * HEADER_MAX);
    mail_newlines_init(&message->newlines);
    message->newlines.dot_ends = !opts->dot_is_data;
    if (opts->notify != NULL && !parse_notify(opts->notify, &wanted.notify)) {
        mail_error_set(err, MAIL_EINVAL,
                       "-N: %.100s: neither never nor any of success, failure and delay",
                       opts->notify);
        return EX_USAGE;
    }
    code = sendmail_recipients(opts, submission, envelope, wanted.notify, err);
    if (code == 0) {
        code = read_start(message, err);
    }
    if (code != 0) {
        return code;
    }
    code = mail_submission_complete(&wanted, mail_span_of(message->start, message->start_length),
                                    &message->header, opts->read_recipients ? envelope : NULL,
                                    &submitted, err);
    if (code != MAIL_OK) {
        return exit_code_of_error(code);
    }
    message->body = submitted.body;
    if (opts->read_recipients && submitted.unusable > 0) {
        return refuse_field(submitted.first_unusable, err);
    }
    if (mail_envelope_count(envelope) == 0) {
        mail_error_set(err, MAIL_EINVAL,
                       "no recipients: neither on the command line nor in the header");
        return EX_USAGE;
    }
    envelope->smtputf8 = needs_smtputf8(message, envelope);
    if (opts->no_completion && !opts->read_recipients && submitted.body > 0) {
        keep_header(message);
    }
    return 0;
}

static int write_all(mail_sink *sink, mail_span bytes, mail_error *err)
{
    while (bytes.length > 0) {
        size_t room = mail_sink_room(sink); /* a drop always has some */
        size_t n = bytes.length < room ? bytes.length : room;
        int code = mail_sink_write(sink, mail_span_first(bytes, n));

        if (code != MAIL_OK) {
            mail_error_set(err, code, "cannot store the message: %s", mail_strerror(code));
            return EX_IOERR;
        }
        bytes = mail_span_from(bytes, n);
    }
    return 0;
}

static int write_body(sendmail_message *message, mail_sink *sink, mail_span text, mail_error *err)
{
    static char out[2 * CHUNK + 4];

    if (memchr(text.data, '\0', text.length) != NULL) {
        mail_error_set(err, MAIL_EINVAL, "the message holds a NUL octet");
        return EX_DATAERR;
    }
    while (text.length > 0 && !message->newlines.ended) {
        size_t used;
        size_t n = mail_newlines_convert(&message->newlines, text, &used, out, sizeof(out));
        int code = write_all(sink, mail_span_of(out, n), err);

        if (code != 0) {
            return code;
        }
        text = mail_span_from(text, used);
    }
    return 0;
}

int sendmail_message_write(sendmail_message *message, mail_sink *sink, mail_error *err)
{
    static char in[CHUNK];
    char tail[4];
    ssize_t n = 1;
    int code;

    code = write_all(sink, mail_sink_memory_bytes(&message->header), err);
    if (code == 0 && message->start_length > message->body) {
        code = write_body(
            message, sink,
            mail_span_of(message->start + message->body, message->start_length - message->body),
            err);
    }
    /* All input is read even past a final dot: callers take a broken pipe for a failure. */
    while (code == 0 && (n = read_input(in, sizeof(in))) > 0) {
        code = write_body(message, sink, mail_span_of(in, (size_t)n), err);
    }
    if (code != 0) {
        return code;
    }
    if (n < 0) {
        mail_error_set(err, MAIL_EIO, "cannot read the message: %s", strerror(errno));
        return EX_NOINPUT;
    }
    code = write_all(sink, mail_span_of(tail, mail_newlines_end(&message->newlines, tail)), err);
    if (code == 0 && message->newlines.has_bare_cr) {
        mail_error_set(err, MAIL_EINVAL, "the message holds a CR that ends no line");
        code = EX_DATAERR;
    }
    return code;
}

void sendmail_message_deinit(sendmail_message *message)
{
    free(message->start);
    mail_sink_memory_deinit(&message->header);
}
