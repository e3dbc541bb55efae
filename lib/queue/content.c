/* SPDX-License-Identifier: MIT */
#include "queue/content.h"

/* What a run of octets holds, gathered bit by bit. */
typedef struct seen {
    unsigned char high; /* bit 7 of every octet */
    unsigned char zero;
    unsigned char bare; /* an LF that does not follow a CR, or a CR that no LF follows */
} seen;

#define BLOCK 64

/* The octet before `at` must be readable. Of a fixed length, so that it becomes vector code. */
static void look_at_block(const char *at, seen *found)
{
    unsigned char high = 0;
    unsigned char zero = 0;
    unsigned char bare = 0;

    for (int i = 0; i < BLOCK; i++) {
        high |= (unsigned char)at[i];
        zero |= at[i] == 0;
        bare |= (at[i - 1] == '\r') ^ (at[i] == '\n');
    }
    found->high |= high;
    found->zero |= zero;
    found->bare |= bare;
}

static void look_at(char before, mail_span bytes, seen *found)
{
    size_t i = 0;

    for (; i < bytes.length && i < 1; i++) {
        found->high |= (unsigned char)bytes.data[i];
        found->zero |= bytes.data[i] == 0;
        found->bare |= (before == '\r') ^ (bytes.data[i] == '\n');
    }
    for (; bytes.length - i >= BLOCK; i += BLOCK) {
        look_at_block(bytes.data + i, found);
    }
    for (; i < bytes.length; i++) {
        found->high |= (unsigned char)bytes.data[i];
        found->zero |= bytes.data[i] == 0;
        found->bare |= (bytes.data[i - 1] == '\r') ^ (bytes.data[i] == '\n');
    }
}

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
    seen found = {0};

    if (bytes.length == 0) {
        return;
    }
    look_at(content->last, bytes, &found);
    content->has_8bit |= (found.high & 0x80) != 0;
    content->has_utf8_header |= is_header && (found.high & 0x80) != 0;
    content->has_nul |= found.zero != 0 || found.bare != 0;
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
