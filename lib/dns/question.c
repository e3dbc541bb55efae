/* SPDX-License-Identifier: MIT */
#include <mail/dns.h>

#include "base/ascii.h"
#include "base/random.h"
#include "dns/answer.h"
#include "dns/chain.h"
#include "dns/name.h"
#include "dns/wire.h"

/* The size that passes every link unfragmented (DNS flag day 2020). */
#define EDNS_SIZE 1232

/* RFC 1035, section 4.1.1, second word of the header. */
#define FLAG_QR        0x8000U
#define FLAG_TC        0x0200U
#define OPCODE(flags)  ((flags) >> 11 & 0xfU)
#define RCODE(flags)   ((flags)&0xfU)
#define RCODE_FORMERR  1U
#define RCODE_NXDOMAIN 3U
#define RCODE_NOTIMP   4U
#define TYPE_AND_CLASS 4U

static bool may_be_asked(mail_dns_type type)
{
    return type == MAIL_DNS_A || type == MAIL_DNS_AAAA || type == MAIL_DNS_MX ||
           type == MAIL_DNS_TXT;
}

/* draft-vixie-dnsext-dns0x20: a bit more for the forger to guess with each letter. */
static void vary_case(const mail_random *random, const char *name, char out[MAIL_DOMAIN_SIZE])
{
    unsigned char bits[MAIL_DOMAIN_SIZE / 8];
    size_t i;

    random_fill(random, bits, sizeof(bits));
    for (i = 0; name[i] != '\0'; i++) {
        bool upper = ascii_is_alpha(name[i]) && (bits[i / 8] >> (i % 8) & 1U) != 0;

        out[i] = upper ? (char)(name[i] - 32) : name[i];
    }
    out[i] = '\0';
}

static int encode(mail_dns_question *question)
{
    char name[MAIL_DOMAIN_SIZE];
    uint16_t id;

    random_fill(question->random, &id, sizeof(id));
    if (question->no_0x20) {
        memcpy(name, question->name, sizeof(name));
    } else {
        vary_case(question->random, question->name, name);
    }
    return dns_wire_query(
        &(dns_query){
            .name = name,
            .type = (uint16_t)question->type,
            .id = id,
            .edns_size = question->no_edns ? 0 : EDNS_SIZE,
        },
        question->packet, sizeof(question->packet), &question->length);
}

int mail_dns_question_init(mail_dns_question *question, mail_span name, mail_dns_type type,
                           const mail_dns_question_options *opts)
{
    if (!dns_name_is_clean(name) || !may_be_asked(type)) {
        return MAIL_EINVAL;
    }
    *question = (mail_dns_question){.type = type};
    if (opts != NULL) {
        question->no_0x20 = opts->no_0x20;
        question->random = opts->random;
    }
    for (size_t i = 0; i < name.length; i++) {
        question->name[i] = ascii_lower(name.data[i]);
    }
    return encode(question);
}

int mail_dns_question_renew(mail_dns_question *question)
{
    return encode(question);
}

mail_span mail_dns_question_out(const mail_dns_question *question)
{
    return mail_span_of(question->packet, question->length);
}

typedef enum echo {
    ECHO_NONE,
    ECHO_OTHER_CASE,
    ECHO_EXACT
} echo;

/* The question as the packet repeats it, against the one that was sent. */
static echo compare_question(const mail_dns_question *question, mail_span packet)
{
    size_t name_length = strlen(question->name) + 2;
    mail_span sent = mail_span_from(mail_dns_question_out(question), DNS_HEADER_SIZE);
    mail_span got = mail_span_from(packet, DNS_HEADER_SIZE);

    if (dns_packet_u16(packet, 4) != 1 || got.length < name_length + TYPE_AND_CLASS ||
        !mail_span_equal_nocase(mail_span_first(sent, name_length),
                                mail_span_first(got, name_length)) ||
        memcmp(sent.data + name_length, got.data + name_length, TYPE_AND_CLASS) != 0) {
        return ECHO_NONE;
    }
    return memcmp(sent.data, got.data, name_length) == 0 ? ECHO_EXACT : ECHO_OTHER_CASE;
}

static int ignore(mail_dns_event *ev, const char *reason)
{
    *ev = (mail_dns_event){.type = MAIL_DNS_EV_IGNORED, .reason = reason};
    return MAIL_OK;
}

static int need_tcp(mail_dns_event *ev, const char *reason)
{
    *ev = (mail_dns_event){.type = MAIL_DNS_EV_NEED_TCP, .reason = reason};
    return MAIL_OK;
}

/* The upper eight bits of a response code are in the OPT record (RFC 6891, section 6.1.3). */
static unsigned response_code(mail_span packet, bool *has_opt)
{
    unsigned code = RCODE(dns_packet_u16(packet, 2));
    dns_walk walk = {0};
    dns_item item;

    *has_opt = false;
    while (dns_packet_next(packet, &walk, &item) == MAIL_OK) {
        if (item.type == DNS_TYPE_OPT) {
            *has_opt = true;
            code |= item.ttl >> 24 << 4;
        }
    }
    return code;
}

static const char *reason_of(unsigned rcode)
{
    static const char *const reasons[] = {
        [1] = "the server calls the question malformed (FORMERR)",
        [2] = "the server failed (SERVFAIL)",
        [4] = "the server does not do this (NOTIMP)",
        [5] = "the server refused (REFUSED)",
    };
    const char *reason = rcode < MAIL_COUNT(reasons) ? reasons[rcode] : NULL;

    return reason != NULL ? reason : "the server reported an error";
}

/* RFC 6891, section 7: a server that does not know EDNS is asked without it. */
static int ask_plainly(mail_dns_question *question, mail_dns_event *ev)
{
    int code;

    question->no_edns = true;
    code = encode(question);
    if (code == MAIL_OK) {
        *ev =
            (mail_dns_event){.type = MAIL_DNS_EV_AGAIN, .reason = "the server does not know EDNS"};
    }
    return code;
}

static int answer_from(mail_dns_question *question, mail_span packet, const mail_mem *mem,
                       mail_dns_event *ev)
{
    bool has_opt;
    unsigned rcode = response_code(packet, &has_opt);

    if ((rcode == RCODE_FORMERR || rcode == RCODE_NOTIMP) && !has_opt && !question->no_edns) {
        return ask_plainly(question, ev);
    }
    *ev = (mail_dns_event){.type = MAIL_DNS_EV_ANSWER};
    if (rcode != 0 && rcode != RCODE_NXDOMAIN) {
        mail_dns_answer failed = dns_answer_failed(question->type, reason_of(rcode));

        ev->reason = failed.reason;
        return dns_answer_copy(&ev->answer, &failed, mem);
    }
    return dns_chain_read(&ev->answer, packet, question->name, question->type,
                          rcode == RCODE_NXDOMAIN, mem);
}

int mail_dns_question_feed(mail_dns_question *question, mail_dns_transport transport,
                           mail_span packet, const mail_mem *mem, mail_dns_event *ev)
{
    const char *fault = NULL;
    unsigned flags;
    echo repeated;

    if (packet.length < DNS_HEADER_SIZE) {
        return ignore(ev, "shorter than a header");
    }
    flags = dns_packet_u16(packet, 2);
    if (memcmp(packet.data, question->packet, 2) != 0) {
        return ignore(ev, "another id");
    }
    if ((flags & FLAG_QR) == 0 || OPCODE(flags) != 0) {
        return ignore(ev, "not an answer");
    }
    repeated = compare_question(question, packet);
    if (repeated == ECHO_NONE) {
        return ignore(ev, "the answer to another question");
    }
    /* A forger over UDP can't see the case; a server that changes it is asked by TCP. */
    if (repeated == ECHO_OTHER_CASE && transport == MAIL_DNS_UDP) {
        return need_tcp(ev, "the name came back in another case");
    }
    if ((flags & FLAG_TC) != 0) {
        return transport == MAIL_DNS_UDP ? need_tcp(ev, "cut short")
                                         : ignore(ev, "cut short even over TCP");
    }
    if (dns_packet_check(packet, &fault) != MAIL_OK) {
        return ignore(ev, fault);
    }
    return answer_from(question, packet, mem, ev);
}
