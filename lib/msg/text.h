/* SPDX-License-Identifier: MIT */
#ifndef LIB_MSG_TEXT_H
#define LIB_MSG_TEXT_H

#include <mail/sink.h>

/*
 * Text on its way into memory. The first failure stays, so that a writer can put
 * piece after piece and look at `code` once.
 */
typedef struct text {
    mail_sink_memory *out;
    int code;
} text;

static inline void text_put(text *tx, mail_span bytes)
{
    if (tx->code == MAIL_OK) {
        tx->code = mail_sink_write(&tx->out->sink, bytes);
    }
}

static inline void text_puts(text *tx, const char *string)
{
    text_put(tx, mail_span_text(string));
}

/* The octets written since the last line end. */
size_t text_column(const text *tx);

/*
 * A value that is printable ASCII or UTF-8 without control characters, behind a name
 * already written: folded at blanks, or as encoded words where it is not ASCII, where a
 * part is too long for a line, or where it looks like an encoded word.
 */
void text_put_value(text *tx, mail_span value);

/* A display name: as it is, in quotes, or as encoded words. */
void text_put_phrase(text *tx, mail_span name);

/* `<time.random@hostname>`, and the field `Date: …` with its line end. */
struct mail_random;
void text_put_message_id(text *tx, mail_wall when, const struct mail_random *random,
                         mail_span hostname);
void text_put_date(text *tx, const char *name, mail_wall when, int zone);

#endif
