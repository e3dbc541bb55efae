/* SPDX-License-Identifier: MIT */
#include "dns/wire.h"

#include <assert.h>

#include <ldns/ldns.h>

#include "dns/name.h"

static int code_of(ldns_status status)
{
    if (status == LDNS_STATUS_OK) {
        return MAIL_OK;
    }
    return status == LDNS_STATUS_MEM_ERR ? MAIL_ENOMEM : MAIL_EPROTO;
}

static ldns_pkt *make_query(const dns_query *query)
{
    ldns_rdf *name = ldns_dname_new_frm_str(query->name);
    ldns_pkt *pkt;

    if (name == NULL) {
        return NULL;
    }
    pkt = ldns_pkt_query_new(name, (ldns_rr_type)query->type, LDNS_RR_CLASS_IN, LDNS_RD);
    if (pkt == NULL) {
        ldns_rdf_deep_free(name);
        return NULL;
    }
    ldns_pkt_set_id(pkt, query->id);
    if (query->edns_size > 0) {
        ldns_pkt_set_edns_udp_size(pkt, query->edns_size);
    }
    return pkt;
}

int dns_wire_query(const dns_query *query, void *out, size_t size, size_t *length_out)
{
    ldns_pkt *pkt = make_query(query);
    uint8_t *wire = NULL;
    size_t length = 0;
    int code;

    if (pkt == NULL) {
        return MAIL_ENOMEM;
    }
    /* A query that was built from a clean name can fail for want of memory only. */
    code = ldns_pkt2wire(&wire, pkt, &length) == LDNS_STATUS_OK ? MAIL_OK : MAIL_ENOMEM;
    if (code == MAIL_OK && length > size) {
        code = MAIL_ELIMIT;
    }
    if (code == MAIL_OK) {
        memcpy(out, wire, length);
        *length_out = length;
    }
    LDNS_FREE(wire);
    ldns_pkt_free(pkt);
    return code;
}

static mail_span field(const ldns_rr *rr, size_t index)
{
    const ldns_rdf *rdf = ldns_rr_rdf(rr, index);

    return mail_span_of(ldns_rdf_data(rdf), ldns_rdf_size(rdf));
}

static void take_ip(mail_ip *ip, mail_span bytes)
{
    *ip = (mail_ip){.family = bytes.length == 4 ? 4 : 6};
    memcpy(ip->bytes, bytes.data, bytes.length);
}

/* Each string comes as a field of its own, with its length octet. */
static int take_strings(const ldns_rr *rr, buffer *text)
{
    int code = MAIL_OK;

    for (size_t i = 0; i < ldns_rr_rd_count(rr) && code == MAIL_OK; i++) {
        code = buffer_append(text, mail_span_from(field(rr, i), 1));
    }
    return code;
}

/* Fields of a record are names without compression: each can be read as a packet of its own. */
static int take_fields(const ldns_rr *rr, dns_data *data, buffer *text)
{
    switch ((unsigned)ldns_rr_get_type(rr)) {
    case DNS_TYPE_A:
    case DNS_TYPE_AAAA:
        take_ip(&data->ip, field(rr, 0));
        return MAIL_OK;
    case DNS_TYPE_CNAME:
        dns_name_text(field(rr, 0), 0, data->host);
        return MAIL_OK;
    case DNS_TYPE_MX:
        data->preference = dns_packet_u16(field(rr, 0), 0);
        dns_name_text(field(rr, 1), 0, data->host);
        return MAIL_OK;
    case DNS_TYPE_SOA:
        data->minimum = dns_packet_u32(field(rr, 6), 0);
        return MAIL_OK;
    case DNS_TYPE_TXT:
        return take_strings(rr, text);
    default:
        assert(false); /* the packet check does not know it, so it must not come here */
        return MAIL_EPROTO;
    }
}

int dns_wire_data(mail_span packet, const dns_item *item, dns_data *data, buffer *text)
{
    size_t at = item->owner;
    ldns_rr *rr = NULL;
    int code;

    *data = (dns_data){0};
    code = code_of(
        ldns_wire2rr(&rr, (const uint8_t *)packet.data, packet.length, &at, LDNS_SECTION_ANSWER));
    if (code != MAIL_OK) {
        return code;
    }
    /* The two readings of one packet must agree, or neither is to be trusted. */
    if (at == item->data + item->data_length && (unsigned)ldns_rr_get_type(rr) == item->type) {
        code = take_fields(rr, data, text);
    } else {
        code = MAIL_EPROTO;
    }
    ldns_rr_free(rr);
    return code;
}
