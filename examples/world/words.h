/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_WORLD_WORDS_H
#define EXAMPLES_WORLD_WORDS_H

#include "world/story.h"

/* A story while it is read: its line as words, taken one after the other; a comma is one by itself. */
typedef struct words {
    story *story; /* what has been read */
    bool has_seed;
    const char *source;
    mail_error *err;
    unsigned line;
    mail_span words[STORY_WORDS_MAX];
    size_t count;
    size_t at; /* the word that comes next */
} words;

/* `SOURCE:LINE: why`; returns `code`. */
int words_fail(const words *ws, int code, const char *format, ...) MAIL_PRINTF(3, 4);
int words_fail_many(const words *ws, const char *what, size_t limit);

/* Something else than `what` comes next, or nothing. */
int words_fail_expected(const words *ws, const char *what);

/* Cuts a line up, comment and all. MAIL_EINVAL, MAIL_ELIMIT. */
int words_cut(words *ws, mail_span line);

/* Whether the next word is `text`, and takes it if so. */
bool words_is_next(const words *ws, const char *text);
bool words_take(words *ws, const char *text);

/* These take what must come next, or fail. `text`: some words with single blanks between. */
int words_expect(words *ws, const char *text);
int words_take_number(words *ws, uint64_t limit, const char *what, uint64_t *out);
int words_take_span(words *ws, mail_duration limit, mail_duration *out);
int words_take_domain(words *ws, char out[MAIL_DOMAIN_SIZE]);
int words_take_address(words *ws, mail_path *out);
int words_take_text(words *ws, char *out, size_t size);

#endif
