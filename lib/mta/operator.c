/* SPDX-License-Identifier: MIT */
#include "mta/operator.h"

#include <stdio.h>

#include "base/file.h"
#include "base/mem.h"

/* With a path too long for a socket's name nobody can listen there. */
static int find_owner(mail_operator *op, const char *dir)
{
    op->fd = operator_connect(dir);
    return op->fd >= 0 ? MAIL_OK : MAIL_ENOENT;
}

/* Opening a queue to write in makes one where there is none. */
static int check_spool(const char *dir, mail_error *err)
{
    const mail_files_ops *ops = file_system.ops;
    int above = ops->open_dir(&file_system, FILE_CWD, dir);
    file_info info;
    int code;

    if (above < 0) {
        code = mail_error_from_errno(-above);
        return mail_error_set(err, code, "%.180s: %s", dir, mail_strerror(code));
    }
    code = mail_error_from_errno(-ops->info_at(&file_system, above, "spool", &info));
    ops->close(&file_system, above);
    if (code == MAIL_ENOENT) {
        return mail_error_set(err, code, "%.180s: there is no spool", dir);
    }
    return code != MAIL_OK ? mail_error_set(err, code, "%.180s: %s", dir, mail_strerror(code))
                           : MAIL_OK;
}

int operator_open_queue(mail_queue **out, const char *dir, bool to_change, const mail_log *log,
                        const mail_mem *mem, mail_error *err)
{
    mail_queue_options opts = MAIL_QUEUE_OPTIONS_INIT;
    mail_error why = {0};
    int code = check_spool(dir, err);

    if (code != MAIL_OK) {
        return code;
    }
    opts.mem = mem;
    opts.log = log;
    opts.read_only = !to_change;
    code = mail_queue_open(out, dir, &opts, &why);
    return code != MAIL_OK ? mail_error_set(err, code, "%.120s: %s", dir, why.text) : MAIL_OK;
}

int mail_operator_open(mail_operator **out, const char *dir, bool to_change, const mail_mem *mem,
                       mail_error *err)
{
    mail_operator *op = mem_alloc(mem, sizeof(*op));
    int code = MAIL_OK;

    if (op == NULL) {
        return mail_error_set(err, MAIL_ENOMEM, "%s", mail_strerror(MAIL_ENOMEM));
    }
    op->mem = mem;
    buffer_init(&op->in, mem, OPERATOR_IN_MAX);
    buffer_init(&op->block, mem, SIZE_MAX / 2);
    if (find_owner(op, dir) != MAIL_OK) {
        code = operator_open_queue(&op->queue, dir, to_change, NULL, mem, err);
    }
    if (code != MAIL_OK) {
        mail_operator_close(op);
        return code;
    }
    *out = op;
    return MAIL_OK;
}

void mail_operator_close(mail_operator *op)
{
    if (op == NULL) {
        return;
    }
    operator_disconnect(op);
    mail_queue_close(op->queue);
    buffer_deinit(&op->in);
    buffer_deinit(&op->block);
    mem_free(op->mem, op, sizeof(*op));
}

bool mail_operator_has_owner(const mail_operator *op)
{
    return op->fd >= 0;
}

static int64_t explain(int64_t code, mail_error *err)
{
    return code < 0 ? mail_error_set(err, (int)code, "%s", mail_strerror((int)code)) : code;
}

int mail_operator_list(mail_operator *op, const mail_queue_selector *which,
                       bool (*fn)(const mail_queue_item *item, void *arg), void *arg,
                       mail_error *err)
{
    if (op->queue == NULL) {
        return operator_ask_list(op, which, fn, arg, err);
    }
    return (int)explain(mail_queue_list(op->queue, which, fn, arg), err);
}

static int64_t change_here(mail_operator *op, mail_operator_action action,
                           const mail_queue_selector *which)
{
    switch (action) {
    case MAIL_OPERATOR_HOLD:
        return mail_queue_hold(op->queue, which);
    case MAIL_OPERATOR_RELEASE:
        return mail_queue_unhold(op->queue, which);
    case MAIL_OPERATOR_RETRY:
        return mail_queue_flush(op->queue, which);
    case MAIL_OPERATOR_REMOVE:
        return mail_queue_remove(op->queue, which);
    }
    return MAIL_EINVAL;
}

int64_t mail_operator_change(mail_operator *op, mail_operator_action action,
                             const mail_queue_selector *which, mail_error *err)
{
    static const control_verb verbs[] = {
        [MAIL_OPERATOR_HOLD] = CONTROL_HOLD,
        [MAIL_OPERATOR_RELEASE] = CONTROL_RELEASE,
        [MAIL_OPERATOR_RETRY] = CONTROL_RETRY,
        [MAIL_OPERATOR_REMOVE] = CONTROL_REMOVE,
    };

    if (op->queue == NULL) {
        return operator_ask_change(op, verbs[action], which, err);
    }
    return explain(change_here(op, action, which), err);
}

static int copy(mail_source *source, mail_sink *out)
{
    for (;;) {
        mail_span bytes;
        int code = mail_source_peek(source, &bytes);

        if (code == MAIL_OK && bytes.length > 0) {
            code = operator_put(out, bytes);
        }
        if (code != MAIL_OK || bytes.length == 0) {
            return code;
        }
        mail_source_drop(source, bytes.length);
    }
}

int mail_operator_body(mail_operator *op, const char *id, mail_sink *out, mail_error *err)
{
    mail_source *source;
    int code;

    if (op->queue == NULL) {
        return operator_ask_body(op, id, out, err);
    }
    code = mail_queue_read(op->queue, id, &source);
    if (code == MAIL_OK) {
        code = copy(source, out);
        mail_source_close(source);
    }
    return (int)explain(code, err);
}

int mail_operator_stats(mail_operator *op, mail_queue_stats *out, mail_error *err)
{
    if (op->queue == NULL) {
        return operator_ask_stats(op, out, err);
    }
    mail_queue_stats_read(op->queue, out);
    return MAIL_OK;
}
