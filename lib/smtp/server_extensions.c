/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>

#include "smtp/server.h"

/* What stands behind a keyword in the reply to EHLO. */
static void write_size(const mail_smtp_server *srv, char *to, size_t size)
{
    snprintf(to, size, " %" PRIu64, srv->opts.max_message_bytes);
}

static void write_limits(const mail_smtp_server *srv, char *to, size_t size)
{
    snprintf(to, size, " RCPTMAX=%" PRIu32, srv->opts.max_recipients);
}

/* One row a keyword; `write_rest` gives what follows it. */
static const struct extension {
    unsigned bit;
    const char *keyword;
    void (*write_rest)(const mail_smtp_server *srv, char *to, size_t size);
} extensions[] = {
    {SMTP_EXT_PIPELINING, "PIPELINING", NULL},             /* RFC 2920 */
    {SMTP_EXT_SIZE, "SIZE", write_size},                   /* RFC 1870 */
    {SMTP_EXT_8BITMIME, "8BITMIME", NULL},                 /* RFC 6152 */
    {SMTP_EXT_CHUNKING, "CHUNKING", NULL},                 /* RFC 3030 */
    {SMTP_EXT_BINARYMIME, "BINARYMIME", NULL},             /* RFC 3030 */
    {SMTP_EXT_SMTPUTF8, "SMTPUTF8", NULL},                 /* RFC 6531 */
    {SMTP_EXT_DSN, "DSN", NULL},                           /* RFC 3461 */
    {SMTP_EXT_ENHANCED, "ENHANCEDSTATUSCODES", NULL},      /* RFC 2034 */
    {SMTP_EXT_LIMITS, "LIMITS", write_limits},             /* RFC 9422 */
    {SMTP_EXT_STARTTLS, "STARTTLS", NULL},                 /* RFC 3207 */
    {SMTP_EXT_AUTH, "AUTH", smtp_server_write_mechanisms}, /* RFC 4954 */
    {SMTP_EXT_REQUIRETLS, "REQUIRETLS", NULL},             /* RFC 8689, section 2 */
    {SMTP_EXT_VRFY, "VRFY", NULL},                         /* RFC 5321, section 3.5.2 */
    {SMTP_EXT_EXPN, "EXPN", NULL},                         /* RFC 5321, section 3.5.2 */
    {SMTP_EXT_HELP, "HELP", NULL},                         /* RFC 5321, section 4.1.1.1 */
};

/* LMTP must offer pipelining and enhanced codes, whatever the options say (RFC 2033, section 5). */
unsigned smtp_extensions_of(const mail_smtp_server *srv)
{
    const mail_smtp_server_options *opts = &srv->opts;
    unsigned bits = SMTP_EXT_SIZE | SMTP_EXT_LIMITS | SMTP_EXT_ENHANCED | SMTP_EXT_HELP;

    bits |= opts->no_pipelining && !opts->lmtp ? 0 : SMTP_EXT_PIPELINING;
    bits |= opts->no_chunking ? 0 : SMTP_EXT_CHUNKING;
    bits |= opts->no_dsn ? 0 : SMTP_EXT_DSN;
    bits |= opts->no_vrfy ? 0 : SMTP_EXT_VRFY;
    bits |= opts->expn ? SMTP_EXT_EXPN : 0;
    bits |= opts->starttls && !srv->is_private ? SMTP_EXT_STARTTLS : 0;
    bits |= opts->requiretls && srv->is_private ? SMTP_EXT_REQUIRETLS : 0;
    bits |= smtp_server_mechanisms(srv) != 0 ? SMTP_EXT_AUTH : 0;
    if (!opts->no_8bitmime) {
        bits |= SMTP_EXT_8BITMIME;
        bits |= opts->no_chunking ? 0 : SMTP_EXT_BINARYMIME; /* RFC 3030, section 3 */
        bits |= opts->no_smtputf8 ? 0 : SMTP_EXT_SMTPUTF8;   /* RFC 6531, section 3.1, item 8 */
    }
    return bits;
}

static int say_one(mail_smtp_server *srv, const struct extension *ext, bool is_last)
{
    char line[160];
    size_t length = strlen(ext->keyword);

    memcpy(line, ext->keyword, length + 1);
    if (ext->write_rest != NULL) {
        ext->write_rest(srv, line + length, sizeof(line) - length);
    }
    return smtp_server_say_keyword(srv, mail_span_text(line), is_last);
}

int smtp_extensions_say(mail_smtp_server *srv)
{
    unsigned left = srv->extensions;
    int code = MAIL_OK;

    for (size_t i = 0; left != 0 && code == MAIL_OK; i++) {
        if ((left & extensions[i].bit) != 0) {
            left &= ~extensions[i].bit;
            code = say_one(srv, &extensions[i], left == 0);
        }
    }
    return code;
}
