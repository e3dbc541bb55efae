/* SPDX-License-Identifier: MIT */
#include "dns/packet.h"

#include "dns/name.h"

/* Behind the owner: type, class, TTL and the length of the data. */
#define FIXED_OCTETS 10

uint16_t dns_packet_u16(mail_span packet, size_t at)
{
    const unsigned char *from = (const unsigned char *)packet.data + at;

    return (uint16_t)(from[0] << 8 | from[1]);
}

uint32_t dns_packet_u32(mail_span packet, size_t at)
{
    return (uint32_t)dns_packet_u16(packet, at) << 16 | dns_packet_u16(packet, at + 2);
}

/* The counts of questions and of the three sections, 0 to 3. */
static unsigned header_count(mail_span packet, unsigned which)
{
    return dns_packet_u16(packet, 4 + 2 * (size_t)which);
}

static unsigned record_count(mail_span packet)
{
    return header_count(packet, 1) + header_count(packet, 2) + header_count(packet, 3);
}

static dns_section section_of(mail_span packet, unsigned index)
{
    if (index < header_count(packet, 1)) {
        return DNS_ANSWER;
    }
    return index < header_count(packet, 1) + header_count(packet, 2) ? DNS_AUTHORITY
                                                                     : DNS_ADDITIONAL;
}

/* Steps over the header and the one question. */
static bool skip_question(mail_span packet, size_t *at)
{
    if (packet.length < DNS_HEADER_SIZE || header_count(packet, 0) != 1 ||
        !dns_name_skip(packet, DNS_HEADER_SIZE, at) || packet.length - *at < 4) {
        return false;
    }
    *at += 4;
    return true;
}

int dns_packet_next(mail_span packet, dns_walk *walk, dns_item *item)
{
    size_t at;

    if (walk->at == 0 && !skip_question(packet, &walk->at)) {
        return MAIL_EPROTO;
    }
    if (walk->index == record_count(packet)) {
        return MAIL_ENOENT;
    }
    if (!dns_name_skip(packet, walk->at, &at) || packet.length - at < FIXED_OCTETS) {
        return MAIL_EPROTO;
    }
    *item = (dns_item){
        .section = section_of(packet, walk->index),
        .owner = walk->at,
        .type = dns_packet_u16(packet, at),
        .class_code = dns_packet_u16(packet, at + 2),
        .ttl = dns_packet_u32(packet, at + 4),
        .data = at + FIXED_OCTETS,
        .data_length = dns_packet_u16(packet, at + 8),
    };
    if (packet.length - item->data < item->data_length) {
        return MAIL_EPROTO;
    }
    walk->at = item->data + item->data_length;
    walk->index++;
    return MAIL_OK;
}

/* A name from `offset` into the data that ends `behind` octets before the end of the data. */
static bool name_fills(mail_span packet, const dns_item *item, size_t offset, size_t behind)
{
    size_t end;

    return offset + behind < item->data_length &&
           dns_name_skip(packet, item->data + offset, &end) &&
           end + behind == item->data + item->data_length;
}

static bool soa_is_sound(mail_span packet, const dns_item *item)
{
    size_t second;

    return dns_name_skip(packet, item->data, &second) && second >= item->data &&
           second - item->data < item->data_length &&
           name_fills(packet, item, second - item->data, 20);
}

static bool txt_is_sound(mail_span packet, const dns_item *item)
{
    size_t end = item->data + item->data_length;
    size_t at = item->data;
    unsigned strings = 0;

    while (at < end && strings < DNS_TXT_STRINGS_MAX) {
        at += 1 + (size_t)(unsigned char)packet.data[at];
        strings++;
    }
    return at == end && strings > 0;
}

/* The data of the types that the codec is given; of all others only the length is known. */
static bool data_is_sound(mail_span packet, const dns_item *item)
{
    switch (item->type) {
    case DNS_TYPE_A:
        return item->data_length == 4;
    case DNS_TYPE_AAAA:
        return item->data_length == 16;
    case DNS_TYPE_CNAME:
        return name_fills(packet, item, 0, 0);
    case DNS_TYPE_MX:
        return name_fills(packet, item, 2, 0);
    case DNS_TYPE_SOA:
        return soa_is_sound(packet, item);
    case DNS_TYPE_TXT:
        return txt_is_sound(packet, item);
    default:
        return true;
    }
}

/* NULL, or what is wrong with a record that lies inside the packet. */
static const char *judge(mail_span packet, const dns_item *item, unsigned *opt_count)
{
    switch (item->type) {
    case 0:
        return "a record of type 0";
    case DNS_TYPE_SIG: /* SIG(0) signs transactions with keys that nobody here shares */
        return "a SIG record";
    case DNS_TYPE_TSIG:
        return "a TSIG record";
    case DNS_TYPE_OPT: /* RFC 6891, section 6.1.1: one, of the root, in the additional section */
        (*opt_count)++;
        if (item->section != DNS_ADDITIONAL || *opt_count > 1 || packet.data[item->owner] != 0) {
            return "an OPT record out of place";
        }
        return NULL;
    default:
        return data_is_sound(packet, item) ? NULL : "record data that break their format";
    }
}

static int refuse(const char **why, int code, const char *text)
{
    if (why != NULL) {
        *why = text;
    }
    return code;
}

int dns_packet_check(mail_span packet, const char **why)
{
    dns_walk walk = {0};
    unsigned opt_count = 0;
    dns_item item;
    int code;

    if (packet.length < DNS_HEADER_SIZE) {
        return refuse(why, MAIL_EPROTO, "shorter than a header");
    }
    if (packet.length > DNS_PACKET_MAX) {
        return refuse(why, MAIL_ELIMIT, "longer than 16 KiB");
    }
    if (header_count(packet, 0) != 1) {
        return refuse(why, MAIL_EPROTO, "not exactly one question");
    }
    if (record_count(packet) > DNS_RECORDS_MAX) {
        return refuse(why, MAIL_ELIMIT, "more than 200 records");
    }
    while ((code = dns_packet_next(packet, &walk, &item)) == MAIL_OK) {
        const char *fault = judge(packet, &item, &opt_count);

        if (fault != NULL) {
            return refuse(why, MAIL_EPROTO, fault);
        }
    }
    if (code != MAIL_ENOENT) {
        return refuse(why, MAIL_EPROTO, "a name or record that breaks its format");
    }
    if (walk.at != packet.length) {
        return refuse(why, MAIL_EPROTO, "octets behind the last record");
    }
    return MAIL_OK;
}
