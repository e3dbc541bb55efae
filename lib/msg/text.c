/* SPDX-License-Identifier: MIT */
#include "msg/text.h"

#include <stdio.h>

#include <mail/date.h>
#include <mail/encode.h>

#include "base/mem.h"
#include "base/random.h"
#include "base/utf8.h"
#include "msg/chars.h"

/* RFC 5322, section 2.1.1: what a line should and what it must keep to. */
#define LINE_SHOULD 78
#define LINE_MUST   998

size_t text_column(const text *tx)
{
    mail_span all = mail_sink_memory_bytes(tx->out);
    const char *lf = all.length > 0 ? memrchr(all.data, '\n', all.length) : NULL;

    return lf != NULL ? (size_t)(all.data + all.length - lf) - 1 : all.length;
}

static void put_words(text *tx, mail_span value)
{
    size_t size = MAIL_WORDS_SIZE(value.length);
    char *words;

    if (tx->code != MAIL_OK) {
        return;
    }
    words = mem_resize(tx->out->mem, NULL, 0, size);
    if (words == NULL) {
        tx->code = MAIL_ENOMEM;
        return;
    }
    text_put(tx, mail_span_of(words, mail_words_encode(value, text_column(tx), words)));
    mem_free(tx->out->mem, words, size);
}

/* A blank and what follows it up to the next blank. */
static size_t piece_length(mail_span text_left)
{
    size_t n = 1;

    while (n < text_left.length && text_left.data[n] != ' ') {
        n++;
    }
    return n;
}

static bool has_long_piece(mail_span value)
{
    while (value.length > 0) {
        size_t n = piece_length(value);

        if (n > LINE_MUST - LINE_SHOULD) {
            return true;
        }
        value = mail_span_from(value, n);
    }
    return false;
}

void text_put_value(text *tx, mail_span value)
{
    size_t column = text_column(tx);

    if (!utf8_is_ascii(value) || has_long_piece(value) ||
        (value.length > 1 && memmem(value.data, value.length, "=?", 2) != NULL)) {
        put_words(tx, value);
        return;
    }
    while (value.length > 0) {
        size_t n = piece_length(value);
        bool is_blank = n == 1 && value.data[0] == ' ';

        /* A fold before blanks alone would leave a line of nothing else. */
        if (column + n > LINE_SHOULD && value.data[0] == ' ' && !is_blank) {
            text_puts(tx, "\r\n");
            column = 0;
        }
        text_put(tx, mail_span_first(value, n));
        column += n;
        value = mail_span_from(value, n);
    }
}

static bool is_phrase(mail_span name)
{
    for (size_t i = 0; i < name.length; i++) {
        if (!char_is_atext(name.data[i]) && name.data[i] != ' ') {
            return false;
        }
    }
    return name.length > 0 && name.data[0] != ' ' && name.data[name.length - 1] != ' ';
}

void text_put_phrase(text *tx, mail_span name)
{
    bool is_word = name.length > 1 && memmem(name.data, name.length, "=?", 2) != NULL;

    if (!utf8_is_ascii(name) || is_word || name.length > LINE_MUST - 2 * LINE_SHOULD) {
        put_words(tx, name);
        return;
    }
    if (is_phrase(name)) {
        text_put(tx, name);
        return;
    }
    text_puts(tx, "\"");
    for (size_t i = 0; i < name.length; i++) {
        if (name.data[i] == '"' || name.data[i] == '\\') {
            text_puts(tx, "\\");
        }
        text_put(tx, mail_span_of(name.data + i, 1));
    }
    text_puts(tx, "\"");
}

void text_put_message_id(text *tx, mail_wall when, const struct mail_random *random,
                         mail_span hostname)
{
    char id[64];

    snprintf(id, sizeof(id), "<%llx.%016llx@", (unsigned long long)when,
             (unsigned long long)random_u64(random));
    text_puts(tx, id);
    text_put(tx, hostname);
    text_puts(tx, ">");
}

void text_put_date(text *tx, const char *name, mail_wall when, int zone)
{
    char date[MAIL_DATE_SIZE];

    text_puts(tx, name);
    text_puts(tx, ": ");
    text_put(tx, mail_span_of(date, mail_date_print(when, zone, date)));
    text_puts(tx, "\r\n");
}
