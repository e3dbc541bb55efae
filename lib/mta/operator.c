/* SPDX-License-Identifier: MIT */
#include "mta/operator.h"

#include <stdio.h>

#include "base/ascii.h"
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
    op->fd = -1;
    op->dir = mem_text(mem, mail_span_text(dir));
    buffer_init(&op->in, mem, OPERATOR_IN_MAX);
    buffer_init(&op->block, mem, SIZE_MAX / 2);
    if (op->dir == NULL) {
        code = mail_error_set(err, MAIL_ENOMEM, "%s", mail_strerror(MAIL_ENOMEM));
    } else if (find_owner(op, dir) != MAIL_OK) {
        code = operator_open_queue(&op->queue, dir, to_change, NULL, mem, err);
    }
    if (code == MAIL_ENOENT && operator_drop_is_there(dir)) {
        code = MAIL_OK; /* nobody has made it a queue yet */
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
    mem_free(op->mem, op->dir, op->dir != NULL ? strlen(op->dir) + 1 : 0);
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

/* What may be the id of a message in the queue; all others are no business of its owner. */
static bool may_be_queued(const char *id)
{
    size_t length = strlen(id);

    for (size_t i = 0; i < length; i++) {
        if (!ascii_is_alpha(id[i]) && !ascii_is_digit(id[i])) {
            return false;
        }
    }
    return length > 0 && length < MAIL_QUEUE_ID_SIZE;
}

/* A selection as the queue may be asked for it. */
typedef struct question {
    mail_queue_selector which;
    const char **ids;
    size_t size;
    bool is_empty; /* there is nothing to ask */
} question;

static int question_init(question *qs, const mail_operator *op, const mail_queue_selector *which)
{
    *qs = (question){.which = *which, .size = which->id_count * sizeof(*qs->ids)};
    if (which->id_count > 0) {
        qs->ids = mem_alloc(op->mem, qs->size);
        if (qs->ids == NULL) {
            return MAIL_ENOMEM;
        }
        qs->which.ids = qs->ids;
        qs->which.id_count = 0;
        for (size_t i = 0; i < which->id_count; i++) {
            if (may_be_queued(which->ids[i])) {
                qs->ids[qs->which.id_count++] = which->ids[i];
            }
        }
    }
    qs->is_empty =
        (op->queue == NULL && op->fd < 0) || (which->id_count > 0 && qs->which.id_count == 0);
    return MAIL_OK;
}

static void question_deinit(question *qs, const mail_operator *op)
{
    mem_free(op->mem, qs->ids, qs->size);
}

/* Whether a list is to go on behind what the queue has. */
typedef struct listing {
    bool (*fn)(const mail_queue_item *item, void *arg);
    void *arg;
    bool goes_on;
} listing;

static bool pass_on(const mail_queue_item *item, void *arg)
{
    listing *ls = arg;

    ls->goes_on = ls->fn(item, ls->arg);
    return ls->goes_on;
}

static int list_queue(mail_operator *op, const mail_queue_selector *which, listing *ls,
                      mail_error *err)
{
    question qs;
    int code = (int)explain(question_init(&qs, op, which), err);

    if (code == MAIL_OK && qs.is_empty) {
        if (which->page != NULL) {
            which->page->is_last = true;
        }
    } else if (code == MAIL_OK && op->queue == NULL) {
        code = operator_ask_list(op, &qs.which, pass_on, ls, err);
    } else if (code == MAIL_OK) {
        code = (int)explain(mail_queue_list(op->queue, &qs.which, pass_on, ls), err);
    }
    question_deinit(&qs, op);
    return code;
}

int mail_operator_list(mail_operator *op, const mail_queue_selector *which,
                       bool (*fn)(const mail_queue_item *item, void *arg), void *arg,
                       mail_error *err)
{
    listing ls = {fn, arg, true};
    int code = list_queue(op, which, &ls, err);

    if (code == MAIL_OK && ls.goes_on && (which->page == NULL || which->page->is_last)) {
        code = operator_drop_list(op, which, fn, arg, err);
    }
    return code;
}

static bool note(const mail_queue_item *item, void *arg)
{
    const operator_search *sr = arg;

    for (size_t i = 0; i < sr->count; i++) {
        sr->found[i] = sr->found[i] || strcmp(sr->ids[i], item->id) == 0;
    }
    return true; /* an owner may be asked again */
}

int mail_operator_find(mail_operator *op, const char *const *ids, size_t count, bool *found,
                       mail_error *err)
{
    const mail_queue_selector which = {.ids = ids, .id_count = count};
    operator_search sr = {ids, count, found};
    listing ls = {note, &sr, true};
    int code = MAIL_OK;

    for (size_t i = 0; i < count; i++) {
        found[i] = false;
    }
    if (count > 0) {
        code = list_queue(op, &which, &ls, err);
    }
    return code == MAIL_OK ? operator_drop_find(op, &sr, err) : code;
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
    case MAIL_OPERATOR_EXPIRE:
        return mail_queue_expire(op->queue, which);
    case MAIL_OPERATOR_REMOVE:
        return mail_queue_remove(op->queue, which);
    }
    return MAIL_EINVAL;
}

int64_t mail_operator_change(mail_operator *op, mail_operator_action action,
                             const mail_queue_selector *which, mail_error *err)
{
    static const control_verb verbs[] = {
        [MAIL_OPERATOR_HOLD] = CONTROL_HOLD,     [MAIL_OPERATOR_RELEASE] = CONTROL_RELEASE,
        [MAIL_OPERATOR_RETRY] = CONTROL_RETRY,   [MAIL_OPERATOR_EXPIRE] = CONTROL_EXPIRE,
        [MAIL_OPERATOR_REMOVE] = CONTROL_REMOVE,
    };

    /* What is taken into the queue meanwhile is there when the queue is asked. */
    int64_t dropped = operator_drop_change(op, action, which, err);
    int64_t changed;
    question qs;

    if (dropped < 0) {
        return dropped;
    }
    changed = explain(question_init(&qs, op, which), err);
    if (changed == MAIL_OK && !qs.is_empty) {
        changed = op->queue == NULL ? operator_ask_change(op, verbs[action], &qs.which, err)
                                    : explain(change_here(op, action, &qs.which), err);
    }
    question_deinit(&qs, op);
    return changed < 0 ? changed : changed + dropped;
}

int operator_copy(mail_source *source, mail_sink *out)
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

static int queue_body(mail_operator *op, const char *id, mail_sink *out, mail_error *err)
{
    mail_source *source;
    int code;

    if (!may_be_queued(id) || (op->queue == NULL && op->fd < 0)) {
        return MAIL_ENOENT;
    }
    if (op->queue == NULL) {
        return operator_ask_body(op, id, out, err);
    }
    code = mail_queue_read(op->queue, id, &source);
    if (code == MAIL_OK) {
        code = operator_copy(source, out);
        mail_source_close(source);
    }
    return (int)explain(code, err);
}

int mail_operator_body(mail_operator *op, const char *id, mail_sink *out, mail_error *err)
{
    int code = queue_body(op, id, out, err);

    if (code == MAIL_ENOENT) {
        code = operator_drop_body(op, id, out, NULL);
        if (code != MAIL_OK) {
            mail_error_set(err, code, "%.60s: %s", id,
                           code == MAIL_ENOENT ? "no such message" : mail_strerror(code));
        }
    }
    return code;
}

int mail_operator_stats(mail_operator *op, mail_queue_stats *out, mail_error *err)
{
    int code = MAIL_OK;

    *out = (mail_queue_stats){0};
    if (op->queue != NULL) {
        mail_queue_stats_read(op->queue, out);
    } else if (op->fd >= 0) {
        code = operator_ask_stats(op, out, err);
    }
    out->dropped = operator_drop_count(op->dir);
    return code;
}
