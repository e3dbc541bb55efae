/* SPDX-License-Identifier: MIT */
#include "mailq.h"

#include <errno.h>
#include <string.h>
#include <time.h>

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
    int code;
} listing;

static bool print(const mail_queue_item *item, void *arg)
{
    listing *ls = arg;

    ls->code = mail_queue_print(&ls->printer, item);
    return ls->code == MAIL_OK;
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

int mailq_list(mail_operator *op, const mail_queue_selector *which, mail_queue_format format,
               mail_error *err)
{
    file_sink out;
    listing ls = {.printer = {.format = format, .now = time(NULL), .out = &out.sink}};
    int code;

    file_sink_init(&out, stdout);
    code = mail_operator_list(op, which, print, &ls, err);
    if (code != MAIL_OK) {
        return code;
    }
    ls.code = end_list(&ls, which);
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

int mailq_print(const char *spool, mail_queue_format format, mail_error *err)
{
    const mail_queue_selector all = {.all = true};
    mail_operator *op;
    int code = mail_operator_open(&op, spool, false, NULL, err);

    if (code == MAIL_ENOENT) {
        return format == MAIL_QUEUE_JSON ? MAIL_OK : print_empty(err);
    }
    if (code == MAIL_OK) {
        code = mailq_list(op, &all, format, err);
        mail_operator_close(op);
    }
    return code;
}
