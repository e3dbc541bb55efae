/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_WORLD_CHRONICLE_H
#define EXAMPLES_WORLD_CHRONICLE_H

#include <stdio.h>

#include <mail/deliver.h>

#include "sim/world.h"
#include "world/story.h"

/*
 * What is told of a story: a line for each thing that happens, at its time, and at the end what
 * became of each message. Messages are called m1, m2 and so on in the order in which they are
 * sent; reports on m1 are called m1-r1, m1-r2.
 */
typedef struct chronicle chronicle;

/* Borrows all until the end. NULL: no memory. */
chronicle *chronicle_create(const story *st, const sim_world *world, FILE *out);
void chronicle_destroy(chronicle *ch);

/* From now on nothing is told. */
void chronicle_close(chronicle *ch);

size_t chronicle_message_count(const chronicle *ch);
const story_event *chronicle_message(const chronicle *ch, size_t message);

/* The field by which a message is known on its way: `X-Story: m1`. */
#define CHRONICLE_FIELD "X-Story"
void chronicle_label(size_t message, char out[24]);

/* Anything, as one line. */
void chronicle_say(const chronicle *ch, const char *format, ...) MAIL_PRINTF(2, 3);

/*
 * A message is brought to its sender's host: it begins, the host is not there, the host says
 * something for one recipient. What has not changed since the last try is not told again.
 */
void chronicle_begins(const chronicle *ch, size_t message);
void chronicle_lost(chronicle *ch, size_t message, const mail_reply *why);
void chronicle_brought(chronicle *ch, size_t message, size_t rcpt, const mail_outcome *outcome);

/* What came of one try by `host`, for which `content` is the message; `keeps`: it is where the recipient's mailbox is. */
void chronicle_tried(chronicle *ch, const char *host, bool keeps, mail_span content,
                     const mail_delivery *delivery);

/* Somebody fetches a message from his mailbox. */
void chronicle_fetched(chronicle *ch, const story_mailbox *box, mail_span content);

/* What became of each message. */
void chronicle_end(const chronicle *ch);

/* Writes `4d12h`, `90s` or `+1y`: a time as a story has it. */
void chronicle_print_span(mail_duration span, char out[48]);

#endif
