/* SPDX-License-Identifier: MIT */
#ifndef TESTS_DNS_BUILD_H
#define TESTS_DNS_BUILD_H

#include <assert.h>
#include <string.h>

#include "dns/packet.h"

/*
 * Writes DNS packets octet by octet, sound or not: the tests' own hand, so that no
 * codec is checked against itself. Names are not compressed unless asked for.
 */
typedef struct built {
    size_t length;
    unsigned char data[80000];
} built;

enum {
    BUILT_ANSWER = 0x8180,
    BUILT_TRUNCATED = 0x8380
}; /* QR RD RA; and TC */

static inline mail_span built_span(const built *b)
{
    return mail_span_of(b->data, b->length);
}

static inline void put_bytes(built *b, const void *bytes, size_t length)
{
    assert(b->length + length <= sizeof(b->data));
    memcpy(b->data + b->length, bytes, length);
    b->length += length;
}

static inline void put_u8(built *b, unsigned value)
{
    put_bytes(b, &(unsigned char){(unsigned char)value}, 1);
}

static inline void put_u16(built *b, unsigned value)
{
    put_u8(b, value >> 8 & 0xffU);
    put_u8(b, value & 0xffU);
}

static inline void put_u32(built *b, uint32_t value)
{
    put_u16(b, value >> 16);
    put_u16(b, value & 0xffffU);
}

/* "." is the root; `@` stands for a pointer to the question's name. */
static inline void put_name(built *b, const char *name)
{
    if (strcmp(name, "@") == 0) {
        put_u16(b, 0xc000U | DNS_HEADER_SIZE);
        return;
    }
    while (*name != '\0' && strcmp(name, ".") != 0) {
        size_t length = strcspn(name, ".");

        put_u8(b, (unsigned)length);
        put_bytes(b, name, length);
        name += length + (name[length] == '.');
    }
    put_u8(b, 0);
}

static inline void set_u16(built *b, size_t at, unsigned value)
{
    b->data[at] = (unsigned char)(value >> 8);
    b->data[at + 1] = (unsigned char)value;
}

static inline void build_begin(built *b, unsigned id, unsigned flags, const char *name,
                               unsigned type)
{
    b->length = 0;
    put_u16(b, id);
    put_u16(b, flags);
    put_u16(b, 1);
    put_u16(b, 0);
    put_u32(b, 0);
    put_name(b, name);
    put_u16(b, type);
    put_u16(b, DNS_CLASS_IN);
}

/* Begins the answer to a query: its id and its question as they came. */
static inline void build_reply(built *b, mail_span query, unsigned flags)
{
    size_t end = DNS_HEADER_SIZE;

    while (query.data[end] != 0) {
        end += 1 + (size_t)(unsigned char)query.data[end];
    }
    b->length = 0;
    put_bytes(b, query.data, end + 5);
    set_u16(b, 2, flags);
    set_u16(b, 6, 0);
    set_u16(b, 8, 0);
    set_u16(b, 10, 0);
}

/* The fixed part of a record; returns where its data begin, for end_record. */
static inline size_t begin_record(built *b, dns_section section, const char *owner, unsigned type,
                                  uint32_t ttl)
{
    size_t counter = 6 + 2 * (size_t)section;

    set_u16(b, counter, (unsigned)(b->data[counter] << 8 | b->data[counter + 1]) + 1);
    put_name(b, owner);
    put_u16(b, type);
    put_u16(b, DNS_CLASS_IN);
    put_u32(b, ttl);
    put_u16(b, 0);
    return b->length;
}

static inline void end_record(built *b, size_t data)
{
    set_u16(b, data - 2, (unsigned)(b->length - data));
}

static inline void build_bytes(built *b, dns_section section, const char *owner, unsigned type,
                               uint32_t ttl, const void *bytes, size_t length)
{
    size_t data = begin_record(b, section, owner, type, ttl);

    put_bytes(b, bytes, length);
    end_record(b, data);
}

static inline void build_a(built *b, const char *owner, uint32_t ttl, uint32_t address)
{
    size_t data = begin_record(b, DNS_ANSWER, owner, DNS_TYPE_A, ttl);

    put_u32(b, address);
    end_record(b, data);
}

static inline void build_aaaa(built *b, const char *owner, uint32_t ttl, const void *address)
{
    build_bytes(b, DNS_ANSWER, owner, DNS_TYPE_AAAA, ttl, address, 16);
}

static inline void build_mx(built *b, const char *owner, uint32_t ttl, unsigned preference,
                            const char *host)
{
    size_t data = begin_record(b, DNS_ANSWER, owner, DNS_TYPE_MX, ttl);

    put_u16(b, preference);
    put_name(b, host);
    end_record(b, data);
}

static inline void build_cname(built *b, const char *owner, uint32_t ttl, const char *target)
{
    size_t data = begin_record(b, DNS_ANSWER, owner, DNS_TYPE_CNAME, ttl);

    put_name(b, target);
    end_record(b, data);
}

static inline void build_ns(built *b, const char *owner, const char *target)
{
    size_t data = begin_record(b, DNS_AUTHORITY, owner, DNS_TYPE_NS, 3600);

    put_name(b, target);
    end_record(b, data);
}

static inline void build_soa(built *b, const char *owner, uint32_t ttl, uint32_t minimum)
{
    size_t data = begin_record(b, DNS_AUTHORITY, owner, DNS_TYPE_SOA, ttl);

    put_name(b, "ns.invalid");
    put_name(b, "root.invalid");
    for (unsigned i = 0; i < 4; i++) {
        put_u32(b, 7200);
    }
    put_u32(b, minimum);
    end_record(b, data);
}

/* `count` strings of `length` octets each, all `x`. */
static inline void build_txt(built *b, const char *owner, uint32_t ttl, unsigned count,
                             unsigned length)
{
    size_t data = begin_record(b, DNS_ANSWER, owner, DNS_TYPE_TXT, ttl);

    for (unsigned i = 0; i < count; i++) {
        put_u8(b, length);
        memset(b->data + b->length, 'x', length);
        b->length += length;
    }
    end_record(b, data);
}

/* An OPT record; the upper bits of the response code are in `extended`. */
static inline void build_opt(built *b, dns_section section, unsigned extended)
{
    size_t data = begin_record(b, section, ".", DNS_TYPE_OPT, (uint32_t)extended << 24);

    end_record(b, data);
}

#endif
