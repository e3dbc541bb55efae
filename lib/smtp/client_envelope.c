/* SPDX-License-Identifier: MIT */
#include "smtp/client.h"

#include <assert.h>

#include "base/ascii.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/utf8.h"

/* Longer ones come from no mail system; they would not fit a command line. */
#define ENVID_MAX 500
#define ORCPT_MAX 500

/* A peer that takes more domains than this in a session is held to it. */
#define DOMAINS_MAX 1000

/*
 * How many replies may be awaited at once: those of so many recipients, and more for
 * the other commands and for chunks. Past it, commands wait.
 */
#define REPLIES_MAX  4000
#define REPLIES_MORE 8

/*
 * Whether `address` can stand between angle brackets without ending there: no
 * control characters, and outside quotes no blanks and brackets either.
 */
static bool is_address(mail_span address)
{
    bool is_quoted = false;

    for (size_t i = 0; i < address.length; i++) {
        char c = address.data[i];

        if (ascii_is_control(c)) {
            return false;
        }
        if (c == '"') {
            is_quoted = !is_quoted;
        } else if (is_quoted && c == '\\') {
            i++;
            if (i == address.length || ascii_is_control(address.data[i])) {
                return false;
            }
        } else if (!is_quoted && (c == ' ' || c == '<' || c == '>')) {
            return false;
        }
    }
    return !is_quoted && address.length <= MAIL_PATH_MAX && utf8_is_valid(address);
}

/* RFC 3461, section 4.4: printable ASCII, before it is encoded. */
static bool is_envid(mail_span envid)
{
    for (size_t i = 0; i < envid.length; i++) {
        if (ascii_is_control(envid.data[i])) {
            return false;
        }
    }
    return envid.length <= ENVID_MAX && utf8_is_ascii(envid);
}

/* Xtext, or what RFC 6533 adds to it: one word. */
static bool is_orcpt(mail_span orcpt)
{
    for (size_t i = 0; i < orcpt.length; i++) {
        if (ascii_is_control(orcpt.data[i]) || orcpt.data[i] == ' ') {
            return false;
        }
    }
    return orcpt.length <= ORCPT_MAX && utf8_is_valid(orcpt);
}

static bool is_envelope(const mail_envelope *envelope)
{
    if (!is_address(mail_envelope_sender(envelope)) || !is_envid(mail_envelope_envid(envelope))) {
        return false;
    }
    for (size_t i = 0; i < mail_envelope_count(envelope); i++) {
        mail_recipient recipient = mail_envelope_recipient(envelope, i);

        if (recipient.address.length == 0 || !is_address(recipient.address) ||
            !is_orcpt(recipient.orcpt)) {
            return false;
        }
    }
    return true;
}

/* Without `content`, what the envelope declares. */
static mail_smtp_content content_of(const mail_envelope *envelope, const mail_smtp_content *content)
{
    if (content != NULL) {
        return *content;
    }
    return (mail_smtp_content){
        .has_8bit = envelope->body != MAIL_BODY_7BIT,
        .has_nul = envelope->body == MAIL_BODY_BINARYMIME,
        .has_utf8_header = envelope->smtputf8,
    };
}

static bool is_too_large(const mail_smtp_client *cl)
{
    return cl->offer.max_size > 0 && cl->tx.content.size > cl->offer.max_size;
}

static bool is_binary_for_text(const mail_smtp_client *cl)
{
    return cl->tx.content.has_nul && !(cl->offer.binary && cl->offer.chunking);
}

/* A header in UTF-8 goes with SMTPUTF8, which brings 8BITMIME with it (RFC 6531, section 3.6). */
static bool is_8bit_for_7bit(const mail_smtp_client *cl)
{
    const mail_smtp_content *content = &cl->tx.content;
    bool goes_as_utf8 = content->has_utf8_header && cl->offer.smtputf8;

    return content->has_8bit && !content->has_nul && !cl->offer.eightbit && !goes_as_utf8;
}

static bool is_utf8_for_ascii(const mail_smtp_client *cl)
{
    return !cl->offer.smtputf8 && (cl->tx.content.has_utf8_header ||
                                   !utf8_is_ascii(mail_envelope_sender(cl->tx.envelope)));
}

/* RFC 8689, section 4.2.1: only to a host that has proved its name and does likewise. */
static bool is_confidential(const mail_smtp_client *cl)
{
    return cl->tx.envelope->requiretls && !(cl->is_verified && cl->offer.requiretls);
}

#define TLS_REFUSED  "REQUIRETLS: the host does not offer it over verified TLS"
#define UTF8_REFUSED "The address or header is not ASCII, and the host lacks SMTPUTF8"

/* What can't be sent to this peer at all: it need not be asked. */
static const struct obstacle {
    bool (*applies)(const mail_smtp_client *cl);
    uint16_t code;
    uint16_t status[3];
    const char *text;
} obstacles[] = {
    {is_confidential, 550, {5, 7, 30}, TLS_REFUSED},
    {is_too_large, 552, {5, 3, 4}, "The message is larger than the host takes"},
    {is_binary_for_text, 554, {5, 6, 3}, "The message is binary, and the host lacks BINARYMIME"},
    {is_8bit_for_7bit, 554, {5, 6, 3}, "The message is 8-bit, and the host lacks 8BITMIME"},
    {is_utf8_for_ascii, 553, {5, 6, 7}, UTF8_REFUSED},
};

static void judge_message(mail_smtp_client *cl)
{
    for (size_t i = 0; i < MAIL_COUNT(obstacles); i++) {
        const struct obstacle *obstacle = &obstacles[i];

        if (obstacle->applies(cl)) {
            mail_reply reply = {
                .code = obstacle->code,
                .status = {obstacle->status[0], obstacle->status[1], obstacle->status[2]},
                .text = mail_span_text(obstacle->text),
            };
            smtp_verdict verdict =
                smtp_outcomes_verdict(&cl->outcomes, MAIL_OUTCOME_PERMANENT, true, &reply);

            smtp_outcomes_decide_rest(&cl->outcomes, &verdict);
            return;
        }
    }
}

/* RFC 6531, section 3.5: a recipient who is not ASCII fails alone. */
static void judge_recipients(mail_smtp_client *cl)
{
    mail_reply reply = MAIL_REPLY(553, 5, 6, 7, UTF8_REFUSED);
    smtp_verdict verdict = {.code = 0};

    for (size_t i = 0; i < cl->outcomes.count; i++) {
        if (cl->outcomes.all[i].progress == SMTP_PROGRESS_DECIDED ||
            utf8_is_ascii(mail_envelope_recipient(cl->tx.envelope, i).address)) {
            continue;
        }
        cl->tx.utf8 = cl->offer.smtputf8;
        if (cl->tx.utf8) {
            return;
        }
        if (verdict.code == 0) {
            verdict = smtp_outcomes_verdict(&cl->outcomes, MAIL_OUTCOME_PERMANENT, true, &reply);
        }
        smtp_outcomes_decide(&cl->outcomes, i, &verdict);
    }
}

/* Whether `address` is in a domain that this session may still name (RFC 9422). */
static bool may_name_domain(mail_smtp_client *cl, mail_span address)
{
    static const hash_seed seed = {0, 0}; /* collisions only make the peer say 452 */
    uint64_t hash = hash_bytes_nocase(&seed, mail_address_domain(address));

    for (size_t i = 0; i < cl->domain_count; i++) {
        if (cl->domains[i] == hash) {
            return true;
        }
    }
    if (cl->domain_count == cl->domain_capacity) {
        return false;
    }
    cl->domains[cl->domain_count++] = hash;
    return true;
}

/* Leaves those past a limit of the peer for another transaction, or another session. */
static void keep_limits(mail_smtp_client *cl)
{
    static const smtp_verdict untried = {.kind = MAIL_OUTCOME_UNTRIED};
    size_t max = cl->offer.rcpt_max > 0 ? cl->offer.rcpt_max : SIZE_MAX;
    size_t tried = 0;
    bool is_split = false;

    for (size_t i = 0; i < cl->outcomes.count; i++) {
        if (cl->outcomes.all[i].progress == SMTP_PROGRESS_DECIDED) {
            continue;
        }
        if (tried < max &&
            (cl->offer.rcpt_domain_max == 0 ||
             may_name_domain(cl, mail_envelope_recipient(cl->tx.envelope, i).address))) {
            tried++;
        } else {
            smtp_outcomes_decide(&cl->outcomes, i, &untried);
            is_split = true;
        }
    }
    /* Nobody here can be named in this session any more: only another one helps. */
    if (is_split && tried == 0) {
        cl->leaves = true;
    }
}

/* The domains of a session are counted only for a peer that limits them. */
static int reserve_domains(mail_smtp_client *cl)
{
    size_t max = cl->offer.rcpt_domain_max < DOMAINS_MAX ? cl->offer.rcpt_domain_max : DOMAINS_MAX;

    if (cl->domain_capacity >= max) {
        return MAIL_OK;
    }
    assert(cl->domains == NULL); /* the offer stands once the first message has begun */
    cl->domains = mem_alloc(cl->mem, max * sizeof(*cl->domains));
    if (cl->domains == NULL) {
        return MAIL_ENOMEM;
    }
    cl->domain_capacity = max;
    return MAIL_OK;
}

static int reserve(mail_smtp_client *cl, size_t count)
{
    size_t replies = (count < REPLIES_MAX ? count : REPLIES_MAX) + REPLIES_MORE;
    int code = reserve_domains(cl);

    if (code == MAIL_OK) {
        code = smtp_wire_reserve(&cl->wire, replies);
    }
    if (code == MAIL_OK) {
        code = smtp_outcomes_begin(&cl->outcomes, count);
    }
    return code;
}

int mail_smtp_client_begin(mail_smtp_client *cl, mail_time now, const mail_envelope *envelope,
                           const mail_smtp_content *content)
{
    int code;

    assert(cl->state == SMTP_CLIENT_AWAIT_BEGIN);
    if (!is_envelope(envelope)) {
        return MAIL_EINVAL;
    }
    code = reserve(cl, mail_envelope_count(envelope));
    if (code != MAIL_OK) {
        return code;
    }
    cl->now = now;
    cl->due &= ~(1U << MAIL_SMTP_CLIENT_READY);
    cl->tx = (smtp_transaction){
        .envelope = envelope,
        .content = content_of(envelope, content),
        .by_bdat = cl->offer.chunking,
    };
    cl->tx.utf8 = cl->offer.smtputf8 && (cl->tx.content.has_utf8_header ||
                                         !utf8_is_ascii(mail_envelope_sender(envelope)));
    judge_message(cl);
    judge_recipients(cl);
    keep_limits(cl);
    cl->state = SMTP_CLIENT_SENDING;
    smtp_client_advance(cl);
    smtp_client_send_at_once(cl);
    smtp_wire_time(&cl->wire, now);
    return MAIL_OK;
}
