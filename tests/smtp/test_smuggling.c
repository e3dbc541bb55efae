/* SPDX-License-Identifier: MIT */
/*
 * What others have taken for the end of a message (SMTP smuggling, VU#302671). Each
 * sequence stands in a message before a MAIL of the attacker's, which must
 * never be run: as a transcript it is replayed whole, octet by octet and cut at every
 * place, just behind the sequence among them (SS-001, SS-002, SS-003).
 */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_rejected_where_a_lone_newline_stands),
        cmocka_unit_test(is_text_where_no_lone_newline_stands),
        cmocka_unit_test(is_text_when_newlines_are_normalised),
    };

    return mail_test_run(tests);
}
