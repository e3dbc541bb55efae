/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <mail/dsn.h>

#include "base/mem.h"

#define STANDARD_HEAD                                                                              \
    "From: MAILER-DAEMON@mx.example\r\n"                                                           \
    "Content-Type: multipart/report; report-type=delivery-status;\r\n"                             \
    "\tboundary=\"b;1\"\r\n\r\n"                                                                   \
    "preamble\r\n--b;1\r\n\r\nHi. This is the text.\r\n"

static const struct {
    const char *name;
    mail_dsn_kind kind;
    const char *message;
    const char *told; /* `address action status host: diagnostic`, a line for each recipient */
} samples[] = {
    {"RFC 3464", MAIL_DSN_KIND_STANDARD,
     STANDARD_HEAD
     "--b;1\r\nContent-Type: message/delivery-status\r\n\r\n"
     "Reporting-MTA: dns; mx.example\r\n\r\n"
     "Final-Recipient: rfc822; a@b.example\r\nAction: failed\r\nStatus: 5.1.1 (unknown)\r\n"
     "Remote-MTA: dns; mx.b.example\r\nDiagnostic-Code: smtp; 550 5.1.1\r\n\tNobody\r\n\r\n"
     "Original-Recipient: rfc822;x\r\nFinal-Recipient: rfc822;c@d.example\r\n"
     "Action: Delayed\r\nStatus: 4.4.1\r\n\r\n"
     "--b;1\r\nContent-Type: message/rfc822\r\n\r\nFinal-Recipient: rfc822; no@one\r\n--b;1--\r\n",
     "a@b.example failed 5.1.1 mx.b.example: 550 5.1.1 Nobody\n"
     "c@d.example delayed 4.4.1 : \n"},
    {"RFC 6533, with LF, cut short", MAIL_DSN_KIND_STANDARD,
     "Content-Type: multipart/report; boundary=x\n\n--x\n"
     "Content-Type: message/global-delivery-status\n\n\n"
     "Final-Recipient: utf-8; \303\244@b.example\nAction: relayed\nStatus: 2.0.0",
     "\303\244@b.example relayed 2.0.0 : \n"},
    {"QSBMF", MAIL_DSN_KIND_QSBMF,
     "From: MAILER-DAEMON@a.example\n\n"
     "Hi. This is the qmail-send program at a.example.\n"
     "I'm afraid I wasn't able to deliver your message to the following addresses.\n"
     "This is a permanent error; I've given up. Sorry it didn't work out.\n\n"
     "<x@b.example>:\n"
     "192.0.2.1 does not like recipient.\nRemote host said: 550 5.7.1 go away\n"
     "Giving up on 192.0.2.1.\n\n"
     "<y@c.example>:\nSorry, no mailbox here by that name. (#5.1.1)\n\n"
     "--- Below this line is a copy of the message.\n\n<z@d.example>:\nno\n",
     "x@b.example failed 5.7.1 : 192.0.2.1 does not like recipient. Remote host said: 550 5.7.1 go "
     "away Giving up on 192.0.2.1.\n"
     "y@c.example failed 5.1.1 : Sorry, no mailbox here by that name. (#5.1.1)\n"},
    {"Exim, failed", MAIL_DSN_KIND_EXIM,
     "X-Failed-Recipients: x@b.example\r\n\r\n"
     "This message was created automatically by mail delivery software.\r\n\r\n"
     "A message that you sent could not be delivered to one or more of its\r\n"
     "recipients. This is a permanent error. The following address(es) failed:\r\n\r\n"
     "  x@b.example\r\n    host mx.b.example [192.0.2.1]\r\n"
     "    SMTP error from remote mail server after RCPT TO:<x@b.example>:\r\n"
     "    550 5.1.1 <x@b.example>: unknown\r\n"
     "  y@c.example\r\n    (generated from z@a.example)\r\n    Unrouteable address\r\n\r\n"
     "------ This is a copy of the message, including all the headers. ------\r\n\r\n"
     "  no@one\r\n",
     "x@b.example failed 5.1.1 mx.b.example: host mx.b.example [192.0.2.1] "
     "SMTP error from remote mail server after RCPT TO:<x@b.example>: "
     "550 5.1.1 <x@b.example>: unknown\n"
     "y@c.example failed 0.0.0 : (generated from z@a.example) Unrouteable address\n"},
    {"Exim, delayed", MAIL_DSN_KIND_EXIM,
     "\r\nThis message was created automatically by mail delivery software.\r\n"
     "A message that you sent has not yet been delivered to one or more of its\r\n"
     "recipients after more than 24 hours on the queue on a.example.\r\n\r\n"
     "The address to which the message has not yet been delivered is:\r\n\r\n"
     "  x@b.example\r\n    Delay reason: timed out\r\n\r\nNo action is required on your part.\r\n",
     "x@b.example delayed 0.0.0 : Delay reason: timed out\n"},
    {"dma", MAIL_DSN_KIND_DMA,
     "Subject: Mail delivery failed\n\n"
     "This is the DragonFly Mail Agent v0.13 at a.example.\n\n"
     "There was an error delivering your mail to <x@b.example>.\n\n"
     "mx.b.example [192.0.2.1] did not like our RCPT TO:\n550 5.1.1 no such user\n\n"
     "Message headers follow\n\nTo: no@one\n",
     "x@b.example failed 5.1.1 : mx.b.example [192.0.2.1] did not like our RCPT TO: 550 5.1.1 no "
     "such user\n"},
    {"Exchange 2010 and later", MAIL_DSN_KIND_EXCHANGE,
     "Content-Type: multipart/mixed; boundary=\"q\"\r\n\r\n--q\r\nContent-Type: text/plain\r\n\r\n"
     "Delivery has failed to these recipients or groups:\r\n\r\n"
     "x@b.example<mailto:x@b.example>\r\nThe address wasn't found.\r\n\r\n"
     "Diagnostic information for administrators:\r\n\r\nGenerating server: a.example\r\n\r\n"
     "x@b.example\r\n#550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found ##\r\n\r\n"
     "Original message headers:\r\n\r\nno@one\r\n--q--\r\n",
     "x@b.example failed 5.1.10 : #550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found ##\n"},
    {"Exchange 2003", MAIL_DSN_KIND_EXCHANGE,
     "\r\nYour message did not reach some or all of the intended recipients.\r\n\r\n"
     "      Subject: hello\r\n      Sent:     1/1/2004 10:00 AM\r\n\r\n"
     "The following recipient(s) could not be reached:\r\n\r\n"
     "      'x@b.example' on 1/1/2004 10:00 AM\r\n"
     "            The e-mail account does not exist at the organization.\r\n"
     "            <a.example #5.1.1>\r\n\r\n",
     "x@b.example failed 5.1.1 : The e-mail account does not exist at the organization. "
     "<a.example #5.1.1>\n"},
    {"a letter", MAIL_DSN_KIND_NONE, "Subject: x\r\n\r\nDid you see this?\r\n", ""},
    {"a letter that quotes a report", MAIL_DSN_KIND_NONE,
     "Subject: x\r\n\r\nWhat is this?\r\n\r\n> Hi. This is the qmail-send program at a.example.\r\n"
     "<x@b.example>:\r\nno\r\n",
     ""},
    {"nothing", MAIL_DSN_KIND_NONE, "", ""},
    {"a report of nothing", MAIL_DSN_KIND_STANDARD,
     STANDARD_HEAD "--b;1\r\nContent-Type: message/delivery-status\r\n\r\n--b;1--\r\n", ""},
};

static size_t print(char *out, size_t size, const mail_dsn_told *told)
{
    return (size_t)snprintf(out, size, "%.*s %s %u.%u.%u %.*s: %.*s\n", (int)told->address.length,
                            told->address.data, mail_dsn_action_name(told->action), told->status[0],
                            told->status[1], told->status[2], (int)told->remote_mta.length,
                            told->remote_mta.data, (int)told->diagnostic.length,
                            told->diagnostic.data);
}

/* DS-028 */
static void reads_reports_in_every_known_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(samples); i++) {
        char got[2000] = "";
        mail_dsn_reader reader;
        mail_dsn_told told;
        size_t used = 0;

        mail_test_case(samples[i].name);
        assert_int_equal(mail_dsn_reader_init(&reader, mail_span_text(samples[i].message)),
                         samples[i].kind);
        while (mail_dsn_reader_next(&reader, &told) == MAIL_OK) {
            used += print(got + used, sizeof(got) - used, &told);
        }
        assert_string_equal(got, samples[i].told);
        assert_int_equal(mail_dsn_reader_next(&reader, &told), MAIL_ENOENT);
    }
}

/* Wherever it is cut, it is read to its end, and no recipient is made up. */
static void survives_being_cut_anywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(samples); i++) {
        size_t length = strlen(samples[i].message);

        mail_test_case(samples[i].name);
        for (size_t cut = 0; cut <= length; cut++) {
            char *copy = malloc(cut + 1); /* what lies behind it is not ours */
            mail_dsn_reader reader;
            mail_dsn_told told;
            size_t count = 0;

            memcpy(copy, samples[i].message, cut);
            (void)mail_dsn_reader_init(&reader, mail_span_of(copy, cut));
            while (mail_dsn_reader_next(&reader, &told) == MAIL_OK) {
                assert_true(told.address.length > 0);
                count++;
            }
            assert_in_range(count, 0, 2);
            free(copy);
        }
    }
}

/* What we write ourselves. */
static void reads_what_mail_dsn_open_writes(void **state)
{
    const mail_dsn_recipient rcpts[] = {
        {.address = MAIL_SPAN("a@b.example"),
         .action = MAIL_DSN_FAILED,
         .reply = MAIL_REPLY(550, 5, 1, 1, "No such user"),
         .remote_mta = MAIL_SPAN("mx.b.example")},
        {.address = MAIL_SPAN("c@d.example"), .action = MAIL_DSN_DELIVERED},
    };
    const mail_dsn dsn = {
        .hostname = MAIL_SPAN("mx.example"),
        .sender = MAIL_SPAN("me@here.example"),
        .recipients = rcpts,
        .count = MAIL_COUNT(rcpts),
    };
    char text[16384];
    size_t length = 0;
    mail_dsn_reader reader;
    mail_source *source;
    mail_dsn_told told;
    mail_span bytes;

    (void)state;
    assert_int_equal(mail_dsn_open(&source, &dsn, NULL, NULL), MAIL_OK);
    while (mail_source_peek(source, &bytes) == MAIL_OK && bytes.length > 0) {
        assert_true(bytes.length <= sizeof(text) - length);
        memcpy(text + length, bytes.data, bytes.length);
        length += bytes.length;
        mail_source_drop(source, bytes.length);
    }
    mail_source_close(source);
    assert_int_equal(mail_dsn_reader_init(&reader, mail_span_of(text, length)),
                     MAIL_DSN_KIND_STANDARD);
    assert_int_equal(mail_dsn_reader_next(&reader, &told), MAIL_OK);
    assert_span_equal(told.address, "a@b.example");
    assert_span_equal(told.remote_mta, "mx.b.example");
    assert_int_equal(told.status[2], 1);
    assert_int_equal(mail_dsn_reader_next(&reader, &told), MAIL_OK);
    assert_int_equal(told.action, MAIL_DSN_DELIVERED);
    assert_int_equal(mail_dsn_reader_next(&reader, &told), MAIL_ENOENT);
}

static void names_every_kind(void **state)
{
    (void)state;
    assert_string_equal(mail_dsn_kind_name(MAIL_DSN_KIND_NONE), "none");
    assert_string_equal(mail_dsn_kind_name(MAIL_DSN_KIND_EXCHANGE), "exchange");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_reports_in_every_known_form),
        cmocka_unit_test(survives_being_cut_anywhere),
        cmocka_unit_test(reads_what_mail_dsn_open_writes),
        cmocka_unit_test(names_every_kind),
    };

    return mail_test_run(tests);
}
