/* SPDX-License-Identifier: MIT */
#ifndef LIB_DNS_PACKET_H
#define LIB_DNS_PACKET_H

#include <mail/base.h>

/*
 * The check that every packet from the network passes before any other code looks
 * at more than its header, and the walk over its records. No memory, no more than
 * a few passes over the packet whatever is in it.
 */

enum {
    DNS_HEADER_SIZE = 12,
    DNS_PACKET_MAX = 16384,  /* also over TCP */
    DNS_RECORDS_MAX = 200,   /* in all sections together */
    DNS_TXT_STRINGS_MAX = 64 /* in one record: what ldns takes for one grows with their square */
};

/* The types that are told apart here; the codec decodes the first six. */
enum {
    DNS_TYPE_A = 1,
    DNS_TYPE_CNAME = 5,
    DNS_TYPE_SOA = 6,
    DNS_TYPE_MX = 15,
    DNS_TYPE_TXT = 16,
    DNS_TYPE_AAAA = 28,
    DNS_TYPE_NS = 2,
    DNS_TYPE_SIG = 24,
    DNS_TYPE_OPT = 41,
    DNS_TYPE_TSIG = 250
};

#define DNS_CLASS_IN 1

typedef enum dns_section {
    DNS_ANSWER,
    DNS_AUTHORITY,
    DNS_ADDITIONAL
} dns_section;

/* One record: where its parts lie in the packet. */
typedef struct dns_item {
    dns_section section;
    size_t owner;
    uint16_t type;
    uint16_t class_code;
    uint32_t ttl;
    size_t data;
    uint16_t data_length;
} dns_item;

/* A place between two records; zeroed, before the first. */
typedef struct dns_walk {
    size_t at;
    unsigned index;
} dns_walk;

/*
 * MAIL_OK: the packet is sound: every later walk over it ends with MAIL_ENOENT, and
 * the data of the six types is what it should be. MAIL_ELIMIT: larger than anything
 * mail has use for. MAIL_EPROTO: all else, `*why` (optional) says what.
 */
int dns_packet_check(mail_span packet, const char **why);

/* MAIL_OK; MAIL_ENOENT behind the last record; MAIL_EPROTO in a packet that was not checked. */
int dns_packet_next(mail_span packet, dns_walk *walk, dns_item *item);

/* Big-endian numbers; `at` must lie inside. */
uint16_t dns_packet_u16(mail_span packet, size_t at);
uint32_t dns_packet_u32(mail_span packet, size_t at);

#endif
