/* SPDX-License-Identifier: MIT */
#include <mail/dns.h>

#include <stdlib.h>
#include <time.h>

#include "base/buffer.h"
#include "base/mem.h"
#include "dns/chain.h"
#include "dns/name.h"
#include "dns/wire.h"

/* What one packet may cost us beyond ldns's own memory, whatever is in it. */
#define BYTES_MAX   (256U * 1024)
#define SECONDS_MAX 1.0

#define REQUIRE(what)                                                                              \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* Counts what is out; over the bound the run fails. */
static void *counted_resize(void *arg, void *old, size_t old_size, size_t size)
{
    size_t *bytes = arg;

    *bytes = *bytes - (old != NULL ? old_size : 0) + size;
    REQUIRE(*bytes <= BYTES_MAX);
    if (size == 0) {
        free(old);
        return NULL;
    }
    return realloc(old, size);
}

static bool is_decoded(uint16_t type)
{
    return type == DNS_TYPE_A || type == DNS_TYPE_AAAA || type == DNS_TYPE_CNAME ||
           type == DNS_TYPE_MX || type == DNS_TYPE_SOA || type == DNS_TYPE_TXT;
}

/* What the check lets through, the codec must be able to read. */
static void decode_all(mail_span packet, const mail_mem *mem)
{
    dns_walk walk = {0};
    dns_item item;
    int code;

    while ((code = dns_packet_next(packet, &walk, &item)) == MAIL_OK) {
        dns_data data;
        buffer text;

        if (!is_decoded(item.type)) {
            continue;
        }
        buffer_init(&text, mem, DNS_PACKET_MAX);
        REQUIRE(dns_wire_data(packet, &item, &data, &text) == MAIL_OK);
        REQUIRE(buffer_length(&text) <= item.data_length);
        buffer_deinit(&text);
    }
    REQUIRE(code == MAIL_ENOENT);
}

static void read_answer(mail_span packet, const mail_mem *mem)
{
    static const mail_dns_type types[] = {MAIL_DNS_A, MAIL_DNS_MX, MAIL_DNS_TXT, MAIL_DNS_AAAA};
    char name[MAIL_DOMAIN_SIZE];

    if (!dns_name_text(packet, DNS_HEADER_SIZE, name)) {
        return;
    }
    for (size_t i = 0; i < MAIL_COUNT(types); i++) {
        mail_dns_answer *answer = NULL;

        REQUIRE(dns_chain_read(&answer, packet, name, types[i], packet.data[3] & 1, mem) ==
                MAIL_OK);
        REQUIRE((answer->status == MAIL_DNS_FOUND) == (answer->count > 0));
        REQUIRE(answer->count <= DNS_RECORDS_MAX);
        mail_dns_answer_destroy(answer);
    }
}

/* The same packet as the reply to a question that it can't match by id. */
static void feed_question(mail_span packet, const mail_mem *mem)
{
    mail_dns_question question;
    mail_dns_event ev;

    REQUIRE(mail_dns_question_init(&question, MAIL_SPAN("a.example"), MAIL_DNS_MX, NULL) ==
            MAIL_OK);
    if (packet.length >= 2) {
        memcpy(question.packet, packet.data, 2);
    }
    REQUIRE(mail_dns_question_feed(&question, MAIL_DNS_TCP, packet, mem, &ev) == MAIL_OK);
    REQUIRE((ev.type == MAIL_DNS_EV_ANSWER) == (ev.answer != NULL));
    mail_dns_answer_destroy(ev.answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mail_span packet = mail_span_of(data, size);
    size_t bytes = 0;
    mail_mem mem = {counted_resize, &bytes};
    clock_t began = clock();

    if (dns_packet_check(packet, NULL) == MAIL_OK) {
        decode_all(packet, &mem);
        read_answer(packet, &mem);
    }
    feed_question(packet, &mem);
    REQUIRE(bytes == 0);
    REQUIRE((double)(clock() - began) / CLOCKS_PER_SEC < SECONDS_MAX);
    return 0;
}
