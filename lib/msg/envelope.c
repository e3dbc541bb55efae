/* SPDX-License-Identifier: MIT */
/*
 * All text of an envelope lies in one block, each piece behind the one before:
 *
 *     sender | envid | address | orcpt | address | orcpt | …
 */
#include <mail/envelope.h>

#include <assert.h>

#include "base/mem.h"

/* What a reset keeps, in octets and in recipients, for the next message. */
#define KEEP_TEXT       4096
#define KEEP_RECIPIENTS 64

#define FIRST_TEXT       256
#define FIRST_RECIPIENTS 4
#define MAX_RECIPIENTS   ((size_t)1 << 24)

struct mail_envelope_recipient {
    size_t offset; /* of the address in the text; the ORCPT follows it */
    uint16_t address_length;
    uint16_t orcpt_length;
    uint8_t notify;
    uint8_t role;
};

void mail_envelope_init(mail_envelope *envelope, const mail_mem *mem)
{
    *envelope = (mail_envelope){.mem = mem};
}

static void free_text(mail_envelope *envelope)
{
    mem_free(envelope->mem, envelope->text, envelope->text_capacity);
    envelope->text = NULL;
    envelope->text_capacity = 0;
}

static void free_recipients(mail_envelope *envelope)
{
    mem_free(envelope->mem, envelope->recipients,
             envelope->capacity * sizeof(*envelope->recipients));
    envelope->recipients = NULL;
    envelope->capacity = 0;
}

void mail_envelope_deinit(mail_envelope *envelope)
{
    free_text(envelope);
    free_recipients(envelope);
    mail_envelope_init(envelope, envelope->mem);
}

void mail_envelope_reset(mail_envelope *envelope)
{
    if (envelope->text_capacity > KEEP_TEXT) {
        free_text(envelope);
    }
    if (envelope->capacity > KEEP_RECIPIENTS) {
        free_recipients(envelope);
    }
    *envelope = (mail_envelope){
        .mem = envelope->mem,
        .text = envelope->text,
        .text_capacity = envelope->text_capacity,
        .recipients = envelope->recipients,
        .capacity = envelope->capacity,
    };
}

static size_t doubled(size_t capacity, size_t first, size_t need)
{
    size_t twice = capacity > 0 ? capacity * 2 : first;

    return twice > need ? twice : need;
}

/* Makes room for `more` octets of text. */
static int reserve_text(mail_envelope *envelope, size_t more)
{
    size_t need = envelope->text_length + more;
    size_t capacity;
    char *text;

    if (need <= envelope->text_capacity) {
        return MAIL_OK;
    }
    capacity = doubled(envelope->text_capacity, FIRST_TEXT, need);
    text = mem_resize(envelope->mem, envelope->text, envelope->text_capacity, capacity);
    if (text == NULL) {
        return MAIL_ENOMEM;
    }
    envelope->text = text;
    envelope->text_capacity = capacity;
    return MAIL_OK;
}

/* Makes room for `more` recipients. */
static int reserve_recipients(mail_envelope *envelope, size_t more)
{
    size_t size = sizeof(*envelope->recipients);
    size_t need = envelope->count + more;
    struct mail_envelope_recipient *recipients;
    size_t capacity;

    if (need <= envelope->capacity) {
        return MAIL_OK;
    }
    capacity = doubled(envelope->capacity, FIRST_RECIPIENTS, need);
    recipients =
        mem_resize(envelope->mem, envelope->recipients, envelope->capacity * size, capacity * size);
    if (recipients == NULL) {
        return MAIL_ENOMEM;
    }
    envelope->recipients = recipients;
    envelope->capacity = capacity;
    return MAIL_OK;
}

/* Appends to the text; the room for it is there. */
static void add_text(mail_envelope *envelope, mail_span text)
{
    if (text.length > 0) {
        memcpy(envelope->text + envelope->text_length, text.data, text.length);
        envelope->text_length += text.length;
    }
}

int mail_envelope_set_sender(mail_envelope *envelope, mail_span address, mail_span envid)
{
    int code;

    assert(envelope->count == 0);
    if (address.length > UINT16_MAX || envid.length > UINT16_MAX) {
        return MAIL_ELIMIT;
    }
    envelope->text_length = 0;
    envelope->sender_length = 0;
    envelope->envid_length = 0;
    code = reserve_text(envelope, address.length + envid.length);
    if (code != MAIL_OK) {
        return code;
    }
    add_text(envelope, address);
    add_text(envelope, envid);
    envelope->sender_length = (uint32_t)address.length;
    envelope->envid_length = (uint32_t)envid.length;
    return MAIL_OK;
}

int mail_envelope_add(mail_envelope *envelope, const mail_recipient *recipient)
{
    mail_span address = recipient->address;
    mail_span orcpt = recipient->orcpt;
    int code;

    if (envelope->count == MAX_RECIPIENTS || address.length > UINT16_MAX ||
        orcpt.length > UINT16_MAX) {
        return MAIL_ELIMIT;
    }
    code = reserve_recipients(envelope, 1);
    if (code == MAIL_OK) {
        code = reserve_text(envelope, address.length + orcpt.length);
    }
    if (code != MAIL_OK) {
        return code;
    }
    envelope->recipients[envelope->count++] = (struct mail_envelope_recipient){
        .offset = envelope->text_length,
        .address_length = (uint16_t)address.length,
        .orcpt_length = (uint16_t)orcpt.length,
        .notify = recipient->notify,
        .role = (uint8_t)recipient->role,
    };
    add_text(envelope, address);
    add_text(envelope, orcpt);
    return MAIL_OK;
}

void mail_envelope_truncate(mail_envelope *envelope, size_t count)
{
    if (count < envelope->count) {
        envelope->text_length = envelope->recipients[count].offset;
        envelope->count = count;
    }
}

mail_span mail_envelope_sender(const mail_envelope *envelope)
{
    return mail_span_of(envelope->text, envelope->sender_length);
}

mail_span mail_envelope_envid(const mail_envelope *envelope)
{
    if (envelope->envid_length == 0) {
        return mail_span_of(NULL, 0);
    }
    return mail_span_of(envelope->text + envelope->sender_length, envelope->envid_length);
}

mail_recipient mail_envelope_recipient(const mail_envelope *envelope, size_t index)
{
    const struct mail_envelope_recipient *rcpt = &envelope->recipients[index];
    const char *address = envelope->text + rcpt->offset;

    assert(index < envelope->count);
    return (mail_recipient){
        .address = mail_span_of(address, rcpt->address_length),
        .orcpt = mail_span_of(address + rcpt->address_length, rcpt->orcpt_length),
        .notify = rcpt->notify,
        .role = (mail_recipient_role)rcpt->role,
    };
}

int mail_envelope_copy(mail_envelope *to, const mail_envelope *from)
{
    int code;

    mail_envelope_reset(to);
    code = reserve_text(to, from->text_length);
    if (code == MAIL_OK) {
        code = reserve_recipients(to, from->count);
    }
    if (code != MAIL_OK) {
        return code;
    }
    add_text(to, mail_span_of(from->text, from->text_length));
    if (from->count > 0) {
        memcpy(to->recipients, from->recipients, from->count * sizeof(*from->recipients));
    }
    to->count = from->count;
    to->ret = from->ret;
    to->body = from->body;
    to->smtputf8 = from->smtputf8;
    to->requiretls = from->requiretls;
    to->sender_length = from->sender_length;
    to->envid_length = from->envid_length;
    return MAIL_OK;
}

/* Where the @ before the domain is; the length when there is none. No domain holds an @ or a quote. */
static size_t at_sign(mail_span address)
{
    const char *at;

    if (address.length == 0 || address.data[address.length - 1] == '"') {
        return address.length;
    }
    at = memrchr(address.data, '@', address.length);
    return at != NULL ? (size_t)(at - address.data) : address.length;
}

mail_span mail_address_local(mail_span address)
{
    return mail_span_first(address, at_sign(address));
}

mail_span mail_address_domain(mail_span address)
{
    size_t at = at_sign(address);

    return mail_span_from(address, at < address.length ? at + 1 : at);
}
