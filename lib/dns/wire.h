/* SPDX-License-Identifier: MIT */
#ifndef LIB_DNS_WIRE_H
#define LIB_DNS_WIRE_H

#include <mail/address.h>
#include <mail/base.h>

#include "base/buffer.h"
#include "dns/packet.h"

/*
 * The codec: all that is done with ldns, and the only file that knows it. Two
 * functions, so that another decoder can take its place. ldns never sees a packet
 * that dns_packet_check has not passed, and of that only single records; its
 * resolver and its text printers are not used.
 */

/* A query with recursion desired. */
typedef struct dns_query {
    const char *name; /* clean, without final dot, in the case that it shall have */
    uint16_t type;
    uint16_t id;
    uint16_t edns_size; /* how long a UDP answer may be; 0: no OPT record */
} dns_query;

/* MAIL_OK; MAIL_ENOMEM; MAIL_ELIMIT when `size` is too small. */
int dns_wire_query(const dns_query *query, void *out, size_t size, size_t *length_out);

/* What the data of one record say; which members count goes by the type. */
typedef struct dns_data {
    mail_ip ip;                  /* A, AAAA */
    uint16_t preference;         /* MX */
    char host[MAIL_DOMAIN_SIZE]; /* MX, CNAME: "." the root, empty when it is not clean */
    uint32_t minimum;            /* SOA */
} dns_data;

/*
 * Decodes a record of one of the types A, AAAA, CNAME, MX, SOA and TXT of a checked
 * packet; the joined strings of TXT are appended to `text`. MAIL_OK, MAIL_ENOMEM,
 * MAIL_ELIMIT (`text` is full), MAIL_EPROTO (ldns will not have it).
 */
int dns_wire_data(mail_span packet, const dns_item *item, dns_data *data, buffer *text);

#endif
