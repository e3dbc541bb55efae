/* SPDX-License-Identifier: MIT */
/*
 * Every byte of a message may pass here, so that only lines of the header are looked at
 * one by one.
 */
#include <mail/header.h>

#include "base/ascii.h"
#include "base/octets.h"
#include "msg/chars.h"

/* How a line of the header began. */
enum {
    LINE_EMPTY,
    LINE_CR, /* only a CR so far */
    LINE_TEXT
};

static const char received[] = "received";

/* `matched` when the line is not, or is no longer, the name of a Received field. */
#define NO_MATCH UINT8_MAX

void mail_scan_init(mail_scan *scan)
{
    *scan = (mail_scan){0};
}

/* Which of the two it was; rare enough to be slow. */
static void find_bare(mail_scan *scan, mail_span bytes)
{
    bool cr = scan->after_cr;

    for (size_t i = 0; i < bytes.length; i++) {
        bool lf = bytes.data[i] == '\n';

        scan->has_bare_cr |= cr && !lf;
        scan->has_bare_lf |= lf && !cr;
        cr = bytes.data[i] == '\r';
    }
}

/* Looks at a run of bytes and says whether any is above 127. */
static bool look(mail_scan *scan, mail_span bytes)
{
    octets_sight sight = {0};

    if (bytes.length == 0) {
        return false;
    }
    octets_look(bytes, scan->after_cr ? '\r' : '\0', &sight);
    if (sight.has_bare) {
        find_bare(scan, bytes);
    }
    scan->after_cr = bytes.data[bytes.length - 1] == '\r';
    scan->has_nul |= sight.has_nul;
    scan->has_8bit |= sight.has_8bit;
    return sight.has_8bit;
}

/* RFC 3629, section 4, over slices: the range of the second octet depends on the first. */
static bool begin_character(mail_scan *scan, unsigned char c)
{
    scan->utf8_low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    scan->utf8_high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    if (c < 0x80) {
        return true;
    }
    scan->utf8_left = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    return c >= 0xc2 && c <= 0xf4;
}

static bool check_utf8(mail_scan *scan, mail_span bytes)
{
    for (size_t i = 0; i < bytes.length; i++) {
        unsigned char c = (unsigned char)bytes.data[i];

        if (scan->utf8_left == 0) {
            if (!begin_character(scan, c)) {
                return false;
            }
            continue;
        }
        if (c < scan->utf8_low || c > scan->utf8_high) {
            return false;
        }
        scan->utf8_low = 0x80;
        scan->utf8_high = 0xbf;
        scan->utf8_left--;
    }
    return true;
}

/* Follows the name of a field, blanks before the colon allowed (RFC 5322, section 4.5). */
static void match_name(mail_scan *scan, mail_span line)
{
    for (size_t i = 0; i < line.length && scan->matched != NO_MATCH; i++) {
        char c = line.data[i];

        if (scan->matched < sizeof(received) - 1) {
            scan->matched =
                ascii_lower(c) == received[scan->matched] ? scan->matched + 1 : NO_MATCH;
        } else if (!char_is_wsp(c)) {
            scan->received += c == ':' ? 1 : 0;
            scan->matched = NO_MATCH;
        }
    }
}

static void match_line(mail_scan *scan, mail_span line)
{
    match_name(scan, line);
    if (scan->line == LINE_EMPTY && line.length == 1 && line.data[0] == '\r') {
        scan->line = LINE_CR;
    } else if (line.length > 0) {
        scan->line = LINE_TEXT;
    }
}

/* Goes through header lines; returns how much of `bytes` belongs to the header. */
static size_t scan_lines(mail_scan *scan, mail_span bytes)
{
    size_t at = 0;

    while (at < bytes.length && !scan->in_body) {
        const char *lf = memchr(bytes.data + at, '\n', bytes.length - at);
        size_t end = lf != NULL ? (size_t)(lf - bytes.data) : bytes.length;

        match_line(scan, mail_span_of(bytes.data + at, end - at));
        at = end;
        if (lf != NULL) {
            scan->in_body = scan->line != LINE_TEXT;
            scan->line = LINE_EMPTY;
            scan->matched = 0;
            at++;
        }
    }
    return at;
}

static void feed_header(mail_scan *scan, mail_span bytes)
{
    bool has_8bit = look(scan, bytes);

    scan->header_size += bytes.length;
    scan->has_8bit_header = scan->has_8bit_header || has_8bit;
    if ((has_8bit || scan->utf8_left > 0) && !scan->has_bad_utf8_header) {
        scan->has_bad_utf8_header = !check_utf8(scan, bytes);
    }
}

void mail_scan_feed(mail_scan *scan, mail_span bytes)
{
    scan->size += bytes.length;
    if (!scan->in_body) {
        size_t n = scan_lines(scan, bytes);

        feed_header(scan, mail_span_first(bytes, n));
        bytes = mail_span_from(bytes, n);
    }
    look(scan, bytes);
}

void mail_scan_end(mail_scan *scan)
{
    scan->has_bare_cr = scan->has_bare_cr || scan->after_cr;
    scan->has_bad_utf8_header = scan->has_bad_utf8_header || scan->utf8_left > 0;
    scan->after_cr = false;
    scan->utf8_left = 0;
}
