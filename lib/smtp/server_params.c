/* SPDX-License-Identifier: MIT */
/*
 * The path and the parameters of MAIL and RCPT:
 *
 *     esmtp-param   = esmtp-keyword ["=" esmtp-value]    RFC 5321, section 4.1.2
 *     esmtp-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-")
 *     esmtp-value   = 1*(%d33-60 / %d62-126)             and UTF-8: RFC 6531, section 3.3
 */
#include "base/ascii.h"
#include "base/utf8.h"
#include "smtp/orcpt.h"
#include "smtp/server.h"

#define BAD(text) SMTP_REPLY(501, 5, 5, 4, text)

static const mail_reply BAD_SENDER = SMTP_REPLY(501, 5, 1, 7, "Sender address not understood");
static const mail_reply LONG_SENDER = SMTP_REPLY(501, 5, 1, 7, "Sender address too long");
static const mail_reply BAD_RCPT = SMTP_REPLY(501, 5, 1, 3, "Recipient address not understood");
static const mail_reply LONG_RCPT = SMTP_REPLY(501, 5, 1, 3, "Recipient address too long");
static const mail_reply NEEDS_UTF8 =
    SMTP_REPLY(553, 5, 6, 7, "SMTPUTF8 is needed for that address");
static const mail_reply NO_BLANK = BAD("A blank divides address and parameters");
static const mail_reply UNKNOWN = SMTP_REPLY(555, 5, 5, 4, "Parameter unknown or not offered");
static const mail_reply REPEATED = BAD("Parameter given twice");
static const mail_reply BAD_PARAM = BAD("Bad parameter");
static const mail_reply BAD_SIZE = BAD("SIZE needs a number");
static const mail_reply BAD_BODY = BAD("BODY is 7BIT, 8BITMIME or BINARYMIME");
static const mail_reply BAD_RET = BAD("RET is FULL or HDRS");
static const mail_reply BAD_ENVID = BAD("ENVID needs xtext of at most 100 characters");
static const mail_reply BAD_NOTIFY = BAD("NOTIFY is NEVER, or of SUCCESS, FAILURE, DELAY");
static const mail_reply BAD_AUTH = BAD("AUTH needs an address in xtext, or <>");
static const mail_reply BAD_ORCPT = BAD("ORCPT needs type;address in xtext");

static const mail_reply *take_size(mail_smtp_server *srv, mail_span value)
{
    if (!ascii_number(value, UINT64_MAX, &srv->mail.size)) {
        return &BAD_SIZE;
    }
    return srv->mail.size > srv->opts.max_message_bytes ? &smtp_too_big : NULL;
}

static const mail_reply *take_body(mail_smtp_server *srv, mail_span value)
{
    if (mail_span_equal_nocase(value, MAIL_SPAN("7BIT"))) {
        srv->mail.body = MAIL_BODY_7BIT;
    } else if (mail_span_equal_nocase(value, MAIL_SPAN("8BITMIME"))) {
        srv->mail.body = MAIL_BODY_8BITMIME;
    } else if (mail_span_equal_nocase(value, MAIL_SPAN("BINARYMIME")) &&
               smtp_server_offers(srv, SMTP_EXT_BINARYMIME)) {
        srv->mail.body = MAIL_BODY_BINARYMIME;
    } else {
        return &BAD_BODY;
    }
    return NULL;
}

static const mail_reply *take_smtputf8(mail_smtp_server *srv, mail_span value)
{
    (void)value;
    srv->mail.smtputf8 = true;
    return NULL;
}

static const mail_reply *take_requiretls(mail_smtp_server *srv, mail_span value)
{
    (void)value;
    srv->mail.requiretls = true;
    return NULL;
}

static const mail_reply *take_ret(mail_smtp_server *srv, mail_span value)
{
    if (mail_span_equal_nocase(value, MAIL_SPAN("FULL"))) {
        srv->mail.ret = MAIL_RET_FULL;
    } else if (mail_span_equal_nocase(value, MAIL_SPAN("HDRS"))) {
        srv->mail.ret = MAIL_RET_HDRS;
    } else {
        return &BAD_RET;
    }
    return NULL;
}

static const mail_reply *take_envid(mail_smtp_server *srv, mail_span value)
{
    int length = mail_xtext_decode(value, srv->envid, sizeof(srv->envid));

    if (length <= 0) {
        return &BAD_ENVID;
    }
    srv->mail.envid = mail_span_of(srv->envid, (size_t)length);
    return NULL;
}

static unsigned notify_bit(mail_span word)
{
    static const struct {
        const char *word;
        unsigned bit;
    } bits[] = {
        {"SUCCESS", MAIL_NOTIFY_SUCCESS},
        {"FAILURE", MAIL_NOTIFY_FAILURE},
        {"DELAY", MAIL_NOTIFY_DELAY},
        {"NEVER", MAIL_NOTIFY_NEVER},
    };

    for (size_t i = 0; i < MAIL_COUNT(bits); i++) {
        if (mail_span_equal_nocase(word, mail_span_text(bits[i].word))) {
            return bits[i].bit;
        }
    }
    return 0;
}

/* RFC 3461, section 4.1: NEVER stands alone. */
static const mail_reply *take_notify(mail_smtp_server *srv, mail_span value)
{
    unsigned bits = 0;

    for (;;) {
        const char *comma = memchr(value.data, ',', value.length);
        size_t length = comma != NULL ? (size_t)(comma - value.data) : value.length;
        unsigned bit = notify_bit(mail_span_first(value, length));

        if (bit == 0 || (bits & bit) != 0) {
            return &BAD_NOTIFY;
        }
        bits |= bit;
        if (comma == NULL) {
            break;
        }
        value = mail_span_from(value, length + 1);
    }
    if ((bits & MAIL_NOTIFY_NEVER) != 0 && bits != MAIL_NOTIFY_NEVER) {
        return &BAD_NOTIFY;
    }
    srv->rcpt.notify = (uint8_t)bits;
    return NULL;
}

static const mail_reply *take_orcpt(mail_smtp_server *srv, mail_span value)
{
    if (!orcpt_is_valid(value, srv->mail.smtputf8)) {
        return &BAD_ORCPT;
    }
    srv->rcpt.orcpt = value;
    return NULL;
}

/* RFC 4954, section 5: of a peer that has not proved who it is, it is as if it said `<>`. */
static const mail_reply *take_auth(mail_smtp_server *srv, mail_span value)
{
    char address[MAIL_SASL_NAME_MAX];
    int length = mail_xtext_decode(value, address, sizeof(address));

    if (length <= 0) {
        return &BAD_AUTH;
    }
    if (srv->is_authenticated && !mail_span_equal(value, MAIL_SPAN("<>"))) {
        srv->mail.auth = value;
    }
    return NULL;
}

/* One row a parameter; `take` is NULL-valued for none that needs no value. */
static const struct parameter {
    const char *keyword;
    smtp_envelope_verb verb;
    unsigned extension;
    bool has_value;
    const mail_reply *(*take)(mail_smtp_server *srv, mail_span value);
} parameters[] = {
    {"SIZE", SMTP_MAIL, SMTP_EXT_SIZE, true, take_size},              /* RFC 1870, section 5 */
    {"BODY", SMTP_MAIL, SMTP_EXT_8BITMIME, true, take_body},          /* RFC 6152, section 2 */
    {"SMTPUTF8", SMTP_MAIL, SMTP_EXT_SMTPUTF8, false, take_smtputf8}, /* RFC 6531, section 3.4 */
    {"RET", SMTP_MAIL, SMTP_EXT_DSN, true, take_ret},                 /* RFC 3461, section 4.3 */
    {"ENVID", SMTP_MAIL, SMTP_EXT_DSN, true, take_envid},             /* RFC 3461, section 4.4 */
    {"REQUIRETLS", SMTP_MAIL, SMTP_EXT_REQUIRETLS, false, take_requiretls}, /* RFC 8689, 2 */
    {"AUTH", SMTP_MAIL, SMTP_EXT_AUTH, true, take_auth},    /* RFC 4954, section 5 */
    {"NOTIFY", SMTP_RCPT, SMTP_EXT_DSN, true, take_notify}, /* RFC 3461, section 4.1 */
    {"ORCPT", SMTP_RCPT, SMTP_EXT_DSN, true, take_orcpt},   /* RFC 3461, section 4.2 */
};

static size_t find_parameter(const mail_smtp_server *srv, smtp_envelope_verb verb,
                             mail_span keyword)
{
    size_t i;

    for (i = 0; i < MAIL_COUNT(parameters); i++) {
        if (parameters[i].verb == verb && smtp_server_offers(srv, parameters[i].extension) &&
            mail_span_equal_nocase(keyword, mail_span_text(parameters[i].keyword))) {
            break;
        }
    }
    return i;
}

static const mail_reply *take_one(mail_smtp_server *srv, smtp_envelope_verb verb, mail_span param,
                                  unsigned *seen)
{
    const char *equals = memchr(param.data, '=', param.length);
    size_t length = equals != NULL ? (size_t)(equals - param.data) : param.length;
    size_t i = find_parameter(srv, verb, mail_span_first(param, length));
    mail_span value;

    if (i == MAIL_COUNT(parameters)) {
        return &UNKNOWN;
    }
    if ((*seen & 1U << i) != 0) {
        return &REPEATED;
    }
    *seen |= 1U << i;
    value = mail_span_from(param, equals != NULL ? length + 1 : length);
    if (parameters[i].has_value ? value.length == 0 : equals != NULL) {
        return &BAD_PARAM;
    }
    return parameters[i].take(srv, value);
}

/*
 * A non-ASCII path needs SMTPUTF8 (RFC 6531, section 3.5), which in MAIL comes
 * behind the path: so it is judged in the end.
 */
const mail_reply *smtp_server_take_params(mail_smtp_server *srv, smtp_envelope_verb verb,
                                          mail_span arg)
{
    unsigned seen = 0;

    while (arg.length > 0) {
        const mail_reply *refusal = take_one(srv, verb, smtp_take_word(&arg), &seen);

        if (refusal != NULL) {
            return refusal;
        }
    }
    return srv->path.is_utf8 && !srv->mail.smtputf8 ? &NEEDS_UTF8 : NULL;
}

const mail_reply *smtp_server_take_path(mail_smtp_server *srv, smtp_envelope_verb verb,
                                        mail_span *arg)
{
    unsigned flags = MAIL_PATH_UTF8 | (verb == SMTP_MAIL ? MAIL_PATH_NULL : MAIL_PATH_POSTMASTER);
    size_t used = 0;
    int code = mail_path_parse(*arg, flags, &srv->path, &used);

    if (code == MAIL_ELIMIT) {
        return verb == SMTP_MAIL ? &LONG_SENDER : &LONG_RCPT;
    }
    if (code != MAIL_OK) {
        return verb == SMTP_MAIL ? &BAD_SENDER : &BAD_RCPT;
    }
    *arg = mail_span_from(*arg, used);
    if (arg->length > 0 && arg->data[0] != ' ') {
        return &NO_BLANK;
    }
    while (arg->length > 0 && arg->data[0] == ' ') {
        *arg = mail_span_from(*arg, 1);
    }
    return NULL;
}
