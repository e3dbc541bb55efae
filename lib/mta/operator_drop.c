/* SPDX-License-Identifier: MIT */
/*
 * What lies in `drop` is as it was written: an operator can look at it, hold it by giving it a name
 * that the spool's owner passes over, and remove it. Nobody has to be asked: before the owner says of
 * a file that the queue has it, he looks whether it is still there.
 */
#include "mta/operator.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "mta/drop.h"
#include "queue/record.h"

/* A file, and the message's id, which is the same held or not. Without its end its name is a stem. */
typedef struct dropped {
    char name[MAIL_DROP_NAME_SIZE];
    char id[MAIL_DROP_NAME_SIZE];
    size_t stem;
    bool is_held;
    bool is_bad;
} dropped;

/* Does something about a message; `drop` is open to read. MAIL_OK: on to the next one. */
typedef int visit_fn(const dropped *file, mail_drop *drop, void *arg);

/* The length of a name, or of what somebody calls it, without the end that tells how it stands. */
static size_t stem_of(const char *name)
{
    static const char *const suffixes[] = {DROP_SUFFIX DROP_BAD, DROP_SUFFIX, DROP_HELD};
    size_t length = strlen(name);

    for (size_t i = 0; i < MAIL_COUNT(suffixes); i++) {
        size_t want = strlen(suffixes[i]);

        if (length > want && strcmp(name + length - want, suffixes[i]) == 0) {
            return length - want;
        }
    }
    return length;
}

/*
 * Whoever drops a file gives it its name. One that a message of the queue might have for its id would
 * be taken for that: such a file is called by its whole name. What would be more than a word on a
 * terminal or in JSON is shown as a question mark.
 */
static void make_id(dropped *file)
{
    uint64_t number;
    bool is_taken = queue_id_parse(mail_span_of(file->name, file->stem), &number);
    size_t length = is_taken ? strlen(file->name) : file->stem;

    for (size_t i = 0; i < length; i++) {
        char c = file->name[i];

        file->id[i] = c <= ' ' || c > '~' || c == '"' || c == '\\' ? '?' : c;
    }
}

static dropped dropped_of(const char *name)
{
    size_t stem = stem_of(name);
    dropped file = {
        .stem = stem,
        .is_held = strcmp(name + stem, DROP_HELD) == 0,
        .is_bad = strcmp(name + stem, DROP_SUFFIX DROP_BAD) == 0,
    };

    memcpy(file.name, name, strlen(name) + 1);
    make_id(&file);
    return file;
}

bool operator_drop_is_there(const char *dir)
{
    int fd = drop_open_dir(&file_system, dir);

    if (fd >= 0) {
        file_system.ops->close(&file_system, fd);
    }
    return fd >= 0;
}

typedef struct gathering {
    buffer *files;
    int code;
} gathering;

static bool note_name(const char *name, void *arg)
{
    gathering *gt = arg;
    dropped file = dropped_of(name);

    gt->code = buffer_append(gt->files, mail_span_of((const char *)&file, sizeof(file)));
    return gt->code == MAIL_OK;
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const dropped *)a)->name, ((const dropped *)b)->name);
}

/* All files with one of the suffixes, in the order in which they came. */
static int gather(buffer *files, const char *dir, const char *const *suffixes, size_t count)
{
    gathering gt = {files, MAIL_OK};

    for (size_t i = 0; i < count && gt.code == MAIL_OK; i++) {
        int code = drop_list_suffix(&file_system, dir, suffixes[i], note_name, &gt);

        if (code != MAIL_OK) {
            return code == MAIL_ENOENT ? MAIL_OK : code;
        }
    }
    if (gt.code != MAIL_OK) {
        return gt.code;
    }
    if (buffer_length(files) > 0) {
        qsort(files->data + files->start, buffer_length(files) / sizeof(dropped), sizeof(dropped),
              compare);
    }
    return MAIL_OK;
}

static bool is_called(const dropped *file, const char *id)
{
    return strcmp(id, file->id) == 0 ||
           (stem_of(id) == strlen(file->id) && strncmp(id, file->id, strlen(file->id)) == 0);
}

static bool is_named(const dropped *file, const mail_queue_selector *which)
{
    for (size_t i = 0; i < which->id_count; i++) {
        if (is_called(file, which->ids[i])) {
            return true;
        }
    }
    return which->id_count == 0;
}

static bool is_from(const mail_envelope *envelope, mail_span sender)
{
    mail_span given = mail_envelope_sender(envelope);

    return sender.length == 0 ||
           mail_span_equal_nocase(given.length > 0 ? given : MAIL_SPAN("<>"), sender);
}

/* How many of its recipients are in `domain`, or in any. */
static size_t count_in(const mail_envelope *envelope, mail_span domain)
{
    size_t count = 0;

    for (size_t i = 0; i < mail_envelope_count(envelope); i++) {
        mail_span address = mail_envelope_recipient(envelope, i).address;

        count += domain.length == 0 || mail_span_equal_nocase(mail_address_domain(address), domain)
                     ? 1
                     : 0;
    }
    return count;
}

static bool is_meant(const mail_drop *drop, const mail_queue_selector *which, bool as_a_whole)
{
    const mail_envelope *envelope = mail_drop_envelope(drop);
    size_t count = count_in(envelope, which->domain);

    return is_from(envelope, which->sender) && count > 0 &&
           (!as_a_whole || count == mail_envelope_count(envelope));
}

/* A walk through what is meant. */
typedef struct walk {
    mail_operator *op;
    const mail_queue_selector *which;
    bool as_a_whole; /* not if only some of the recipients are meant */
    bool unread;     /* also what can't be read, where its name tells that it is meant */
    visit_fn *fn;
    void *arg;
} walk;

static int visit(const walk *wk, const dropped *file)
{
    bool by_name = wk->which->domain.length == 0 && wk->which->sender.length == 0;
    mail_drop *drop = NULL;
    int code;

    if (!is_named(file, wk->which)) {
        return MAIL_OK;
    }
    code = mail_drop_open(&drop, wk->op->dir, file->name, wk->op->mem, NULL);
    if (code == MAIL_ENOMEM) {
        return code;
    }
    if (code != MAIL_OK) { /* gone, or for the spool's owner to set aside */
        return wk->unread && by_name && code != MAIL_ENOENT ? wk->fn(file, NULL, wk->arg) : MAIL_OK;
    }
    code = is_meant(drop, wk->which, wk->as_a_whole) ? wk->fn(file, drop, wk->arg) : MAIL_OK;
    mail_drop_close(drop);
    return code;
}

static bool means_nothing(const mail_queue_selector *which)
{
    return !which->all && which->id_count == 0 && which->domain.length == 0 &&
           which->sender.length == 0;
}

static int walk_all(const walk *wk)
{
    static const char *const suffixes[] = {DROP_SUFFIX, DROP_HELD};
    buffer files;
    int code;

    if (means_nothing(wk->which)) {
        return MAIL_OK;
    }
    buffer_init(&files, wk->op->mem, SIZE_MAX / 2);
    code = gather(&files, wk->op->dir, suffixes, MAIL_COUNT(suffixes));
    for (mail_span rest = buffer_bytes(&files); code == MAIL_OK && rest.length > 0;
         rest = mail_span_from(rest, sizeof(dropped))) {
        code = visit(wk, (const dropped *)(const void *)rest.data);
    }
    buffer_deinit(&files);
    return code;
}

static int explain(int code, mail_error *err)
{
    return code < 0 ? mail_error_set(err, code, DROP_DIR ": %s", mail_strerror(code)) : code;
}

typedef struct listing {
    mail_operator *op;
    bool (*fn)(const mail_queue_item *item, void *arg);
    void *arg;
} listing;

static int show(const dropped *file, mail_drop *drop, void *arg)
{
    const listing *ls = arg;
    const mail_envelope *envelope = mail_drop_envelope(drop);
    size_t count = mail_envelope_count(envelope);
    mail_queue_recipient *rows = mem_alloc(ls->op->mem, count * sizeof(*rows));
    mail_queue_item item = {
        .id = file->id,
        .state = file->is_held ? MAIL_QUEUE_ON_HOLD : MAIL_QUEUE_DROPPED,
        .arrival = mail_drop_time(drop),
        .size = mail_drop_size(drop),
        .sender = mail_envelope_sender(envelope),
        .recipients = rows,
        .recipient_count = count,
    };
    bool goes_on;

    if (rows == NULL) {
        return MAIL_ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        rows[i].address = mail_envelope_recipient(envelope, i).address;
        rows[i].held = file->is_held;
        rows[i].next_try = item.arrival;
    }
    goes_on = ls->fn(&item, ls->arg);
    mem_free(ls->op->mem, rows, count * sizeof(*rows));
    return goes_on ? MAIL_OK : MAIL_ECANCELED;
}

int operator_drop_list(mail_operator *op, const mail_queue_selector *which,
                       bool (*fn)(const mail_queue_item *item, void *arg), void *arg,
                       mail_error *err)
{
    listing ls = {op, fn, arg};
    const walk wk = {.op = op, .which = which, .fn = show, .arg = &ls};
    int code = walk_all(&wk);

    return code == MAIL_ECANCELED ? MAIL_OK : explain(code, err);
}

static int note_found(const dropped *file, mail_drop *drop, void *arg)
{
    const operator_search *sr = arg;

    (void)drop;
    for (size_t i = 0; i < sr->count; i++) {
        sr->found[i] = sr->found[i] || is_called(file, sr->ids[i]);
    }
    return MAIL_OK;
}

/* The name, if it is one, of a file that was set aside. */
static bool name_bad(const char *id, char name[MAIL_DROP_NAME_SIZE])
{
    static const char suffix[] = DROP_SUFFIX DROP_BAD;
    size_t length = stem_of(id);

    if (length == 0 || length + sizeof(suffix) > MAIL_DROP_NAME_SIZE || strchr(id, '/') != NULL) {
        return false;
    }
    memcpy(name, id, length);
    memcpy(name + length, suffix, sizeof(suffix));
    return true;
}

static bool is_set_aside(const mail_operator *op, const char *id)
{
    char bad[MAIL_DROP_NAME_SIZE];

    return name_bad(id, bad) && drop_is_there(&file_system, op->dir, bad);
}

int operator_drop_find(mail_operator *op, const operator_search *search, mail_error *err)
{
    const mail_queue_selector which = {.ids = search->ids, .id_count = search->count};
    const walk wk = {.op = op,
                     .which = &which,
                     .unread = true,
                     .fn = note_found,
                     .arg = (void *)(uintptr_t)search};
    int code = walk_all(&wk);

    for (size_t i = 0; i < search->count; i++) {
        search->found[i] = search->found[i] || is_set_aside(op, search->ids[i]);
    }
    return explain(code, err);
}

typedef struct changing {
    const char *dir;
    mail_operator_action action;
    int64_t changed;
} changing;

static int rename_to(const char *dir, const dropped *file, const char *suffix)
{
    char name[MAIL_DROP_NAME_SIZE + sizeof(DROP_HELD)];

    snprintf(name, sizeof(name), "%.*s%s", (int)file->stem, file->name, suffix);
    return drop_is_there(&file_system, dir, name)
               ? MAIL_EAGAIN /* some other program's doing: neither may be lost */
               : drop_rename(&file_system, dir, file->name, name);
}

/* MAIL_EAGAIN: there is nothing to do. */
static int change_file(const changing *ch, const dropped *file)
{
    switch (ch->action) {
    case MAIL_OPERATOR_HOLD:
        return file->is_held ? MAIL_EAGAIN : rename_to(ch->dir, file, DROP_HELD);
    case MAIL_OPERATOR_RELEASE:
        return file->is_held ? rename_to(ch->dir, file, DROP_SUFFIX) : MAIL_EAGAIN;
    case MAIL_OPERATOR_RETRY: /* due it is; whoever looks after the spool is told below */
        return file->is_held ? MAIL_EAGAIN : MAIL_OK;
    case MAIL_OPERATOR_EXPIRE: /* it has not been tried yet */
        return MAIL_EAGAIN;
    case MAIL_OPERATOR_REMOVE:
        return drop_is_there(&file_system, ch->dir, file->name)
                   ? drop_remove(&file_system, ch->dir, file->name)
                   : MAIL_ENOENT;
    }
    return MAIL_EINVAL;
}

static int change(const dropped *file, mail_drop *drop, void *arg)
{
    changing *ch = arg;
    int code = change_file(ch, file);

    (void)drop;
    ch->changed += code == MAIL_OK ? 1 : 0;
    return code == MAIL_EAGAIN || code == MAIL_ENOENT ? MAIL_OK : code; /* ENOENT: just taken */
}

/* They are not messages any more: only by name. */
static int remove_bad(changing *ch, const mail_queue_selector *which)
{
    int code = MAIL_OK;

    for (size_t i = 0; i < which->id_count && code == MAIL_OK; i++) {
        dropped file = {.is_bad = true};

        if (name_bad(which->ids[i], file.name)) {
            code = change(&file, NULL, ch);
        }
    }
    return code;
}

int64_t operator_drop_change(mail_operator *op, mail_operator_action action,
                             const mail_queue_selector *which, mail_error *err)
{
    changing ch = {.dir = op->dir, .action = action};
    const walk wk = {
        .op = op, .which = which, .as_a_whole = true, .unread = true, .fn = change, .arg = &ch};
    int code;

    if (!operator_drop_is_there(op->dir)) {
        return 0;
    }
    code = walk_all(&wk);
    if (code == MAIL_OK && action == MAIL_OPERATOR_REMOVE) {
        code = remove_bad(&ch, which);
    }
    if (code == MAIL_OK && ch.changed > 0) {
        code = drop_sync(&file_system, op->dir);
        (void)mail_drop_poke(op->dir);
    }
    return code == MAIL_OK ? ch.changed : explain(code, err);
}

static int copy(const dropped *file, mail_drop *drop, void *arg)
{
    int code = operator_copy(mail_drop_body(drop), arg);

    (void)file;
    return code == MAIL_OK ? MAIL_ECANCELED : code;
}

int operator_drop_body(mail_operator *op, const char *id, mail_sink *out, mail_error *err)
{
    const mail_queue_selector which = {.ids = &id, .id_count = 1};
    const walk wk = {.op = op, .which = &which, .fn = copy, .arg = out};
    int code = walk_all(&wk);

    return code == MAIL_ECANCELED ? MAIL_OK : explain(code == MAIL_OK ? MAIL_ENOENT : code, err);
}

static bool count_one(const char *name, void *arg)
{
    (void)name;
    ++*(uint64_t *)arg;
    return true;
}

uint64_t operator_drop_count(const char *dir)
{
    uint64_t count = 0;

    (void)drop_list_suffix(&file_system, dir, DROP_SUFFIX, count_one, &count);
    (void)drop_list_suffix(&file_system, dir, DROP_HELD, count_one, &count);
    return count;
}

static int check_file(const char *dir, const dropped *file, const mail_mem *mem, uint64_t *octets)
{
    mail_drop *drop;
    int code = mail_drop_open(&drop, dir, file->name, mem, NULL);
    mail_span bytes;

    if (code != MAIL_OK) {
        return code;
    }
    do {
        code = mail_source_peek(mail_drop_body(drop), &bytes);
        mail_source_drop(mail_drop_body(drop), bytes.length);
        *octets += bytes.length;
    } while (code == MAIL_OK && bytes.length > 0);
    mail_drop_close(drop);
    return code;
}

int operator_drop_check(const char *dir, const mail_mem *mem,
                        void (*fn)(const char *fault, void *arg), void *arg,
                        mail_queue_check *found)
{
    static const char *const suffixes[] = {DROP_SUFFIX, DROP_HELD, DROP_BAD};
    buffer files;
    int code;

    buffer_init(&files, mem, SIZE_MAX / 2);
    code = gather(&files, dir, suffixes, MAIL_COUNT(suffixes));
    for (mail_span rest = buffer_bytes(&files); code == MAIL_OK && rest.length > 0;
         rest = mail_span_from(rest, sizeof(dropped))) {
        const dropped *file = (const dropped *)(const void *)rest.data;
        int result = file->is_bad ? MAIL_EDAMAGED : check_file(dir, file, mem, &found->octets);
        char line[128];

        if (result == MAIL_ENOENT) {
            continue; /* just taken */
        }
        found->messages += file->is_bad ? 0 : 1;
        if (result != MAIL_OK) {
            found->damaged++;
            snprintf(line, sizeof(line), DROP_DIR "/%s%s: %s", file->id,
                     file->name + strlen(file->id),
                     file->is_bad ? "set aside by the spool's owner, whose log says why"
                                  : mail_strerror(result));
            fn(line, arg);
        }
    }
    buffer_deinit(&files);
    return code;
}
