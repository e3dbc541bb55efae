/* SPDX-License-Identifier: MIT */
/*
 * Reads the input as a peer's replies, and writes each: what comes out is lines of
 * printable ASCII of at most 512 octets, which read as the same code again.
 */
#include <stdlib.h>

#include <mail/reply.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void check_wire(mail_span wire, uint16_t code)
{
    mail_reply_reader reader;
    mail_reply reply;
    char text[512];
    bool done = false;

    mail_reply_reader_init(&reader, text, sizeof(text));
    while (wire.length > 0) {
        const char *end = memchr(wire.data, '\r', wire.length);
        size_t n = end != NULL ? (size_t)(end - wire.data) : 0;

        require(end != NULL && n <= 510 && n + 1 < wire.length && end[1] == '\n' && !done);
        for (size_t i = 0; i < n; i++) {
            require(wire.data[i] >= ' ' && wire.data[i] <= '~');
        }
        require(mail_reply_reader_line(&reader, mail_span_first(wire, n), &reply, &done) ==
                MAIL_OK);
        wire = mail_span_from(wire, n + 2);
    }
    require(done && reply.code == code);
}

static void check(const mail_reply *reply)
{
    static char wire[1 << 16];
    char text[MAIL_REPLY_TEXT_SIZE];
    size_t length = mail_reply_print(reply, text, sizeof(text));
    mail_reply again;

    require(length < sizeof(text) && memchr(text, '\n', length) == NULL);
    require(mail_reply_parse(mail_span_of(text, length), &again) == MAIL_OK);
    require(again.code == reply->code);
    if (mail_reply_write(reply, true, wire, sizeof(wire), &length) == MAIL_OK) {
        check_wire(mail_span_of(wire, length), reply->code);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mail_span rest = mail_span_of(data, size);
    mail_reply_reader reader;
    mail_reply reply;
    char text[600];
    bool done;

    mail_reply_reader_init(&reader, text, sizeof(text));
    while (rest.length > 0) {
        const char *end = memchr(rest.data, '\n', rest.length);
        size_t n = end != NULL ? (size_t)(end - rest.data) : rest.length;

        if (mail_reply_reader_line(&reader, mail_span_first(rest, n), &reply, &done) != MAIL_OK) {
            mail_reply_reader_init(&reader, text, sizeof(text));
        } else if (done) {
            check(&reply);
        }
        rest = mail_span_from(rest, end != NULL ? n + 1 : n);
    }
    return 0;
}
