/* SPDX-License-Identifier: MIT */
/*
 * What others have taken for the end of a message (SMTP smuggling, VU#302671). Each
 * sequence stands in a message before a MAIL of the attacker's, which must
 * never be run: as a transcript it is replayed whole, octet by octet and cut at every
 * place, just behind the sequence among them (SS-001, SS-002, SS-003).
 *
 * The other way round the client hands them on, and no peer may find a second message
 * in what it sends, however sloppily it reads (SC-008, SC-009).
 */
#include <mail/smtp_client.h>

#include "base/buffer.h"
#include "support/smtp_server_adapter.h"
#include "support/support.h"

#define BEGIN                                                                                      \
    "E: CONNECT\nS: 220 mx.example ESMTP\n"                                                        \
    "C: HELO c\nE: HELO c\nS: 250 mx.example\n"                                                    \
    "C: MAIL FROM:<a@b.example>\nE: MAIL <a@b.example>\nS: 250 OK\n"                               \
    "C: RCPT TO:<c@d.example>\nE: RCPT <c@d.example>\nS: 250 OK\n"                                 \
    "C: DATA\nE: DATA\nS: 354 End with <CRLF>.<CRLF>\n"                                            \
    "C+ begin%s\nC: MAIL FROM:<evil@x>\nC: .\n"

#define REJECTED "S: 550 Lone CR or LF in the message\nE: ABORT\nE: CLOSE 550\n"

#define TAKEN "B: MAIL FROM:<evil@x>\nE: END %zu\nS: 250 OK\nC: QUIT\nS: 221 Bye\nE: CLOSE 221\n"

static const struct sequence {
    const char *name;
    const char *octets;    /* as in a transcript */
    const char *handed_on; /* when normalised, behind `begin`; NULL: as it stands */
    const char *before;    /* when rejected, what of it was handed on first; NULL: never rejected */
} sequences[] = {
    {"LF . LF", "\\n.\\n", "\\r\\n.\\r\\n", ""},
    {"LF . CRLF", "\\n.\\r\\n", "\\r\\n.\\r\\n", ""},
    {"CRLF . LF", "\\r\\n.\\n", "\\r\\n\\r\\n", "\\r\\n"},
    {"CRLF . CR", "\\r\\n.\\r", "\\r\\n\\r\\n", "\\r\\n"},
    {"CR . CRLF", "\\r.\\r\\n", "\\r\\n.\\r\\n", ""},
    {"CR . CR", "\\r.\\r", "\\r\\n.\\r\\n", ""},
    {"CR . LF", "\\r.\\n", "\\r\\n.\\r\\n", ""},
    {"LF . CR", "\\n.\\r", "\\r\\n.\\r\\n", ""},
    {"CRLF NUL . CRLF", "\\r\\n\\0.\\r\\n", NULL, NULL},
    {"CRLF . NUL CRLF", "\\r\\n.\\0\\r\\n", "\\r\\n\\0\\r\\n", NULL},
    {"CR CR LF . CR CR LF", "\\r\\r\\n.\\r\\r\\n", "\\r\\n\\r\\n\\r\\n\\r\\n", ""},
    {"CRLF . CR CR LF", "\\r\\n.\\r\\r\\n", "\\r\\n\\r\\n\\r\\n", "\\r\\n"},
    {"CR LF CR . CRLF", "\\r\\n\\r.\\r\\n", "\\r\\n\\r\\n.\\r\\n", "\\r\\n"},
    {"LF CR . CRLF", "\\n\\r.\\r\\n", "\\r\\n\\r\\n.\\r\\n", ""},
    {"CRLF LF . CRLF", "\\r\\n\\n.\\r\\n", "\\r\\n\\r\\n.\\r\\n", "\\r\\n"},
    {"NEL . NEL", "\\xc2\\x85.\\xc2\\x85", NULL, NULL},
    {"CRLF . NEL", "\\r\\n.\\xc2\\x85", "\\r\\n\\xc2\\x85", NULL},
    {"U+2028 . U+2028", "\\xe2\\x80\\xa8.\\xe2\\x80\\xa8", NULL, NULL},
    {"CRLF . U+2028", "\\r\\n.\\xe2\\x80\\xa8", "\\r\\n\\xe2\\x80\\xa8", NULL},
    {"VT . VT", "\\x0b.\\x0b", NULL, NULL},
    {"CRLF . VT", "\\r\\n.\\x0b", "\\r\\n\\x0b", NULL},
    {"FF . FF", "\\x0c.\\x0c", NULL, NULL},
    {"CRLF . FF", "\\r\\n.\\x0c", "\\r\\n\\x0c", NULL},
    {"CRLF SP . CRLF", "\\r\\n .\\r\\n", NULL, NULL},
    {"CRLF . SP CRLF", "\\r\\n. \\r\\n", "\\r\\n \\r\\n", NULL},
    {"CRLF . TAB CRLF", "\\r\\n.\\t\\r\\n", "\\r\\n\\t\\r\\n", NULL},
    {"CRLF .. CRLF", "\\r\\n..\\r\\n", "\\r\\n.\\r\\n", NULL},
    {"an escaped CRLF . CRLF", "\\\\r\\\\n.\\\\r\\\\n", NULL, NULL},
};

/* The length of octets that are written with escapes. */
static size_t octet_count(const char *text)
{
    size_t count = 0;

    for (; *text != '\0'; count++) {
        text += *text != '\\' ? 1 : text[1] == 'x' ? 4 : 2;
    }
    return count;
}

static void run(const char *name, const char *text)
{
    mail_test_case(name);
    transcript_run_text(&smtp_server_transcripts, name, mail_span_text(text));
}

static void is_rejected_where_a_lone_newline_stands(void **state)
{
    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(sequences); i++) {
        const struct sequence *sq = &sequences[i];
        char text[2048];

        if (sq->before == NULL) {
            continue;
        }
        snprintf(text, sizeof(text), "== %s\n" BEGIN "B+ begin%s\n" REJECTED, sq->name, sq->octets,
                 sq->before);
        run(sq->name, text);
    }
}

static void run_taken(const struct sequence *sq, const char *option)
{
    const char *handed_on = sq->handed_on != NULL ? sq->handed_on : sq->octets;
    size_t size = strlen("begin") + octet_count(handed_on) + strlen("MAIL FROM:<evil@x>\r\n");
    char text[2048];

    snprintf(text, sizeof(text), "== %s\n%s" BEGIN "B+ begin%s\n" TAKEN, sq->name, option,
             sq->octets, handed_on, size);
    run(sq->name, text);
}

static void is_text_where_no_lone_newline_stands(void **state)
{
    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(sequences); i++) {
        if (sequences[i].before == NULL) {
            run_taken(&sequences[i], "");
        }
    }
}

static void is_text_when_newlines_are_normalised(void **state)
{
    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(sequences); i++) {
        run_taken(&sequences[i], "O: normalise\n");
    }
}

/* Turns escapes into the octets they stand for. */
static size_t unescape(const char *text, char *out)
{
    size_t length = 0;

    while (*text != '\0') {
        char c = *text++;

        if (c == '\\') {
            c = *text++;
            if (c == 'x') {
                c = (char)strtoul((char[]){text[0], text[1], '\0'}, NULL, 16);
                text += 2;
            } else {
                c = (char)(c == 'r' ? '\r' : c == 'n' ? '\n' : c == '0' ? '\0' : c);
            }
        }
        out[length++] = c;
    }
    return length;
}

/* What a client says, and what it was told. */
typedef struct outgoing {
    mail_smtp_client *client;
    buffer wire;
    mail_smtp_client_event event;
} outgoing;

static void flush(outgoing *og)
{
    mail_span out;

    while ((out = mail_smtp_client_out(og->client)).length > 0) {
        assert_int_equal(buffer_append(&og->wire, out), MAIL_OK);
        mail_smtp_client_sent(og->client, 0, out.length);
    }
}

static void tell(outgoing *og, const char *text)
{
    mail_span in = mail_span_text(text);
    size_t used;

    do {
        assert_int_equal(mail_smtp_client_feed(og->client, 0, in, &used, &og->event), MAIL_OK);
        in = mail_span_from(in, used);
        flush(og);
    } while (in.length > 0 && used > 0);
}

static void begin_message(outgoing *og, bool lmtp, mail_envelope *envelope)
{
    mail_smtp_client_options opts = MAIL_SMTP_CLIENT_OPTIONS_INIT;
    const mail_recipient rcpt = {.address = MAIL_SPAN("c@d.example")};

    opts.hostname = MAIL_SPAN("client.example");
    opts.lmtp = lmtp;
    *og = (outgoing){0};
    buffer_init(&og->wire, NULL, SIZE_MAX / 4);
    assert_int_equal(mail_smtp_client_create(&og->client, &opts, 0), MAIL_OK);
    tell(og, "220 mx.example\r\n");
    tell(og, "250-mx.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n");
    assert_int_equal(og->event, MAIL_SMTP_CLIENT_READY);
    mail_envelope_init(envelope, NULL);
    assert_int_equal(mail_envelope_add(envelope, &rcpt), MAIL_OK);
    assert_int_equal(
        mail_smtp_client_begin(og->client, 0, envelope, &(mail_smtp_content){.has_8bit = true}),
        MAIL_OK);
    tell(og, "");
    tell(og, "250 OK\r\n250 OK\r\n"); /* under LMTP, DATA waits for them */
    tell(og, "354 go\r\n");
    assert_int_equal(og->event, MAIL_SMTP_CLIENT_BODY);
    buffer_clear(&og->wire, 0);
}

/* Sends `text` in two slices, as far as the client takes it; whether it took all. */
static bool write_message(outgoing *og, mail_span text, size_t cut)
{
    mail_sink *body = mail_smtp_client_body(og->client);
    bool is_taken = mail_sink_write(body, mail_span_first(text, cut)) == MAIL_OK;

    flush(og);
    is_taken = is_taken && mail_sink_write(body, mail_span_from(text, cut)) == MAIL_OK;
    is_taken = is_taken && mail_sink_finish(body, NULL, NULL) == MAIL_OK;
    if (!is_taken) {
        mail_sink_abort(body);
    }
    tell(og, "");
    return is_taken;
}

/*
 * Reads lines as peers have done that took any CR or LF, with others before it, for a line end,
 * and dropped NUL and blanks at the end of a line. How many lines were a dot alone?
 */
static unsigned count_ends(mail_span wire)
{
    unsigned count = 0;
    size_t length = 0; /* of the line, blanks at its end left out */
    bool is_dot = false;

    for (size_t i = 0; i < wire.length; i++) {
        char c = wire.data[i];

        if (c == '\r' || c == '\n') {
            count += length == 1 && is_dot ? 1 : 0;
            length = 0;
        } else if (c != '\0' && c != ' ' && c != '\t') {
            is_dot = length == 0 && c == '.';
            length++;
        } else if (c != '\0' && length == 0) {
            length = 2; /* a blank in front makes another line of it */
        }
    }
    return count;
}

static void send_out(const struct sequence *sq, bool lmtp, size_t *cut)
{
    mail_envelope envelope;
    outgoing og;
    char text[128] = "begin";
    size_t length = strlen(text);
    bool is_clean;
    mail_span wire;

    length += unescape(sq->octets, text + length);
    is_clean = sq->before == NULL && memchr(text, '\0', length) == NULL;
    length += (size_t)sprintf(text + length, "MAIL FROM:<evil@x>\r\n");
    begin_message(&og, lmtp, &envelope);
    assert_int_equal(write_message(&og, mail_span_of(text, length), *cut), is_clean);
    wire = buffer_bytes(&og.wire);
    assert_int_equal(count_ends(wire), is_clean ? 1 : 0);
    assert_true(wire.length == 0 || memchr(wire.data, '\0', wire.length) == NULL);
    if (is_clean) {
        assert_memory_equal(wire.data + wire.length - 5, "\r\n.\r\n", 5);
    } else {
        assert_int_equal(og.event, MAIL_SMTP_CLIENT_DONE);
        assert_int_equal(mail_smtp_client_outcome(og.client, 0).kind, MAIL_OUTCOME_PERMANENT);
    }
    *cut = *cut < length ? *cut + 1 : SIZE_MAX;
    buffer_deinit(&og.wire);
    mail_smtp_client_destroy(og.client);
    mail_envelope_deinit(&envelope);
}

static void goes_out_as_one_message_or_not_at_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(sequences); i++) {
        mail_test_case(sequences[i].name);
        for (size_t cut = 0; cut != SIZE_MAX;) {
            send_out(&sequences[i], false, &cut);
        }
        for (size_t cut = 0; cut != SIZE_MAX;) {
            send_out(&sequences[i], true, &cut);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_rejected_where_a_lone_newline_stands),
        cmocka_unit_test(is_text_where_no_lone_newline_stands),
        cmocka_unit_test(is_text_when_newlines_are_normalised),
        cmocka_unit_test(goes_out_as_one_message_or_not_at_all),
    };

    return mail_test_run(tests);
}
