/* SPDX-License-Identifier: MIT */
#ifndef LIB_MTA_CONTROL_H
#define LIB_MTA_CONTROL_H

#include <mail/address.h>
#include <mail/control.h>
#include <mail/deliver.h>
#include <mail/drop.h>

#include "base/buffer.h"

#define CONTROL_LINE_MAX ((size_t)4096)
#define CONTROL_IDS_MAX  100

/* Room for an id, or a dropped file's name. */
#define CONTROL_ID_SIZE MAIL_DROP_NAME_SIZE

typedef enum control_verb {
    CONTROL_LIST,
    CONTROL_STATS,
    CONTROL_BODY,
    CONTROL_HOLD,
    CONTROL_RELEASE,
    CONTROL_RETRY,
    CONTROL_EXPIRE,
    CONTROL_REMOVE,
    CONTROL_AWAIT
} control_verb;

const char *control_verb_name(control_verb verb);

/* A request by itself: nothing in it points outside. `which` points inside, so it can't be copied. */
typedef struct control_request {
    control_verb verb;
    mail_queue_selector which;
    const char *ids[CONTROL_IDS_MAX];
    char id_texts[CONTROL_IDS_MAX][CONTROL_ID_SIZE];
    char domain[MAIL_PATH_MAX + 1];
    char sender[MAIL_PATH_MAX + 1];
} control_request;

/* Reads a line without its LF. MAIL_EINVAL; `err` says why. */
int control_request_parse(mail_span line, control_request *out, mail_error *err);

/* Writes a line with its LF. MAIL_EINVAL for what would break it; MAIL_ELIMIT, MAIL_ENOMEM. */
int control_request_print(control_verb verb, const mail_queue_selector *which, buffer *out);

/* Cuts the next word off; false: there is none. */
bool control_word(mail_span *rest, mail_span *word);
bool control_number(mail_span *rest, uint64_t *out);
bool control_signed(mail_span *rest, int64_t *out);

/* What came of a recipient, in two lines. MAIL_ENOMEM, MAIL_ELIMIT. */
int control_outcome_print(const mail_delivery *delivery, buffer *out);

/* Reads the first of them, without the word in front. It lends from `rest`. */
bool control_outcome_parse(mail_span rest, mail_delivery *out);

/*
 * What the owner knows of a file that somebody may wait for: it is on its way into the queue as `id`;
 * it is there; it will never be; a recipient was tried.
 */
void control_note_taken(mail_control *control, const char *file, const char *id, size_t recipients);
void control_note_safe(mail_control *control, const char *file);
void control_note_lost(mail_control *control, const char *file, int code, const char *why);
void control_note_delivery(mail_control *control, const mail_delivery *delivery);

/* The lines of a message in a list. MAIL_ENOMEM, MAIL_ELIMIT. */
int control_item_print(const mail_queue_item *item, buffer *out);

/*
 * Reads such lines and shows the message to `fn`, whose answer is `*go_on`.
 * MAIL_EPROTO, MAIL_ENOMEM.
 */
int control_item_parse(mail_span lines, const mail_mem *mem,
                       bool (*fn)(const mail_queue_item *item, void *arg), void *arg, bool *go_on);

/* The lines of the statistics; one such line back (what it does not know it leaves alone). */
int control_stats_print(const mail_queue_stats *stats, buffer *out);
void control_stats_parse(mail_span rest, mail_queue_stats *stats);

#endif
