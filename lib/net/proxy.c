/* SPDX-License-Identifier: MIT */
#include "net/proxy.h"

#include "base/ascii.h"

/* The PROXY protocol, section 2.1: the longest line, CRLF included. */
#define V1_MAX 107

/* Section 2.2: signature, version and command, family and transport, length. */
#define V2_SIGNATURE_LENGTH 12
#define V2_HEAD_LENGTH      16

static const char v1_signature[6] = "PROXY ";
static const char v2_signature[V2_SIGNATURE_LENGTH] = "\r\n\r\n\0\r\nQUIT\n";

/* As far as both go. */
static bool begins_as(mail_span in, const char *signature, size_t length)
{
    size_t n = in.length < length ? in.length : length;

    return n == 0 || memcmp(in.data, signature, n) == 0;
}

bool net_proxy_is_header(mail_span in)
{
    return (in.length >= sizeof(v1_signature) &&
            begins_as(in, v1_signature, sizeof(v1_signature))) ||
           (in.length >= sizeof(v2_signature) && begins_as(in, v2_signature, sizeof(v2_signature)));
}

/* Cuts off what stands before the next blank; what is left begins behind it. */
static mail_span take_word(mail_span *line)
{
    const char *blank = line->length > 0 ? memchr(line->data, ' ', line->length) : NULL;
    size_t length = blank != NULL ? (size_t)(blank - line->data) : line->length;
    mail_span word = mail_span_first(*line, length);

    *line = mail_span_from(*line, blank != NULL ? length + 1 : length);
    return word;
}

static bool read_ip(mail_span *line, uint8_t family, mail_ip *ip)
{
    return mail_ip_parse(take_word(line), ip) == MAIL_OK && ip->family == family && ip->scope == 0;
}

static bool read_port(mail_span word, uint16_t *port)
{
    uint64_t number;

    if (!ascii_number(word, UINT16_MAX, &number) || (word.length > 1 && word.data[0] == '0')) {
        return false;
    }
    *port = (uint16_t)number;
    return true;
}

/*
 *   "PROXY " ( "TCP4" / "TCP6" ) " " source " " destination " " source-port " " destination-port
 *   "PROXY UNKNOWN" *OCTET
 */
static int parse_v1_line(mail_span line, mail_endpoint *client)
{
    mail_span kind = take_word(&line);
    mail_endpoint ours;
    uint8_t family = 4;

    if (mail_span_equal(kind, MAIL_SPAN("UNKNOWN"))) {
        return MAIL_OK;
    }
    if (mail_span_equal(kind, MAIL_SPAN("TCP6"))) {
        family = 6;
    } else if (!mail_span_equal(kind, MAIL_SPAN("TCP4"))) {
        return MAIL_EINVAL;
    }
    if (!read_ip(&line, family, &client->ip) || !read_ip(&line, family, &ours.ip) ||
        !read_port(take_word(&line), &client->port) || !read_port(line, &ours.port)) {
        return MAIL_EINVAL;
    }
    return MAIL_OK;
}

static int parse_v1(mail_span in, size_t *used, mail_endpoint *client)
{
    mail_span scanned = mail_span_first(in, in.length < V1_MAX ? in.length : V1_MAX);
    const char *end = memmem(scanned.data, scanned.length, "\r\n", 2);
    size_t length;

    if (end == NULL) {
        return scanned.length < V1_MAX ? MAIL_EAGAIN : MAIL_EINVAL;
    }
    length = (size_t)(end - in.data);
    *used = length + 2;
    return parse_v1_line(
        mail_span_of(in.data + sizeof(v1_signature), length - sizeof(v1_signature)), client);
}

/* The source address and its port, between which the destination's address lies. */
static void read_source(const char *block, uint8_t family, mail_endpoint *client)
{
    size_t size = family == 6 ? 16 : 4;
    const unsigned char *port = (const unsigned char *)block + 2 * size;

    client->ip.family = family;
    memcpy(client->ip.bytes, block, size);
    client->port = (uint16_t)(port[0] << 8 | port[1]);
}

/* What the block behind the head says of the client. */
static int parse_v2_block(unsigned family, mail_span block, mail_endpoint *client)
{
    switch (family) {
    case 0x00: /* unspecified */
    case 0x31: /* a unix socket of the proxy's */
        return MAIL_OK;
    case 0x11: /* TCP over IPv4 */
        if (block.length < 12) {
            return MAIL_EINVAL;
        }
        read_source(block.data, 4, client);
        return MAIL_OK;
    case 0x21: /* TCP over IPv6 */
        if (block.length < 36) {
            return MAIL_EINVAL;
        }
        read_source(block.data, 6, client);
        return MAIL_OK;
    default: /* no mail comes by datagrams */
        return MAIL_EINVAL;
    }
}

static int parse_v2(mail_span in, size_t *used, mail_endpoint *client)
{
    enum {
        LOCAL = 0x20,
        PROXY = 0x21
    };
    const unsigned char *head = (const unsigned char *)in.data;
    size_t length;

    if (in.length < V2_HEAD_LENGTH) {
        return MAIL_EAGAIN;
    }
    length = (size_t)(head[14] << 8 | head[15]);
    if (head[12] != LOCAL && head[12] != PROXY) {
        return MAIL_EINVAL;
    }
    if (length > NET_PROXY_MAX - V2_HEAD_LENGTH) {
        return MAIL_ELIMIT;
    }
    if (in.length < V2_HEAD_LENGTH + length) {
        return MAIL_EAGAIN;
    }
    *used = V2_HEAD_LENGTH + length;
    return head[12] == LOCAL
               ? MAIL_OK
               : parse_v2_block(head[13], mail_span_of(in.data + V2_HEAD_LENGTH, length), client);
}

/* An IPv4 address in the clothes of IPv6 is what it is; nobody connects from no address. */
static int settle(mail_endpoint *client)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    static const uint8_t none[16];
    mail_ip *ip = &client->ip;

    if (ip->family == 6 && memcmp(ip->bytes, mapped, sizeof(mapped)) == 0) {
        mail_ip v4 = {.family = 4};

        memcpy(v4.bytes, ip->bytes + sizeof(mapped), 4);
        *ip = v4;
    }
    return ip->family != 0 && memcmp(ip->bytes, none, ip->family == 6 ? 16 : 4) == 0 ? MAIL_EINVAL
                                                                                     : MAIL_OK;
}

int net_proxy_parse(mail_span in, size_t *used, mail_endpoint *client)
{
    int code = MAIL_EINVAL;

    *used = 0;
    *client = (mail_endpoint){.port = 0};
    if (in.length == 0) {
        return MAIL_EAGAIN;
    }
    if (begins_as(in, v1_signature, sizeof(v1_signature))) {
        code = in.length < sizeof(v1_signature) ? MAIL_EAGAIN : parse_v1(in, used, client);
    } else if (begins_as(in, v2_signature, sizeof(v2_signature))) {
        code = parse_v2(in, used, client);
    }
    return code == MAIL_OK ? settle(client) : code;
}
