/* SPDX-License-Identifier: MIT */
#include <mail/address.h>

#include <arpa/inet.h>
#include <stdio.h>

#include "base/ascii.h"

/* `%` and a number behind an IPv6 address; names of interfaces are the system's affair. */
static int parse_zone(mail_span text, uint32_t *scope)
{
    uint64_t number;

    if (!ascii_number(text, UINT32_MAX, &number) || number == 0) {
        return MAIL_EINVAL;
    }
    *scope = (uint32_t)number;
    return MAIL_OK;
}

int mail_ip_parse(mail_span text, mail_ip *ip)
{
    const char *zone = text.length > 0 ? memchr(text.data, '%', text.length) : NULL;
    size_t length = zone != NULL ? (size_t)(zone - text.data) : text.length;
    char copy[INET6_ADDRSTRLEN + 1];
    int family = AF_INET;

    if (length == 0 || length >= sizeof(copy) || memchr(text.data, '\0', length) != NULL) {
        return MAIL_EINVAL;
    }
    memcpy(copy, text.data, length);
    copy[length] = '\0';
    *ip = (mail_ip){.family = 4};
    if (strchr(copy, ':') != NULL) {
        ip->family = 6;
        family = AF_INET6;
    }
    if (inet_pton(family, copy, ip->bytes) != 1) {
        return MAIL_EINVAL;
    }
    if (zone == NULL) {
        return MAIL_OK;
    }
    return ip->family == 6 ? parse_zone(mail_span_from(text, length + 1), &ip->scope) : MAIL_EINVAL;
}

int mail_ip_parse_literal(mail_span text, mail_ip *ip)
{
    static const size_t tag_length = sizeof("IPv6:") - 1;
    bool is_v6 = false;

    if (text.length < 2 || text.data[0] != '[' || text.data[text.length - 1] != ']') {
        return MAIL_EINVAL;
    }
    text = mail_span_of(text.data + 1, text.length - 2);
    if (text.length > tag_length &&
        mail_span_equal_nocase(mail_span_first(text, tag_length), MAIL_SPAN("IPv6:"))) {
        text = mail_span_from(text, tag_length);
        is_v6 = true;
    }
    /* A zone has a meaning on one host only; the grammar has none. */
    if (mail_ip_parse(text, ip) != MAIL_OK || (ip->family == 6) != is_v6 || ip->scope != 0) {
        return MAIL_EINVAL;
    }
    return MAIL_OK;
}

static size_t put_octet(char *at, unsigned char octet)
{
    size_t length = octet > 99 ? 3 : octet > 9 ? 2 : 1;

    for (size_t i = length; i > 0; i--, octet /= 10) {
        at[i - 1] = (char)('0' + octet % 10);
    }
    return length;
}

/* For the trace fields of every message: inet_ntop goes by a format. */
static size_t print_v4(const mail_ip *ip, char *out)
{
    size_t length = 0;

    for (size_t i = 0; i < 4; i++) {
        length += put_octet(out + length, ip->bytes[i]);
        out[length++] = '.';
    }
    out[--length] = '\0';
    return length;
}

/* At most INET6_ADDRSTRLEN octets, the NUL included. */
static size_t print_address(const mail_ip *ip, char *out)
{
    if (ip->family != 6) {
        return print_v4(ip, out);
    }
    inet_ntop(AF_INET6, ip->bytes, out, INET6_ADDRSTRLEN);
    return strlen(out);
}

size_t mail_ip_print(const mail_ip *ip, char out[MAIL_IP_TEXT_SIZE])
{
    size_t length = print_address(ip, out);

    if (ip->scope != 0) {
        length += (size_t)snprintf(out + length, MAIL_IP_TEXT_SIZE - length, "%%%u", ip->scope);
    }
    return length;
}

size_t mail_ip_print_literal(const mail_ip *ip, char out[MAIL_IP_TEXT_SIZE])
{
    const char *open = ip->family == 6 ? "[IPv6:" : "[";
    size_t length = strlen(open);

    memcpy(out, open, length);
    length += print_address(ip, out + length);
    memcpy(out + length, "]", sizeof("]"));
    return length + 1;
}

/* 0 is a port too: the system chooses one. */
static int parse_port(mail_span text, mail_endpoint *endpoint)
{
    uint64_t port;

    if (!ascii_number(text, UINT16_MAX, &port)) {
        return MAIL_EINVAL;
    }
    endpoint->port = (uint16_t)port;
    return MAIL_OK;
}

int mail_endpoint_parse(mail_span text, mail_endpoint *endpoint)
{
    const char *colon = text.length > 0 ? memrchr(text.data, ':', text.length) : NULL;
    bool in_brackets = text.length > 0 && text.data[0] == '[';
    mail_span host;

    if (colon == NULL) {
        return MAIL_EINVAL;
    }
    host = mail_span_first(text, (size_t)(colon - text.data));
    if (in_brackets) {
        if (host.length < 2 || host.data[host.length - 1] != ']') {
            return MAIL_EINVAL;
        }
        host = mail_span_of(host.data + 1, host.length - 2);
    }
    /* Without brackets nobody could say where an IPv6 address ends. */
    if (mail_ip_parse(host, &endpoint->ip) != MAIL_OK ||
        (endpoint->ip.family == 6) != in_brackets) {
        return MAIL_EINVAL;
    }
    return parse_port(mail_span_from(text, host.length + (in_brackets ? 3 : 1)), endpoint);
}

/* An address without its brackets, if it is one that has them. */
static mail_span without_brackets(mail_span text)
{
    bool has_brackets = text.length > 2 && text.data[0] == '[' &&
                        text.data[text.length - 1] == ']' &&
                        memchr(text.data, ':', text.length) != NULL;

    return has_brackets ? mail_span_of(text.data + 1, text.length - 2) : text;
}

int mail_endpoint_parse_peer(mail_span text, uint16_t port, mail_endpoint *endpoint)
{
    if (mail_ip_parse(without_brackets(text), &endpoint->ip) == MAIL_OK) {
        endpoint->port = port;
        return MAIL_OK;
    }
    return mail_endpoint_parse(text, endpoint) == MAIL_OK && endpoint->port != 0 ? MAIL_OK
                                                                                 : MAIL_EINVAL;
}

size_t mail_endpoint_print(const mail_endpoint *endpoint, char out[MAIL_IP_TEXT_SIZE])
{
    char text[MAIL_IP_TEXT_SIZE];
    int length = (int)mail_ip_print(&endpoint->ip, text);

    return (size_t)snprintf(out, MAIL_IP_TEXT_SIZE,
                            endpoint->ip.family == 6 ? "[%.*s]:%u" : "%.*s:%u", length, text,
                            endpoint->port);
}
