/* SPDX-License-Identifier: MIT */
#ifndef LIB_QUEUE_CONTENT_H
#define LIB_QUEUE_CONTENT_H

#include <mail/base.h>

/*
 * Learns, while a message passes, what later decides how it may be sent on. One look
 * at each octet, wide enough that it costs less than copying them.
 */
typedef struct queue_content {
    uint64_t size;
    bool has_8bit;
    bool has_nul;         /* or a CR or LF that is not part of CRLF */
    bool has_utf8_header; /* octets above 127 before the empty line */
    bool in_body;
    char last;    /* the last octet seen */
    uint8_t line; /* octets of the current header line, as far as 1 */
} queue_content;

void queue_content_scan(queue_content *content, mail_span bytes);

/* After the last octet: a CR may be left alone. */
void queue_content_end(queue_content *content);

#endif
