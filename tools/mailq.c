/* SPDX-License-Identifier: MIT */
#include "mailq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <mail/drop.h>

static size_t file_room(mail_sink *sink)
{
    (void)sink;
    return SIZE_MAX / 2;
}

static int file_write(mail_sink *sink, mail_span bytes)
{
    FILE *file = ((file_sink *)sink)->file;

    return fwrite(bytes.data, 1, bytes.length, file) == bytes.length ? MAIL_OK : MAIL_EIO;
}

static int file_finish(mail_sink *sink, mail_finish_fn *fn, void *arg)
{
    (void)fn;
    (void)arg;
    return fflush(((file_sink *)sink)->file) == 0 ? MAIL_OK : MAIL_EIO;
}

static void file_abort(mail_sink *sink)
{
    (void)sink;
}

void file_sink_init(file_sink *sink, FILE *file)
{
    static const mail_sink_ops ops = {file_room, file_write, file_finish, file_abort};

    *sink = (file_sink){.sink = {.ops = &ops}, .file = file};
}

/* A list on its way to standard output. */
typedef struct listing {
    mail_queue_printer printer;
    const char *spool;
    int code;
} listing;

static bool print(const mail_queue_item *item, void *arg)
{
    listing *ls = arg;

    ls->code = mail_queue_print(&ls->printer, item);
    return ls->code == MAIL_OK;
}

/* When a dropped file was written; its name tells nobody but its owner. */
static mail_wall written_at(const char *spool, const char *name)
{
    char path[MAIL_SPOOL_PATH_SIZE + MAIL_DROP_NAME_SIZE];
    struct stat status;

    snprintf(path, sizeof(path), "%s/drop/%s", spool, name);
    return stat(path, &status) == 0 ? status.st_mtime : time(NULL);
}

static bool print_drop(listing *ls, const mail_drop *drop, const char *name)
{
    const mail_envelope *envelope = mail_drop_envelope(drop);
    size_t count = mail_envelope_count(envelope);
    mail_queue_recipient *recipients = calloc(count, sizeof(*recipients));
    mail_queue_item item = {
        .id = name,
        .state = MAIL_QUEUE_DROPPED,
        .arrival = written_at(ls->spool, name),
        .size = mail_drop_size(drop),
        .sender = mail_envelope_sender(envelope),
        .recipients = recipients,
        .recipient_count = count,
    };

    if (recipients == NULL) {
        ls->code = MAIL_ENOMEM;
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        recipients[i].address = mail_envelope_recipient(envelope, i).address;
        recipients[i].next_try = item.arrival;
    }
    print(&item, ls);
    free(recipients);
    return ls->code == MAIL_OK;
}

/* What can't be read is for the spool's owner to set aside. */
static bool print_file(const char *name, void *arg)
{
    listing *ls = arg;
    mail_drop *drop;
    bool goes_on;

    if (mail_drop_open(&drop, ls->spool, name, NULL, NULL) != MAIL_OK) {
        return true;
    }
    goes_on = print_drop(ls, drop, name);
    mail_drop_close(drop);
    return goes_on;
}

static int list_queue(listing *ls, const mail_queue_selector *which, mail_error *err)
{
    mail_operator *op;
    int code = mail_operator_open(&op, ls->spool, false, NULL, err);

    if (code == MAIL_OK) {
        code = mail_operator_list(op, which, print, ls, err);
        mail_operator_close(op);
    }
    return code;
}

static int end_list(listing *ls, const mail_queue_selector *which)
{
    int code = ls->code;

    /* That none of those asked for is there does not make the queue empty. */
    if (code == MAIL_OK && (which->all || ls->printer.messages > 0)) {
        code = mail_queue_print_end(&ls->printer);
    }
    return code == MAIL_OK ? mail_sink_finish(ls->printer.out, NULL, NULL) : code;
}

int mailq_list(const char *spool, const mail_queue_selector *which, mail_queue_format format,
               uint64_t *count, mail_error *err)
{
    file_sink out;
    listing ls = {
        .printer = {.format = format, .now = time(NULL), .out = &out.sink},
        .spool = spool,
    };
    int code;

    file_sink_init(&out, stdout);
    code = list_queue(&ls, which, err);
    /* An owner takes files away as they come: seldom does one show itself twice, or not at all. */
    if ((code == MAIL_OK || code == MAIL_ENOENT) && ls.code == MAIL_OK && which->all &&
        mail_drop_list(spool, print_file, &ls) == MAIL_OK && ls.printer.messages > 0) {
        code = MAIL_OK;
    }
    if (code != MAIL_OK) {
        return code;
    }
    ls.code = end_list(&ls, which);
    if (count != NULL) {
        *count = ls.printer.messages;
    }
    return ls.code == MAIL_OK
               ? MAIL_OK
               : mail_error_set(err, ls.code, "standard output: %s", strerror(errno));
}

static int print_empty(mail_error *err)
{
    return puts("Mail queue is empty") < 0 || fflush(stdout) != 0
               ? mail_error_set(err, MAIL_EIO, "standard output: %s", strerror(errno))
               : MAIL_OK;
}

int mailq_print(const char *spool, mail_error *err)
{
    const mail_queue_selector all = {.all = true};
    int code = mailq_list(spool, &all, MAIL_QUEUE_MAILQ, NULL, err);

    return code == MAIL_ENOENT ? print_empty(err) : code;
}
