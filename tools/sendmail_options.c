/* SPDX-License-Identifier: MIT */
#include "sendmail_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mail/resolver.h>
#include <mail/route.h>

typedef struct parser {
    sendmail_options *opts;
    char **argv;
    int argc;
    int next; /* the next word to look at */
    char *problem;
    sendmail_action action;
} parser;

#define PROBLEM_SIZE 200

static void refuse(parser *p, const char *what, const char *word)
{
    snprintf(p->problem, PROBLEM_SIZE, "%s: %.100s", what, word);
    p->action = SENDMAIL_USAGE;
}

/* The value of an option: what is glued to it, or the next word. */
static const char *value_of(parser *p, const char *glued, const char *word)
{
    if (*glued != '\0') {
        return glued;
    }
    if (p->next < p->argc) {
        return p->argv[p->next++];
    }
    refuse(p, "option needs a value", word);
    return "";
}

/* Modes of operation that are another program's work, or need none. */
static void on_mode(parser *p, const char *mode)
{
    switch (*mode) {
    case 'm':
        break;
    case 'q': /* dma: queue only */
        p->opts->queue_only = true;
        break;
    case 'p':
        p->action = mode[1] == 'c' ? SENDMAIL_COUNT : SENDMAIL_MAILQ;
        break;
    case 's':
        p->action = SENDMAIL_SESSION;
        break;
    case 'v':
        p->action = SENDMAIL_VERIFY;
        break;
    case 'V': /* Exim: version */
        p->action = SENDMAIL_VERSION;
        break;
    case 'i': /* newaliases: a relay reads its aliases as text */
    case 'h': /* host status */
    case 'H':
        p->action = SENDMAIL_NOTHING;
        break;
    default:
        refuse(p, "-b knows no such mode; for a server see relay(8)", mode);
    }
}

/* -q: the queue is run. An interval is for daemons, and for them to keep. */
static void on_queue(parser *p, const char *text)
{
    const char **field = *text == 'I'   ? &p->opts->flush_id
                         : *text == 'R' ? &p->opts->flush_domain
                         : *text == 'S' ? &p->opts->flush_sender
                                        : NULL;

    if (*text >= '0' && *text <= '9') {
        p->action = p->action == SENDMAIL_SEND ? SENDMAIL_NOTHING : p->action;
        return;
    }
    p->action = SENDMAIL_FLUSH;
    p->opts->flushes = true;
    if (field != NULL) {
        *field = value_of(p, text + 1, "-q");
    }
}

static void on_delivery_mode(parser *p, char mode)
{
    p->opts->wait = mode == 'i' || mode == 'f';
    p->opts->queue_only = mode == 'q' || mode == 'd';
}

/* -oX: options of the first sendmail. What is not named here is skipped. */
static void on_old_option(parser *p, const char *text)
{
    switch (*text) {
    case '\0': /* `-o name value` in two words */
        (void)value_of(p, "", "-o");
        if (p->action == SENDMAIL_SEND) {
            (void)value_of(p, "", "-o");
        }
        break;
    case 'i':
        p->opts->dot_is_data = true;
        p->opts->read_recipients |= text[1] == 't' && text[2] == '\0';
        break;
    case 't': /* the cluster -oti */
        p->opts->read_recipients = true;
        p->opts->dot_is_data |= text[1] == 'i';
        break;
    case 'd':
        on_delivery_mode(p, text[1]);
        break;
    case 'A':
    case 'M': /* -oMr smtp, -oMs host …: what trusted callers say of themselves */
        if (text[1] == '\0' || (text[0] == 'M' && text[2] == '\0')) {
            (void)value_of(p, "", "-o");
        }
        break;
    }
}

/* -O name=value: only the mode of delivery means something here. */
static void on_named_option(parser *p, const char *text)
{
    static const char mode[] = "DeliveryMode=";

    if (strncmp(text, mode, sizeof(mode) - 1) == 0) {
        on_delivery_mode(p, text[sizeof(mode) - 1]);
    }
}

/* Letters that take no value; they may stand in one word. */
static bool on_flag(parser *p, char letter)
{
    switch (letter) {
    case 'i':
        p->opts->dot_is_data = true;
        return true;
    case 't':
        p->opts->read_recipients = true;
        return true;
    case 'v':
        p->opts->verbose = true;
        return true;
    case 'G':
        p->opts->no_completion = true;
        return true;
    case 'I':
        p->action = SENDMAIL_NOTHING;
        return true;
    case 'U':
    case 'm':
    case 'n':
    case 'E':
    case 'x':
    case 'J':
        return true;
    default:
        return false;
    }
}

/* One word that begins with a single dash. */
static void on_short(parser *p, const char *word)
{
    const char *glued = word + 2;

    switch (word[1]) {
    case 'f':
    case 'r':
        p->opts->sender = value_of(p, glued, word);
        return;
    case 'F':
        p->opts->full_name = value_of(p, glued, word);
        return;
    case 'N':
        p->opts->notify = value_of(p, glued, word);
        return;
    case 'R':
        p->opts->ret = value_of(p, glued, word);
        return;
    case 'V':
        p->opts->envid = value_of(p, glued, word);
        return;
    case 'o':
        on_old_option(p, glued);
        return;
    case 'O':
        on_named_option(p, value_of(p, glued, word));
        return;
    case 'b':
        on_mode(p, value_of(p, glued, word));
        return;
    case 'A': /* of other sendmails, with a value: skipped */
    case 'B': /* what the body is, is seen */
    case 'C':
    case 'D':
    case 'h':
    case 'L':
    case 'p':
    case 'S':
    case 'X':
        (void)value_of(p, glued, word);
        return;
    case 'd': /* the same with a glued value only */
    case 'e':
        return;
    case 'q':
        on_queue(p, glued);
        return;
    case 'M':
        refuse(p, "that is for mail-queue(1) to do", word);
        return;
    }
    for (const char *letter = word + 1; *letter != '\0'; letter++) {
        if (!on_flag(p, *letter)) {
            return; /* unknown letters are skipped: the callers know other sendmails */
        }
    }
}

static const char *long_value(parser *p, const char *equals, const char *word)
{
    return equals != NULL ? equals + 1 : value_of(p, "", word);
}

static void on_port(parser *p, const char *text)
{
    char *end;
    unsigned long port = strtoul(text, &end, 10);

    if (*text < '0' || *text > '9' || *end != '\0' || port == 0 || port > 65535) {
        refuse(p, "--smtp-port: no port from 1 to 65535", text);
        return;
    }
    p->opts->smtp_port = (uint16_t)port;
}

/* A host, or several: not one of the other next hops that a route may have. */
static bool is_smart_host(const char *text)
{
    mail_route_table *routes;
    char rule[SENDMAIL_ROUTE_SIZE];
    int length = snprintf(rule, sizeof(rule), "*=%s", text);
    bool is_host = false;

    if (length >= (int)sizeof(rule) || mail_route_table_create(&routes, NULL) != MAIL_OK) {
        return false;
    }
    if (mail_route_table_add(routes, mail_span_text(rule), NULL) == MAIL_OK) {
        mail_nexthop_kind kind = mail_route_table_find(routes, MAIL_SPAN("x"))->kind;

        is_host = kind == MAIL_NEXTHOP_SMTP || kind == MAIL_NEXTHOP_LMTP;
    }
    mail_route_table_destroy(routes);
    return is_host;
}

static void on_smart_host(parser *p, const char *text)
{
    p->opts->smart_host = text;
    if (p->action != SENDMAIL_USAGE && !is_smart_host(text)) {
        refuse(p, "--smarthost: neither HOST:PORT nor lmtp:HOST:PORT", text);
    }
}

static void on_resolver(parser *p, const char *text)
{
    size_t count = p->opts->resolver_count;

    if (p->action == SENDMAIL_USAGE) {
        return;
    }
    if (count == SENDMAIL_RESOLVERS_MAX) {
        refuse(p, "--resolver: one too many", text);
    } else if (mail_endpoint_parse_peer(mail_span_text(text), MAIL_RESOLVER_PORT,
                                        &p->opts->resolvers[count]) != MAIL_OK) {
        refuse(p, "--resolver: no address such as 192.0.2.1 or 192.0.2.1:5353", text);
    } else {
        p->opts->resolver_count++;
    }
}

static void on_spool(parser *p, const char *text)
{
    p->opts->spool = text;
    if (p->action != SENDMAIL_USAGE && *text == '\0') {
        refuse(p, "--spool", "the name is empty");
    }
}

static void on_wait(parser *p, const char *equals)
{
    char *end;

    p->opts->wait = true;
    if (equals == NULL) {
        return;
    }
    p->opts->wait_seconds = strtod(equals + 1, &end);
    if (equals[1] < '0' || equals[1] > '9' || *end != '\0' || p->opts->wait_seconds > 86400) {
        refuse(p, "--wait: no number of seconds up to 86400", equals + 1);
    }
}

/* Our own options, which no old caller uses. */
static void on_long(parser *p, const char *word)
{
    const char *equals = strchr(word, '=');
    size_t length = equals != NULL ? (size_t)(equals - word) : strlen(word);

#define IS(name) (length == sizeof(name) - 1 && memcmp(word, name, length) == 0)
    if (IS("--help")) {
        p->action = SENDMAIL_HELP;
    } else if (IS("--version")) {
        p->action = SENDMAIL_VERSION;
    } else if (IS("--spool")) {
        on_spool(p, long_value(p, equals, word));
    } else if (IS("--smarthost")) {
        on_smart_host(p, long_value(p, equals, word));
    } else if (IS("--tls-out")) {
        p->opts->tls_out = long_value(p, equals, word);
    } else if (IS("--tls-ca")) {
        p->opts->tls_ca = long_value(p, equals, word);
    } else if (IS("--auth-out")) {
        p->opts->auth_out = long_value(p, equals, word);
    } else if (IS("--resolver")) {
        on_resolver(p, long_value(p, equals, word));
    } else if (IS("--smtp-port")) {
        on_port(p, long_value(p, equals, word));
    } else if (IS("--allow-private-mx") && equals == NULL) {
        p->opts->allow_private_mx = true;
    } else if (IS("--wait")) {
        on_wait(p, equals);
    } else if (IS("--explain") && equals == NULL) {
        p->opts->explain = true;
    } else {
        refuse(p, "unknown option", word);
    }
#undef IS
}

/* Whether it matters what else stands on the command line. */
static bool has_options(sendmail_action action)
{
    return action == SENDMAIL_SEND || action == SENDMAIL_SESSION || action == SENDMAIL_VERIFY ||
           action == SENDMAIL_MAILQ || action == SENDMAIL_COUNT || action == SENDMAIL_FLUSH;
}

/* The program has been called by other names than its own for forty years. */
static sendmail_action action_of_name(const char *path)
{
    const char *slash = path != NULL ? strrchr(path, '/') : NULL;
    const char *name = slash != NULL ? slash + 1 : path;

    if (name != NULL && strcmp(name, "mailq") == 0) {
        return SENDMAIL_MAILQ;
    }
    return name != NULL && strcmp(name, "newaliases") == 0 ? SENDMAIL_NOTHING : SENDMAIL_SEND;
}

sendmail_action sendmail_options_parse(sendmail_options *opts, int argc, char **argv,
                                       char problem[PROBLEM_SIZE])
{
    parser p = {.opts = opts, .argv = argv, .argc = argc, .next = 1, .problem = problem};
    bool options_end = false;
    int kept = 0;

    *opts = (sendmail_options){.wait_seconds = 60, .smtp_port = 25};
    p.action = action_of_name(argv[0]);
    while (p.next < argc && has_options(p.action)) {
        char *word = argv[p.next++];

        if (options_end || word[0] != '-' || word[1] == '\0') {
            argv[kept++] = word; /* never past the word that was read */
        } else if (strcmp(word, "--") == 0) {
            options_end = true;
        } else if (word[1] == '-') {
            on_long(&p, word);
        } else {
            on_short(&p, word);
        }
    }
    opts->recipients = (const char *const *)argv;
    opts->recipient_count = (size_t)kept;
    return p.action;
}
