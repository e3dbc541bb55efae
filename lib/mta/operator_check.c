/* SPDX-License-Identifier: MIT */
#include "mta/operator.h"

#include <stdio.h>
#include <unistd.h>

#include "base/buffer.h"

/* Faults are kept until it is sure that they are to be told; of more than this only the number is. */
#define FAULTS_MAX ((size_t)256 * 1024)

typedef struct checking {
    mail_queue *queue;
    mail_queue_check found;
    buffer faults; /* a line each, with its NUL */
} checking;

static void note(checking *ck, const char *fault)
{
    (void)buffer_append(&ck->faults, mail_span_of(fault, strlen(fault) + 1));
}

static void note_fault(const char *fault, void *arg)
{
    note(arg, fault);
}

/* What opening the queue has to say of its log. */
static void on_log(mail_log_level level, const char *what, const mail_log_field *fields,
                   size_t count, void *arg)
{
    checking *ck = arg;
    char line[512];
    size_t length = (size_t)snprintf(line, sizeof(line), "%s", what);

    (void)level;
    for (size_t i = 0; i < count && length < sizeof(line); i++) {
        if (fields[i].value.length > 0) {
            length +=
                (size_t)snprintf(line + length, sizeof(line) - length, " %s=%.*s", fields[i].key,
                                 (int)fields[i].value.length, fields[i].value.data);
        }
    }
    note(ck, line);
}

/* The last octets are lent only once the checksum of the whole is right. */
static int read_through(mail_source *source, uint64_t *octets)
{
    for (;;) {
        mail_span bytes;
        int code = mail_source_peek(source, &bytes);

        if (code != MAIL_OK || bytes.length == 0) {
            return code;
        }
        *octets += bytes.length;
        mail_source_drop(source, bytes.length);
    }
}

static bool check_message(const mail_queue_item *item, void *arg)
{
    checking *ck = arg;
    mail_source *source;
    char line[128];
    int code = mail_queue_read(ck->queue, item->id, &source);

    ck->found.messages++;
    if (code == MAIL_OK) {
        code = read_through(source, &ck->found.octets);
        mail_source_close(source);
    }
    if (code != MAIL_OK) {
        ck->found.damaged++;
        snprintf(line, sizeof(line), "message queue_id=%s reason=%s", item->id,
                 mail_strerror(code));
        note(ck, line);
    }
    return true;
}

/* A message whose record can't be read at all is in no list: the numbers tell. */
static void count_unlisted(checking *ck, const mail_queue_stats *stats)
{
    char line[80];

    if (stats->messages > ck->found.messages) {
        uint64_t missing = stats->messages - ck->found.messages;

        ck->found.damaged += missing;
        snprintf(line, sizeof(line), "messages that can't be read: %llu",
                 (unsigned long long)missing);
        note(ck, line);
    }
}

static int read_once(checking *ck, const char *dir, const mail_mem *mem, mail_error *err)
{
    const mail_queue_selector all = {.all = true};
    const mail_log log = {on_log, ck, MAIL_LOG_WARN};
    mail_queue_stats stats;
    int code = operator_open_queue(&ck->queue, dir, false, &log, mem, err);

    if (code != MAIL_OK) {
        return code;
    }
    mail_queue_stats_read(ck->queue, &stats);
    ck->found.damaged = stats.damaged;
    code = mail_queue_list(ck->queue, &all, check_message, ck);
    if (code == MAIL_OK) {
        count_unlisted(ck, &stats);
    } else {
        mail_error_set(err, code, "%.180s: %s", dir, mail_strerror(code));
    }
    mail_queue_close(ck->queue);
    return code;
}

static void tell(const checking *ck, void (*fn)(const char *fault, void *arg), void *arg)
{
    mail_span rest = buffer_bytes(&ck->faults);

    while (rest.length > 0 && fn != NULL) {
        fn(rest.data, arg);
        rest = mail_span_from(rest, strlen(rest.data) + 1);
    }
}

static bool has_owner(const char *dir)
{
    int fd = operator_connect(dir);

    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

int mail_operator_check(const char *dir, const mail_mem *mem,
                        void (*fn)(const char *fault, void *arg), void *arg, mail_queue_check *out,
                        mail_error *err)
{
    checking ck = {.queue = NULL};
    int code;

    buffer_init(&ck.faults, mem, FAULTS_MAX);
    code = read_once(&ck, dir, mem, err);
    if (code == MAIL_OK && ck.found.damaged > 0 && has_owner(dir)) {
        buffer_clear(&ck.faults, 0);
        ck.found = (mail_queue_check){0};
        code = read_once(&ck, dir, mem, err);
    }
    if (code == MAIL_ENOENT && operator_drop_is_there(dir)) {
        code = MAIL_OK; /* it is no queue yet */
    }
    if (code == MAIL_OK) {
        code = operator_drop_check(dir, mem, note_fault, &ck, &ck.found);
        if (code != MAIL_OK) {
            mail_error_set(err, code, "%.180s: %s", dir, mail_strerror(code));
        }
    }
    if (code == MAIL_OK) {
        tell(&ck, fn, arg);
        *out = ck.found;
    }
    buffer_deinit(&ck.faults);
    return code;
}
