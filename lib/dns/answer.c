/* SPDX-License-Identifier: MIT */
#include "dns/answer.h"

#include "base/mem.h"

const char *mail_dns_type_name(mail_dns_type type)
{
    switch (type) {
    case MAIL_DNS_A:
        return "A";
    case MAIL_DNS_MX:
        return "MX";
    case MAIL_DNS_TXT:
        return "TXT";
    case MAIL_DNS_AAAA:
        return "AAAA";
    }
    return "unknown";
}

const char *mail_dns_status_name(mail_dns_status status)
{
    static const char *const names[] = {"found", "nodata", "nxdomain", "alias", "failed"};

    return (size_t)status < MAIL_COUNT(names) ? names[status] : "unknown";
}

mail_dns_answer dns_answer_failed(mail_dns_type type, const char *reason)
{
    return (mail_dns_answer){.status = MAIL_DNS_FAILED, .type = type, .name = "", .reason = reason};
}

static size_t text_size(const mail_dns_answer *answer)
{
    size_t size = strlen(answer->name) + 1;

    for (size_t i = 0; i < answer->count; i++) {
        const mail_dns_record *record = &answer->records[i];

        size += record->text.length + (record->host != NULL ? strlen(record->host) + 1 : 0);
    }
    return size;
}

/* Puts `text` and a NUL at `*to`, which moves on; returns where it lies. */
static const char *put_text(char **to, const char *text)
{
    size_t size = strlen(text) + 1;
    char *at = *to;

    memcpy(at, text, size);
    *to += size;
    return at;
}

static mail_span put_span(char **to, mail_span span)
{
    char *at = *to;

    if (span.length > 0) {
        memcpy(at, span.data, span.length);
    }
    *to += span.length;
    return mail_span_of(at, span.length);
}

int dns_answer_copy(mail_dns_answer **out, const mail_dns_answer *from, const mail_mem *mem)
{
    size_t records_size = from->count * sizeof(*from->records);
    size_t size = sizeof(**out) + records_size + text_size(from);
    mail_dns_answer *answer = mem_alloc(mem, size);
    mail_dns_record *records;
    char *text;

    if (answer == NULL) {
        return MAIL_ENOMEM;
    }
    records = (mail_dns_record *)(answer + 1);
    text = (char *)records + records_size;
    *answer = *from;
    answer->mem = mem;
    answer->size = size;
    answer->name = put_text(&text, from->name);
    answer->records = records;
    for (size_t i = 0; i < from->count; i++) {
        records[i] = from->records[i];
        records[i].text = put_span(&text, from->records[i].text);
        if (from->records[i].host != NULL) {
            records[i].host = put_text(&text, from->records[i].host);
        }
    }
    *out = answer;
    return MAIL_OK;
}

void mail_dns_answer_destroy(mail_dns_answer *answer)
{
    if (answer != NULL) {
        mem_free(answer->mem, answer, answer->size);
    }
}
