/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "base/ascii.h"
#include "smtp/server.h"

/* The first octet of a TLS record that holds a ClientHello. */
#define TLS_HANDSHAKE 0x16

enum {
    IS_JUNK = 1, /* furthers no message: counted, limited */
    NO_ARGUMENT = 2,
    LMTP_ONLY = 4,
    SMTP_ONLY = 8,
    UNLISTED = 16,  /* not in the reply to HELP */
    IN_CLEAR = 32,  /* also where TLS is required and not on (RFC 3207, section 4) */
    NEEDS_USER = 64 /* after AUTH, where that is required (RFC 4954, section 6) */
};

/* RFC 5321, section 4.1.4: these may come at any time, but after a greeting that refused. */
#define ANY_TIME (SMTP_IN_COMMANDS & ~SMTP_IN(SMTP_EXPECT_QUIT))

/* STARTTLS ends a transaction, as the EHLO that follows would. */
#define BETWEEN_MESSAGES (SMTP_IN(SMTP_EXPECT_MAIL) | SMTP_IN_ENVELOPE)

/*
 * One row a verb. Out of its states it is refused and never runs. BDAT alone runs
 * everywhere, because its octets must be swallowed before it can be refused.
 */
static const struct verb {
    const char *name;
    unsigned states;
    unsigned flags;
    unsigned extension; /* without which HELP does not speak of it */
    smtp_verb_fn *run;
} verbs[] = {
    {"RCPT", SMTP_IN_ENVELOPE, 0, 0, smtp_server_on_rcpt},
    {"MAIL", SMTP_IN(SMTP_EXPECT_MAIL), NEEDS_USER, 0, smtp_server_on_mail},
    {"DATA", SMTP_IN(SMTP_EXPECT_DATA), NO_ARGUMENT, 0, smtp_server_on_data},
    {"BDAT", SMTP_IN_COMMANDS, IN_CLEAR, SMTP_EXT_CHUNKING, smtp_server_on_bdat},
    {"EHLO", ANY_TIME, IS_JUNK | SMTP_ONLY | IN_CLEAR, 0, smtp_server_on_ehlo},
    {"HELO", ANY_TIME, IS_JUNK | SMTP_ONLY, 0, smtp_server_on_helo},
    {"LHLO", ANY_TIME, IS_JUNK | LMTP_ONLY | IN_CLEAR, 0,
     smtp_server_on_ehlo}, /* RFC 2033, section 4.1 */
    {"QUIT", SMTP_IN_COMMANDS, NO_ARGUMENT | IN_CLEAR, 0, smtp_server_on_quit},
    {"RSET", ANY_TIME, IS_JUNK | NO_ARGUMENT, 0, smtp_server_on_rset},
    {"NOOP", ANY_TIME, IS_JUNK | IN_CLEAR, 0, smtp_server_on_noop},
    {"VRFY", ANY_TIME, IS_JUNK | NEEDS_USER, SMTP_EXT_VRFY, smtp_server_on_vrfy},
    {"EXPN", ANY_TIME, IS_JUNK | NEEDS_USER, SMTP_EXT_EXPN, smtp_server_on_expn},
    {"HELP", ANY_TIME, IS_JUNK, 0, smtp_server_on_help},
    {"STARTTLS", BETWEEN_MESSAGES, IS_JUNK | IN_CLEAR, SMTP_EXT_STARTTLS, smtp_server_on_starttls},
    {"AUTH", SMTP_IN(SMTP_EXPECT_MAIL), 0, SMTP_EXT_AUTH, smtp_server_on_auth},
    /* Known, and not done here: 502. */
    {"ETRN", ANY_TIME, UNLISTED, 0, smtp_server_on_unsupported},
    {"TURN", ANY_TIME, UNLISTED, 0, smtp_server_on_unsupported},
    {"SEND", ANY_TIME, UNLISTED, 0, smtp_server_on_unsupported},
    {"SOML", ANY_TIME, UNLISTED, 0, smtp_server_on_unsupported},
    {"SAML", ANY_TIME, UNLISTED, 0, smtp_server_on_unsupported},
    {"BURL", ANY_TIME, UNLISTED, 0, smtp_server_on_unsupported},
    {"XCLIENT", ANY_TIME, UNLISTED, 0, smtp_server_on_unsupported},
    {"XFORWARD", ANY_TIME, UNLISTED, 0, smtp_server_on_unsupported},
    {"XEXCH50", ANY_TIME, UNLISTED, 0, smtp_server_on_unsupported},
    /* A browser that was made to speak to us; what it goes on to say must not be run. */
    {"GET", SMTP_IN_COMMANDS, UNLISTED | IN_CLEAR, 0, smtp_server_on_foreign},
    {"POST", SMTP_IN_COMMANDS, UNLISTED | IN_CLEAR, 0, smtp_server_on_foreign},
    {"PUT", SMTP_IN_COMMANDS, UNLISTED | IN_CLEAR, 0, smtp_server_on_foreign},
    {"HEAD", SMTP_IN_COMMANDS, UNLISTED | IN_CLEAR, 0, smtp_server_on_foreign},
    {"CONNECT", SMTP_IN_COMMANDS, UNLISTED | IN_CLEAR, 0, smtp_server_on_foreign},
    {"OPTIONS", SMTP_IN_COMMANDS, UNLISTED | IN_CLEAR, 0, smtp_server_on_foreign},
    {"PATCH", SMTP_IN_COMMANDS, UNLISTED | IN_CLEAR, 0, smtp_server_on_foreign},
    {"DELETE", SMTP_IN_COMMANDS, UNLISTED | IN_CLEAR, 0, smtp_server_on_foreign},
    {"TRACE", SMTP_IN_COMMANDS, UNLISTED | IN_CLEAR, 0, smtp_server_on_foreign},
    {"PRI", SMTP_IN_COMMANDS, UNLISTED | IN_CLEAR, 0, smtp_server_on_foreign}, /* HTTP/2 */
    /* For whom a proxy speaks is settled before the session, or never. */
    {"PROXY", SMTP_IN_COMMANDS, UNLISTED | IN_CLEAR, 0, smtp_server_on_foreign},
};

static const mail_reply TALKED_EARLY = SMTP_REPLY(554, 5, 5, 0, "You spoke before the greeting");
static const mail_reply IS_TLS = SMTP_REPLY(554, 5, 5, 1, "TLS spoken where none is expected");
static const mail_reply BARE_LF = SMTP_REPLY(500, 5, 5, 2, "Lines end with CR LF");
static const mail_reply TOO_LONG = SMTP_REPLY(500, 5, 5, 2, "Line too long");
static const mail_reply NOT_TEXT = SMTP_REPLY(500, 5, 5, 2, "Control characters in a command");
static const mail_reply UNKNOWN = SMTP_REPLY(500, 5, 5, 1, "Command unknown");
static const mail_reply NEEDS_NOTHING = SMTP_REPLY(501, 5, 5, 4, "Takes no argument");
static const mail_reply NEEDS_TLS = SMTP_REPLY(530, 5, 7, 0, "Say STARTTLS first");
static const mail_reply NEEDS_AUTH = SMTP_REPLY(530, 5, 7, 0, "Authentication required");
static const mail_reply TOO_MUCH_JUNK = SMTP_REPLY(421, 4, 7, 0, "Too many commands and no mail");

/* RFC 5321, section 4.1.4: 503, with a word about what would be in order. */
static const mail_reply *out_of_order(const mail_smtp_server *srv)
{
    static const mail_reply say_lhlo = SMTP_REPLY(503, 5, 5, 1, "Say LHLO first");
    static const mail_reply replies[] = {
        [SMTP_EXPECT_HELO] = SMTP_REPLY(503, 5, 5, 1, "Say EHLO first"),
        [SMTP_EXPECT_MAIL] = SMTP_REPLY(503, 5, 5, 1, "Say MAIL first"),
        [SMTP_EXPECT_RCPT] = SMTP_REPLY(503, 5, 5, 1, "RCPT is awaited"),
        [SMTP_EXPECT_DATA] = SMTP_REPLY(503, 5, 5, 1, "RCPT or DATA is awaited"),
        [SMTP_EXPECT_CHUNK] = SMTP_REPLY(503, 5, 5, 1, "BDAT is awaited"),
        [SMTP_EXPECT_QUIT] = SMTP_REPLY(503, 5, 5, 1, "QUIT is awaited"),
    };

    if (srv->opts.lmtp && srv->state == SMTP_EXPECT_HELO) {
        return &say_lhlo;
    }
    return &replies[srv->state];
}

mail_span smtp_take_word(mail_span *text)
{
    const char *blank = text->length > 0 ? memchr(text->data, ' ', text->length) : NULL;
    size_t length = blank != NULL ? (size_t)(blank - text->data) : text->length;
    mail_span word = mail_span_first(*text, length);

    while (length < text->length && text->data[length] == ' ') {
        length++;
    }
    *text = mail_span_from(*text, length);
    return word;
}

/* LHLO is unknown to SMTP, and EHLO to LMTP (RFC 2033, section 4.1). */
static const struct verb *find_verb(const mail_smtp_server *srv, mail_span name)
{
    const unsigned hidden = srv->opts.lmtp ? SMTP_ONLY : LMTP_ONLY;

    for (size_t i = 0; i < MAIL_COUNT(verbs); i++) {
        if ((verbs[i].flags & hidden) == 0 &&
            mail_span_equal_nocase(name, mail_span_text(verbs[i].name))) {
            return &verbs[i];
        }
    }
    return NULL;
}

/* What must come before any mail, and has not: whoever sends some is told so first. */
static const mail_reply *precondition_of(const mail_smtp_server *srv, const struct verb *verb)
{
    if (srv->opts.requires_tls && !srv->is_private && (verb->flags & IN_CLEAR) == 0) {
        return &NEEDS_TLS;
    }
    if (srv->opts.requires_auth && !srv->is_authenticated && (verb->flags & NEEDS_USER) != 0 &&
        srv->state == SMTP_EXPECT_MAIL) {
        return &NEEDS_AUTH;
    }
    return NULL;
}

/* Runs a verb that is in order here; else says why it is not. */
static int run_verb(mail_smtp_server *srv, const struct verb *verb, mail_span arg,
                    mail_smtp_event *ev)
{
    const mail_reply *missing = precondition_of(srv, verb);

    if (missing != NULL) {
        return smtp_server_refuse(srv, missing, ev);
    }
    if ((verb->states & SMTP_IN(srv->state)) == 0) {
        return smtp_server_refuse(srv, out_of_order(srv), ev);
    }
    if ((verb->flags & NO_ARGUMENT) != 0 && arg.length > 0) {
        return smtp_server_refuse(srv, &NEEDS_NOTHING, ev);
    }
    if ((verb->flags & IS_JUNK) != 0 && !smtp_server_bears_junk(srv)) {
        return smtp_server_hang_up(srv, &TOO_MUCH_JUNK);
    }
    return verb->run(srv, arg, ev);
}

static int run_line(mail_smtp_server *srv, mail_span line, mail_smtp_event *ev)
{
    const struct verb *verb;
    mail_span name;
    int code;

    /* RFC 5321, section 4.1.1: white space at the end is tolerated. */
    while (line.length > 0 &&
           (line.data[line.length - 1] == ' ' || line.data[line.length - 1] == '\t')) {
        line.length--;
    }
    if (ascii_has_control(line)) {
        return smtp_server_refuse(srv, &NOT_TEXT, ev);
    }
    if (srv->state != SMTP_EXPECT_CHUNK && !smtp_server_bears_command(srv)) {
        return smtp_server_hang_up(srv, &smtp_too_much);
    }
    name = smtp_take_word(&line);
    verb = find_verb(srv, name);
    if (verb == NULL) {
        return smtp_server_refuse(srv, &UNKNOWN, ev);
    }
    code = run_verb(srv, verb, line, ev);
    if (ev->type == MAIL_SMTP_EV_REFUSED) {
        ev->name = mail_span_text(verb->name);
    }
    return code;
}

/* Swallows an over-long line, whose end may be far, and answers it once. */
static int skip_line(mail_smtp_server *srv, mail_span in, size_t *used, mail_smtp_event *ev)
{
    const char *end = memmem(in.data, in.length, "\r\n", 2);
    const mail_reply *refusal;

    if (end == NULL) {
        /* A CR at the end may be half of what is looked for. */
        *used = in.length - (in.data[in.length - 1] == '\r' ? 1 : 0);
        return *used > 0 ? MAIL_OK : MAIL_EAGAIN;
    }
    *used = (size_t)(end - in.data) + 2;
    srv->skips_line = false;
    srv->since = srv->now;
    refusal = smtp_server_skipped_auth(srv);
    return smtp_server_refuse(srv, refusal != NULL ? refusal : &TOO_LONG, ev);
}

/*
 * Cuts one line. Only CRLF ends it (RFC 5321, section 2.3.8); a lone LF is the
 * mark of somebody who counts lines otherwise than we do, with whom no command
 * can be safely told from data: that ends the session.
 */
int smtp_server_command_step(mail_smtp_server *srv, mail_span in, size_t *used, mail_smtp_event *ev)
{
    size_t scan = in.length < MAIL_SMTP_LINE_MAX ? in.length : MAIL_SMTP_LINE_MAX;
    const char *lf;

    if (in.length == 0) {
        return MAIL_EAGAIN;
    }
    if (srv->talked_early && !srv->opts.allow_early_talk) {
        return smtp_server_hang_up(srv, &TALKED_EARLY);
    }
    if (srv->skips_line) {
        return skip_line(srv, in, used, ev);
    }
    if (in.data[0] == TLS_HANDSHAKE) {
        return smtp_server_hang_up(srv, &IS_TLS);
    }
    lf = memchr(in.data, '\n', scan);
    if (lf == NULL) {
        srv->skips_line = in.length >= MAIL_SMTP_LINE_MAX;
        return srv->skips_line ? MAIL_OK : MAIL_EAGAIN;
    }
    if (lf == in.data || lf[-1] != '\r') {
        return smtp_server_hang_up(srv, &BARE_LF);
    }
    *used = (size_t)(lf - in.data) + 1;
    srv->since = srv->now;
    return run_line(srv, mail_span_first(in, *used - 2), ev);
}

static bool is_listed(const mail_smtp_server *srv, const struct verb *verb)
{
    const unsigned hidden = UNLISTED | (srv->opts.lmtp ? SMTP_ONLY : LMTP_ONLY);

    return (verb->flags & hidden) == 0 &&
           (verb->extension == 0 || (verb->extension & srv->extensions) != 0);
}

/* RFC 5321, section 4.1.1.8. */
int smtp_server_on_help(mail_smtp_server *srv, mail_span arg, mail_smtp_event *ev)
{
    char text[256] = "Commands:";
    size_t length = strlen(text);

    (void)arg;
    (void)ev;
    for (size_t i = 0; i < MAIL_COUNT(verbs); i++) {
        if (is_listed(srv, &verbs[i])) {
            length += (size_t)snprintf(text + length, sizeof(text) - length, " %s", verbs[i].name);
        }
    }
    return smtp_server_say(srv, &(mail_reply){214, {2, 0, 0}, mail_span_of(text, length)});
}
