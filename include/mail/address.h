/* SPDX-License-Identifier: MIT */
#ifndef MAIL_ADDRESS_H
#define MAIL_ADDRESS_H

#include <mail/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The longest address kept, in octets, without its brackets (RFC 5321, section 4.5.3.1.3). */
#define MAIL_PATH_MAX 320

/**
 * An address in its one canonical form, `local@domain` without brackets: the
 * form in which it is compared, routed, stored, logged and sent on.
 *
 * The local part keeps its case and is quoted only if it must be. The domain is
 * in lower case; U-labels stay U-labels. A plain value: copy it freely.
 */
typedef struct mail_path {
    uint16_t length;       /* octets in `text`; 0 is the null reverse-path `<>` */
    uint16_t local_length; /* octets before the @; equal to `length` when there is no domain */
    bool is_utf8;          /* holds non-ASCII: needs SMTPUTF8 */
    bool is_literal;       /* the domain is an address literal such as [IPv6:::1] */
    char text[MAIL_PATH_MAX + 1];
} mail_path;

/** What a parser of paths lets through beyond the strict ASCII forms. */
enum {
    MAIL_PATH_UTF8 = 1,       /* RFC 6531: UTF-8 local parts and U-labels */
    MAIL_PATH_NULL = 2,       /* `<>` */
    MAIL_PATH_POSTMASTER = 4, /* `<postmaster>` in any case (RFC 5321, section 4.5.1) */
    MAIL_PATH_BARE = 8        /* a local part with no domain, as typed on a command line */
};

/**
 * Parses `Path` of RFC 5321, section 4.1.2, with the brackets, at the start of
 * `in`: quoted local parts, address literals, source routes (parsed, dropped).
 * `*used` is what it took; the caller judges what follows. A refused path leaves
 * `*path` null.
 *
 * Errors: MAIL_EINVAL; MAIL_ELIMIT when a part is longer than RFC 5321, section
 * 4.5.3.1, and UTF-8 needs (local part 64, domain 253 as A-labels, whole 254 octets in
 * ASCII and 320 in UTF-8); MAIL_ENOMEM, only where a domain is not ASCII.
 */
MAIL_API int mail_path_parse(mail_span in, unsigned flags, mail_path *path, size_t *used);

/**
 * The same for a whole text `local@domain` without brackets: command lines,
 * configuration, API. Text after the address is an error.
 */
MAIL_API int mail_path_from_text(mail_span in, unsigned flags, mail_path *path);

/** All of it; empty: the null path. Ownership: lends from `path`. */
static inline mail_span mail_path_text(const mail_path *path)
{
    return mail_span_of(path->text, path->length);
}

/** The local part as it stands in the path, quotes included. */
static inline mail_span mail_path_local(const mail_path *path)
{
    return mail_span_of(path->text, path->local_length);
}

/** The domain or address literal; empty when there is none. */
static inline mail_span mail_path_domain(const mail_path *path)
{
    size_t from = path->local_length < path->length ? path->local_length + 1U : path->length;

    return mail_span_of(path->text + from, path->length - from);
}

/**
 * Writes the local part without quotes and backslashes to `out` (at least
 * MAIL_PATH_MAX + 1 bytes) and returns its length: the name of a mailbox.
 */
MAIL_API size_t mail_path_local_unquoted(const mail_path *path, char *out);

/** Same mailbox: domains without regard to case and as A-labels, local parts to the octet. */
MAIL_API bool mail_path_equal(const mail_path *a, const mail_path *b);

/** The longest domain name in presentation form (RFC 1035), final NUL included. */
#define MAIL_DOMAIN_SIZE 256

/**
 * Checks a domain name and writes its DNS form to `out`: lower case, A-labels
 * (RFC 5891, through libidn2), no final dot. Letters, digits, hyphens and (not
 * first in the name's last label) underscores; the last label is not a number.
 *
 * Errors: MAIL_EINVAL for anything else, an address literal included; MAIL_ENOMEM,
 * only where the name is not ASCII.
 */
MAIL_API int mail_domain_to_ascii(mail_span domain, char out[MAIL_DOMAIN_SIZE]);

/** An IP address: family 4 or 6, and its 4 or 16 bytes in network order. */
typedef struct mail_ip {
    uint8_t family;
    uint8_t bytes[16];
    uint32_t scope; /* IPv6 zone of a link-local address; 0: none */
} mail_ip;

/** An address and port of a TCP or UDP peer. */
typedef struct mail_endpoint {
    mail_ip ip;
    uint16_t port;
} mail_endpoint;

/** The longest text of an address literal, brackets, tag, zone and final NUL included. */
#define MAIL_IP_TEXT_SIZE 64

/** Parses `127.0.0.1`, `::1` or `fe80::1%2` (the zone as a number). Errors: MAIL_EINVAL. */
MAIL_API int mail_ip_parse(mail_span text, mail_ip *ip);

/** Parses an address literal `[127.0.0.1]` or `[IPv6:::1]` (RFC 5321, section 4.1.3). */
MAIL_API int mail_ip_parse_literal(mail_span text, mail_ip *ip);

/** Writes the plain text of `ip` and returns its length. */
MAIL_API size_t mail_ip_print(const mail_ip *ip, char out[MAIL_IP_TEXT_SIZE]);

/** Writes `[127.0.0.1]` or `[IPv6:::1]`, without the zone, and returns its length. */
MAIL_API size_t mail_ip_print_literal(const mail_ip *ip, char out[MAIL_IP_TEXT_SIZE]);

/** Same address; an IPv4 address mapped into IPv6 equals the plain one. */
MAIL_API bool mail_ip_equal(const mail_ip *a, const mail_ip *b);

/** 127.0.0.0/8 or ::1 (also mapped). */
MAIL_API bool mail_ip_is_loopback(const mail_ip *ip);

/**
 * Not an address of the public internet: loopback, private (RFC 1918, 4193, 6598),
 * link-local, unspecified, multicast, documentation or reserved (also mapped).
 */
MAIL_API bool mail_ip_is_private(const mail_ip *ip);

/** A network: an address and how many of its leading bits count. */
typedef struct mail_network {
    mail_ip ip;
    uint8_t prefix_bits;
} mail_network;

/** Parses `10.0.0.0/8`, `::1/128` or a single address. Errors: MAIL_EINVAL, also for host bits set. */
MAIL_API int mail_network_parse(mail_span text, mail_network *network);

/** Whether `ip` lies in it; an IPv4 address mapped into IPv6 counts as the plain one. */
MAIL_API bool mail_network_contains(const mail_network *network, const mail_ip *ip);

/** Parses `IPV4:PORT` or `[IPV6]:PORT`; port 0 is allowed. Errors: MAIL_EINVAL. */
MAIL_API int mail_endpoint_parse(mail_span text, mail_endpoint *endpoint);

/**
 * Parses where somebody else listens: as above, but never at port 0; or an address alone, IPv6
 * in brackets or without, that means `port`. Errors: MAIL_EINVAL.
 */
MAIL_API int mail_endpoint_parse_peer(mail_span text, uint16_t port, mail_endpoint *endpoint);

/** Writes `127.0.0.1:25` or `[::1]:25` and returns its length. */
MAIL_API size_t mail_endpoint_print(const mail_endpoint *endpoint, char out[MAIL_IP_TEXT_SIZE]);

#ifdef __cplusplus
}
#endif

#endif
