/* SPDX-License-Identifier: MIT */
#include "queue/content.h"

#include "base/octets.h"

/* How much of `bytes` is still header, the empty line included. */
static size_t header_part(queue_content *content, mail_span bytes)
{
    size_t at = 0;

    while (at < bytes.length) {
        const char *lf = memchr(bytes.data + at, '\n', bytes.length - at);
        size_t end = lf != NULL ? (size_t)(lf - bytes.data) + 1 : bytes.length;
        bool is_empty = true;

        for (size_t i = at; i < end && is_empty; i++) {
            is_empty = bytes.data[i] == '\r' || bytes.data[i] == '\n';
        }
        content->line |= !is_empty;
        at = end;
        if (lf != NULL) {
            if (content->line == 0) {
                content->in_body = true;
                break;
            }
            content->line = 0;
        }
    }
    return at;
}

static void take(queue_content *content, mail_span bytes, bool is_header)
{
    octets_sight sight = {0};

    if (bytes.length == 0) {
        return;
    }
    octets_look(bytes, content->last, &sight);
    content->has_8bit |= sight.has_8bit;
    content->has_utf8_header |= is_header && sight.has_8bit;
    content->has_nul |= sight.has_nul || sight.has_bare;
    content->last = bytes.data[bytes.length - 1];
    content->size += bytes.length;
}

void queue_content_scan(queue_content *content, mail_span bytes)
{
    size_t header = content->in_body ? 0 : header_part(content, bytes);

    take(content, mail_span_first(bytes, header), true);
    take(content, mail_span_from(bytes, header), false);
}

void queue_content_end(queue_content *content)
{
    content->has_nul |= content->last == '\r';
}
