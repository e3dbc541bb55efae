/* SPDX-License-Identifier: MIT */
#ifndef LIB_MTA_OPERATOR_H
#define LIB_MTA_OPERATOR_H

#include <mail/operator.h>

#include "mta/control.h"

/* What is read from the owner at a time, and the longest line that it may send. */
#define OPERATOR_IN_MAX ((size_t)64 * 1024)

struct mail_operator {
    const mail_mem *mem;
    char *dir;
    int fd;            /* to the owner; -1: there is none */
    mail_queue *queue; /* NULL: there is an owner, or nothing but what was dropped */
    buffer in;
    buffer block; /* the lines of the message whose end has not come yet */
};

/* Without an owner, and without making a spool. */
int operator_open_queue(mail_queue **out, const char *dir, bool to_change, const mail_log *log,
                        const mail_mem *mem, mail_error *err);

/* operator_drop.c: the same functions for what lies in `drop`. */
bool operator_drop_is_there(const char *dir); /* or ever was */
int operator_drop_list(mail_operator *op, const mail_queue_selector *which,
                       bool (*fn)(const mail_queue_item *item, void *arg), void *arg,
                       mail_error *err);

/* Ids that are looked for, and whether each was found. */
typedef struct operator_search {
    const char *const *ids;
    size_t count;
    bool *found;
} operator_search;

/* Leaves what it does not find as it is. */
int operator_drop_find(mail_operator *op, const operator_search *search, mail_error *err);
int64_t operator_drop_change(mail_operator *op, mail_operator_action action,
                             const mail_queue_selector *which, mail_error *err);
int operator_drop_body(mail_operator *op, const char *id, mail_sink *out, mail_error *err);
uint64_t operator_drop_count(const char *dir);

/* Reads all and tells of what can't be, and of what was set aside. */
int operator_drop_check(const char *dir, const mail_mem *mem,
                        void (*fn)(const char *fault, void *arg), void *arg,
                        mail_queue_check *found);

/* Copies all of a message. */
int operator_copy(mail_source *source, mail_sink *out);

/* Writes all into a sink that has room, or will never have it: MAIL_ELIMIT. */
int operator_put(mail_sink *out, mail_span bytes);

/* operator_ask.c: the same functions through the owner. */
int operator_connect(const char *dir); /* a descriptor, or -1: nobody listens there */
void operator_disconnect(mail_operator *op);
int operator_ask_list(mail_operator *op, const mail_queue_selector *which,
                      bool (*fn)(const mail_queue_item *item, void *arg), void *arg,
                      mail_error *err);
int64_t operator_ask_change(mail_operator *op, control_verb verb, const mail_queue_selector *which,
                            mail_error *err);
int operator_ask_body(mail_operator *op, const char *id, mail_sink *out, mail_error *err);
int operator_ask_stats(mail_operator *op, mail_queue_stats *out, mail_error *err);

#endif
