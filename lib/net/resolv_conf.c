/* SPDX-License-Identifier: MIT */
#include "net/resolv_conf.h"

#include <fcntl.h>
#include <net/if.h>
#include <unistd.h>

#include <mail/resolver.h>

#define TEXT_MAX     (64 * 1024)
#define NAME_KEYWORD MAIL_SPAN("nameserver")

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Cuts the next word off `line`; empty at its end. */
static mail_span next_word(mail_span *line)
{
    size_t from = 0;
    size_t to;

    while (from < line->length && is_blank(line->data[from])) {
        from++;
    }
    for (to = from; to < line->length && !is_blank(line->data[to]);) {
        to++;
    }
    *line = mail_span_from(*line, to);
    return mail_span_of(line->data - (to - from), to - from);
}

/* An address, with the name of an interface for its zone perhaps: fe80::1%eth0. */
static bool parse_server(mail_span word, mail_ip *ip)
{
    const char *zone = word.length > 0 ? memchr(word.data, '%', word.length) : NULL;
    char interface[IF_NAMESIZE];
    size_t length;

    if (zone == NULL || mail_ip_parse(word, ip) == MAIL_OK) {
        return zone != NULL || mail_ip_parse(word, ip) == MAIL_OK;
    }
    length = word.length - (size_t)(zone + 1 - word.data);
    if (length == 0 || length >= sizeof(interface) ||
        mail_ip_parse(mail_span_first(word, (size_t)(zone - word.data)), ip) != MAIL_OK) {
        return false;
    }
    memcpy(interface, zone + 1, length);
    interface[length] = '\0';
    ip->scope = if_nametoindex(interface);
    return ip->family == 6 && ip->scope != 0;
}

size_t resolv_conf_parse(mail_span text, mail_endpoint *servers, size_t max)
{
    size_t count = 0;

    while (text.length > 0 && count < max) {
        const char *lf = memchr(text.data, '\n', text.length);
        size_t length = lf != NULL ? (size_t)(lf - text.data) : text.length;
        mail_span line = mail_span_first(text, length);

        text = mail_span_from(text, lf != NULL ? length + 1 : length);
        if (mail_span_equal(next_word(&line), NAME_KEYWORD) &&
            parse_server(next_word(&line), &servers[count].ip)) {
            servers[count++].port = MAIL_RESOLVER_PORT;
        }
    }
    return count;
}

static size_t read_file(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    size_t length = 0;
    ssize_t n = 1;

    if (fd < 0) {
        return 0;
    }
    while (n > 0 && length < size) {
        n = read(fd, text + length, size - length);
        length += n > 0 ? (size_t)n : 0;
    }
    close(fd);
    return length;
}

size_t resolv_conf_load(const char *path, mail_endpoint *servers, size_t max)
{
    char text[TEXT_MAX];
    size_t length = read_file(path, text, sizeof(text));
    size_t count = resolv_conf_parse(mail_span_of(text, length), servers, max);

    if (count > 0) {
        return count;
    }
    servers[0] =
        (mail_endpoint){.ip = {.family = 4, .bytes = {127, 0, 0, 1}}, .port = MAIL_RESOLVER_PORT};
    return 1;
}
