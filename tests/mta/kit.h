/* SPDX-License-Identifier: MIT */
#ifndef TESTS_MTA_KIT_H
#define TESTS_MTA_KIT_H

#include "net/world.h"

#include <time.h>

#include <mail/queue.h>
#include <mail/receive.h>

/* A loop, a queue in memory whose clock can be moved on, and a front for it. */
typedef struct kit {
    world w;
    mail_queue *queue;
    mail_receive *receive;
    mail_endpoint at;
    mail_duration later; /* by which the queue's clocks are ahead */
    void (*on_due)(void *arg);
    void *on_due_arg;
    char log[65536]; /* every line */
    mail_log writer;
} kit;

static inline mail_time kit_now(void *arg)
{
    kit *k = arg;
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * MAIL_SECOND + now.tv_nsec + k->later;
}

static inline mail_wall kit_wall(void *arg)
{
    return 1700000000 + ((kit *)arg)->later / MAIL_SECOND;
}

static inline void kit_due(void *arg)
{
    kit *k = arg;

    if (k->on_due != NULL) {
        k->on_due(k->on_due_arg);
    }
}

static inline void kit_log(mail_log_level level, const char *what, const mail_log_field *fields,
                           size_t count, void *arg)
{
    kit *k = arg;
    size_t used = strlen(k->log);
    size_t length;

    if (sizeof(k->log) - used > 2048) {
        length = mail_log_print(MAIL_LOG_TEXT, 0, level, what, fields, count, k->log + used, 2048);
        k->log[used + length] = '\0';
    }
}

static inline void kit_open(kit *k, int kind)
{
    mail_queue_options opts = MAIL_QUEUE_OPTIONS_INIT;

    memset(k, 0, sizeof(*k));
    assert_int_equal(world_open(&k->w, kind, NULL), MAIL_OK);
    k->writer = (mail_log){kit_log, k, MAIL_LOG_DEBUG};
    opts.in_memory = true;
    opts.on_due = kit_due;
    opts.on_due_arg = k;
    opts.now = kit_now;
    opts.wall = kit_wall;
    opts.clock_arg = k;
    assert_int_equal(mail_queue_open(&k->queue, NULL, &opts, NULL), MAIL_OK);
}

static inline void kit_close(kit *k)
{
    mail_receive_destroy(k->receive);
    mail_queue_close(k->queue);
    world_close(&k->w);
}

static inline void kit_receive(kit *k, mail_receive_options *opts)
{
    opts->log = &k->writer;
    opts->queue = k->queue;
    opts->hostname = MAIL_SPAN("mx.example");
    opts->wall = kit_wall;
    opts->wall_arg = k;
    opts->sockets = &k->w.sockets;
    assert_int_equal(mail_receive_create(&k->receive, k->w.loop, opts), MAIL_OK);
    assert_int_equal(mail_receive_listen(k->receive, &loopback, MAIL_RECEIVE_SMTP, &k->at, NULL),
                     MAIL_OK);
}

static inline void kit_set_aliases(kit *k, const char *text, const mail_span *domains, size_t count)
{
    mail_aliases *aliases;

    assert_int_equal(
        mail_aliases_read(&aliases, mail_span_text(text), "aliases", domains, count, NULL, NULL),
        MAIL_OK);
    mail_receive_set_aliases(k->receive, aliases);
}

static inline void kit_drained(void *arg)
{
    *(bool *)arg = true;
}

/* A client that types. */

static inline int kit_connect(kit *k, const mail_endpoint *at)
{
    return world_connect(&k->w, at);
}

static inline void kit_says(kit *k, int fd, const char *text)
{
    world_says(&k->w, fd, text);
}

static inline const char *kit_hears(kit *k, int fd, const char *want)
{
    return world_hears(&k->w, fd, want);
}

static inline const char *kit_asks(kit *k, int fd, const char *text, const char *want)
{
    kit_says(k, fd, text);
    return kit_hears(k, fd, want);
}

static inline int kit_greet(kit *k, const mail_endpoint *at)
{
    int fd = kit_connect(k, at);

    kit_hears(k, fd, "220 mx.example");
    kit_asks(k, fd, "EHLO client.example\r\n", "250");
    return fd;
}

/* The content of a message of the queue, NUL-terminated, to be free()d. */
static inline char *kit_read(kit *k, const char *id)
{
    mail_source *source;
    char *text = calloc(1, 1);
    size_t length = 0;
    mail_span bytes;

    assert_int_equal(mail_queue_read(k->queue, id, &source), MAIL_OK);
    for (;;) {
        assert_int_equal(mail_source_peek(source, &bytes), MAIL_OK);
        if (bytes.length == 0) {
            break;
        }
        text = realloc(text, length + bytes.length + 1);
        assert_non_null(text);
        memcpy(text + length, bytes.data, bytes.length);
        length += bytes.length;
        text[length] = '\0';
        mail_source_drop(source, bytes.length);
    }
    mail_source_close(source);
    return text;
}

/* What the list says of the queue: `<sender> recipient recipient\n` a message. */
typedef struct kit_listing {
    char text[4096];
    char id[MAIL_QUEUE_ID_SIZE]; /* of the last one */
    size_t count;
} kit_listing;

static inline bool kit_list_one(const mail_queue_item *item, void *arg)
{
    kit_listing *ls = arg;
    size_t used = strlen(ls->text);

    used += (size_t)snprintf(ls->text + used, sizeof(ls->text) - used, "<%.*s>",
                             (int)item->sender.length, item->sender.data);
    for (size_t i = 0; i < item->recipient_count; i++) {
        used += (size_t)snprintf(ls->text + used, sizeof(ls->text) - used, " %.*s",
                                 (int)item->recipients[i].address.length,
                                 item->recipients[i].address.data);
    }
    snprintf(ls->text + used, sizeof(ls->text) - used, "\n");
    snprintf(ls->id, sizeof(ls->id), "%s", item->id);
    ls->count++;
    return true;
}

static inline kit_listing kit_list(kit *k)
{
    const mail_queue_selector all = {.all = true};
    kit_listing ls = {.count = 0};

    assert_int_equal(mail_queue_list(k->queue, &all, kit_list_one, &ls), MAIL_OK);
    return ls;
}

#endif
