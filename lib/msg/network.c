/* SPDX-License-Identifier: MIT */
/*
 * Networks, and which addresses belong to the public internet. An IPv4 address that
 * was mapped into IPv6 (::ffff:0:0/96) is the IPv4 address everywhere, so that no
 * rule can be passed by writing an address in the other family.
 */
#include <mail/address.h>

#include "base/ascii.h"

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

/* The IPv4 address in four bytes of an IPv6 one. */
static mail_ip embedded(const mail_ip *ip, size_t at)
{
    mail_ip v4 = {.family = 4};

    memcpy(v4.bytes, ip->bytes + at, 4);
    return v4;
}

static mail_ip unmapped(const mail_ip *ip)
{
    if (ip->family == 6 && memcmp(ip->bytes, mapped_prefix, sizeof(mapped_prefix)) == 0) {
        return embedded(ip, 12);
    }
    return *ip;
}

bool mail_ip_equal(const mail_ip *a, const mail_ip *b)
{
    mail_ip x = unmapped(a);
    mail_ip y = unmapped(b);

    return x.family == y.family && x.scope == y.scope &&
           memcmp(x.bytes, y.bytes, x.family == 6 ? 16 : 4) == 0;
}

static bool starts_with(const uint8_t *bytes, const uint8_t *prefix, unsigned bits)
{
    unsigned rest = bits % 8;

    if (memcmp(bytes, prefix, bits / 8) != 0) {
        return false;
    }
    return rest == 0 || (bytes[bits / 8] ^ prefix[bits / 8]) >> (8 - rest) == 0;
}

static bool has_host_bits(const mail_network *network)
{
    unsigned bits = network->prefix_bits;
    unsigned size = network->ip.family == 6 ? 128 : 32;

    for (unsigned bit = bits; bit < size; bit++) {
        if ((network->ip.bytes[bit / 8] & (0x80 >> (bit % 8))) != 0) {
            return true;
        }
    }
    return false;
}

int mail_network_parse(mail_span text, mail_network *network)
{
    const char *slash = text.length > 0 ? memchr(text.data, '/', text.length) : NULL;
    size_t length = slash != NULL ? (size_t)(slash - text.data) : text.length;
    uint64_t bits;

    if (mail_ip_parse(mail_span_first(text, length), &network->ip) != MAIL_OK ||
        network->ip.scope != 0) {
        return MAIL_EINVAL;
    }
    bits = network->ip.family == 6 ? 128 : 32;
    if (slash != NULL && !ascii_number(mail_span_from(text, length + 1), bits, &bits)) {
        return MAIL_EINVAL;
    }
    network->prefix_bits = (uint8_t)bits;
    return has_host_bits(network) ? MAIL_EINVAL : MAIL_OK;
}

bool mail_network_contains(const mail_network *network, const mail_ip *ip)
{
    mail_ip address = unmapped(ip);
    mail_ip base = network->ip;
    unsigned bits = network->prefix_bits;

    if (base.family == 6 && bits >= 96) {
        base = unmapped(&base);
        bits -= base.family == 4 ? 96 : 0;
    }
    return base.family == address.family && starts_with(address.bytes, base.bytes, bits);
}

bool mail_ip_is_loopback(const mail_ip *ip)
{
    static const uint8_t v6[16] = {[15] = 1};
    mail_ip address = unmapped(ip);

    return address.family == 6 ? memcmp(address.bytes, v6, 16) == 0 : address.bytes[0] == 127;
}

/* One row of a registry of special addresses. */
typedef struct block {
    uint8_t bits;
    uint8_t bytes[4];
} block;

static bool in_blocks(const mail_ip *ip, const block *blocks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (starts_with(ip->bytes, blocks[i].bytes, blocks[i].bits)) {
            return true;
        }
    }
    return false;
}

/* IANA, IPv4 Special-Purpose Address Registry (RFC 6890), and multicast. */
static bool is_private_v4(const mail_ip *ip)
{
    static const block blocks[] = {
        {8, {0}},             /* this network */
        {8, {10}},            /* RFC 1918 */
        {10, {100, 64}},      /* RFC 6598, carriers' NAT */
        {8, {127}},           /* loopback */
        {16, {169, 254}},     /* link-local */
        {12, {172, 16}},      /* RFC 1918 */
        {24, {192, 0, 0}},    /* protocol assignments */
        {24, {192, 0, 2}},    /* documentation */
        {24, {192, 88, 99}},  /* once 6to4 relays */
        {16, {192, 168}},     /* RFC 1918 */
        {15, {198, 18}},      /* benchmarks */
        {24, {198, 51, 100}}, /* documentation */
        {24, {203, 0, 113}},  /* documentation */
        {4, {224}},           /* multicast */
        {4, {240}},           /* reserved, broadcast */
    };

    return in_blocks(ip, blocks, MAIL_COUNT(blocks));
}

/*
 * Public are only the addresses that IANA has given out, 2000::/3, less the special
 * blocks in it, and what carries a public IPv4 address through a translator.
 */
static bool is_private_v6(const mail_ip *ip)
{
    static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    static const block unicast = {3, {0x20}};
    static const block six_to_four = {16, {0x20, 0x02}};
    static const block blocks[] = {
        {23, {0x20, 0x01, 0x00}},       /* protocol assignments, Teredo, ORCHID */
        {32, {0x20, 0x01, 0x0d, 0xb8}}, /* documentation */
        {20, {0x3f, 0xff, 0x00}},       /* documentation */
    };
    mail_ip v4;

    if (memcmp(ip->bytes, nat64, sizeof(nat64)) == 0) {
        v4 = embedded(ip, 12);
        return is_private_v4(&v4);
    }
    if (in_blocks(ip, &six_to_four, 1)) {
        v4 = embedded(ip, 2);
        return is_private_v4(&v4);
    }
    return !in_blocks(ip, &unicast, 1) || in_blocks(ip, blocks, MAIL_COUNT(blocks));
}

bool mail_ip_is_private(const mail_ip *ip)
{
    mail_ip address = unmapped(ip);

    return address.family == 6 ? is_private_v6(&address) : is_private_v4(&address);
}
