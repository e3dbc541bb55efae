/* SPDX-License-Identifier: MIT */
#include "mta/receive.h"

#include <stdio.h>
#include <stdlib.h>

#include <mail/control.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/random.h"
#include "mta/control.h"
#include "mta/drop.h"
#include "mta/drop_envelope.h"
#include "mta/drop_report.h"
#include "mta/drop_shelf.h"

/* Files that are on their way at a time: they share the queue's flushes. */
#define TAKEN_MAX 16

/* Names of one look into the folder; those left over come with the next one. */
#define NAMES_MAX 1000

/* Octets copied before the loop gets its turn. */
#define COPY_STEP ((size_t)256 * 1024)

/* How often it looks unasked, and after the queue has said that it has no room. */
#define LOOK_INTERVAL MAIL_SECOND
#define LOOK_PAUSE    (30 * MAIL_SECOND)

/* How long a removal may be undone by a loss of power. */
#define SYNC_DELAY MAIL_SECOND

/* A file that is still being written is a day and a half old at most. */
#define SWEEP_INTERVAL MAIL_HOUR
#define PARTIAL_AGE    (36 * (int64_t)3600)

typedef char drop_name[MAIL_DROP_NAME_SIZE];

/* A file being taken. */
typedef struct taking {
    struct dropbox *box;
    arrival *message;            /* kept for the next one */
    mail_drop *drop;             /* NULL: free */
    drop_report report;          /* goes into the queue in its stead, if it is refused */
    mail_timer *timer;           /* to go on copying */
    bool is_safe_soon;           /* the queue has it and is about to say so */
    char id[MAIL_QUEUE_ID_SIZE]; /* there; empty: it has none yet */
    drop_name name;
    uint64_t inode; /* of the file; 0: it was not opened */
} taking;

struct dropbox {
    mail_receive *rcv;
    const mail_files *fs;
    char *spool;
    mail_control *control; /* through which others say that there is something */
    mail_timer *timer;
    drop_name *names; /* of the last look, oldest first */
    size_t name_count;
    size_t next;
    size_t skip;    /* names that the next look passes over */
    size_t skipped; /* and this one has */
    drop_shelf shelf;
    drop_told told; /* names that are too long */
    hash_seed seed; /* of these */
    mail_timer *sync_timer;
    bool must_sync; /* files were removed, which a loss of power might bring back */
    mail_time sweep_at;
    bool is_stuck; /* nothing can be taken for now, and the log says so */
    bool is_stopped;
    taking taken[TAKEN_MAX];
};

static void go(struct dropbox *box);

static void say(const taking *tk, mail_log_level level, const char *what, int code)
{
    mail_log_field fields[3] = {{"file", mail_span_text(tk->name)}};
    size_t count = 1;

    if (tk->id[0] != '\0') {
        fields[count++] = (mail_log_field){"queue_id", mail_span_text(tk->id)};
    }
    if (code != MAIL_OK) {
        fields[count++] = (mail_log_field){"reason", mail_span_text(mail_strerror(code))};
    }
    mail_log_line(tk->box->rcv->log, level, what, fields, count);
}

static void set_timer(struct dropbox *box, mail_duration in)
{
    mail_loop *loop = box->rcv->loop;

    loop->ops->timer_set(box->timer, mail_loop_now(loop) + in);
}

/* Nothing more for a while, neither this file nor others. */
static void rest(struct dropbox *box)
{
    box->name_count = 0;
    box->next = 0;
    set_timer(box, LOOK_PAUSE);
}

/* That none can be taken now is said of the first: those who look in would have it said again. */
static void say_stuck(const taking *tk, int code)
{
    say(tk, tk->box->is_stuck ? MAIL_LOG_DEBUG : MAIL_LOG_WARN, "not taken from drop", code);
    tk->box->is_stuck = true;
}

/*
 * A file that nothing can be done about is said once, and tried less and less often. When there are
 * too many to remember, others still have their turn, unless one would be taken again and again.
 */
static void shelve(taking *tk, const char *what, bool is_safe, int code)
{
    struct dropbox *box = tk->box;
    bool is_known = drop_shelf_find(&box->shelf, tk->name) != NULL;
    bool is_kept = drop_shelf_put(&box->shelf, tk->name, is_safe, mail_loop_now(box->rcv->loop));

    if (!is_known) {
        say(tk, is_kept || is_safe ? MAIL_LOG_ERROR : MAIL_LOG_DEBUG, what, code);
    }
    if (!is_kept && is_safe) {
        rest(box);
    }
}

/*
 * Or a loss of power, however late, would bring messages again that the queue had taken. One sync
 * is for all that went in a while; those who drop files sync the folder for each.
 */
static void expect_sync(struct dropbox *box)
{
    mail_loop *loop = box->rcv->loop;

    if (!box->must_sync) {
        box->must_sync = true;
        loop->ops->timer_set(box->sync_timer, mail_loop_now(loop) + SYNC_DELAY);
    }
}

static void make_last(void *arg)
{
    struct dropbox *box = arg;

    box->must_sync = false;
    if (drop_sync(box->fs, box->spool) != MAIL_OK) {
        expect_sync(box);
    }
}

/* The file is done with, safe or for a later look. */
static void leave(taking *tk)
{
    drop_report_close(&tk->report);
    mail_drop_close(tk->drop);
    tk->drop = NULL;
    tk->is_safe_soon = false;
}

/* One that can never be taken is put out of the way, or it would be tried for ever. */
static void set_aside(taking *tk, int code)
{
    struct dropbox *box = tk->box;

    control_note_lost(box->control, tk->name, code, NULL);
    if (drop_set_aside(box->fs, box->spool, tk->name) == MAIL_OK) {
        drop_shelf_take(&box->shelf, tk->name);
        say(tk, MAIL_LOG_ERROR, "set aside from drop", code);
    } else {
        shelve(tk, "neither taken from drop nor set aside", false, code);
    }
    leave(tk);
}

/* The queue has it: here it would only be taken again. */
static void remove_safe(taking *tk)
{
    struct dropbox *box = tk->box;
    int code = drop_remove_taken(box->fs, box->spool, tk->name, tk->inode);

    if (code == MAIL_OK) {
        expect_sync(box);
        drop_shelf_take(&box->shelf, tk->name);
        say(tk, MAIL_LOG_DEBUG, "taken from drop", code);
    } else if (drop_is_dir(box->fs, box->spool, tk->name)) {
        set_aside(tk, MAIL_EDAMAGED); /* whoever dropped it has put that in its place */
    } else {
        shelve(tk, "taken from drop, but not removed", true, code);
    }
}

/* There is room, but not for that much: anybody can make a file that is long and holds nothing. */
static bool is_too_large(const taking *tk, int code)
{
    return code == MAIL_ENOSPC && mail_queue_has_room(tk->box->rcv->opts.queue, 0) == MAIL_OK;
}

static void finished(int code, taking *tk)
{
    if (code == MAIL_OK && tk->report.text != NULL) {
        drop_report_log(tk->box->rcv, tk->drop, tk->name, tk->id);
        control_note_lost(tk->box->control, tk->name, MAIL_ELIMIT, "the message is too big");
    } else if (code == MAIL_OK) {
        control_note_safe(tk->box->control, tk->name);
    }
    leave(tk);
    if (code == MAIL_OK) {
        tk->box->is_stuck = false;
        remove_safe(tk);
    } else {
        rest(tk->box);
    }
}

/* The queue does not take it. Others may be smaller, or fare no better. */
static void turn_down(taking *tk, int code)
{
    if (is_too_large(tk, code)) {
        shelve(tk, "too large to be taken from drop", false, code);
        leave(tk);
    } else {
        say_stuck(tk, code);
        finished(code, tk);
    }
}

static void on_finished(int code, void *arg)
{
    taking *tk = arg;

    finished(code, tk);
    go(tk->box);
}

static void abandon(taking *tk, int code)
{
    mail_sink_abort(&tk->message->sink);
    turn_down(tk, code);
}

/* The disk does not give back what is in it, now or for ever. Others may be sound. */
static void skip(taking *tk, int code)
{
    shelve(tk, "cannot be read in drop", false, code);
    leave(tk);
}

/* What an operator has removed or held meanwhile is not wanted any more; from here on it is too late. */
static void end_copy(taking *tk)
{
    int code;

    if (!drop_is_there(tk->box->fs, tk->box->spool, tk->name)) {
        mail_sink_abort(&tk->message->sink);
        control_note_lost(tk->box->control, tk->name, MAIL_ECANCELED, "it was removed");
        leave(tk);
        return;
    }
    tk->is_safe_soon = true;
    code = mail_sink_finish(&tk->message->sink, on_finished, tk);
    if (code != MAIL_EAGAIN) {
        finished(code, tk);
    }
}

/* What the queue gets. */
static mail_source *source_of(const taking *tk)
{
    return tk->report.text != NULL ? tk->report.text : mail_drop_body(tk->drop);
}

/* As much as the queue has room for, within one step. */
static void copy(taking *tk)
{
    mail_loop *loop = tk->box->rcv->loop;
    mail_source *source = source_of(tk);
    mail_sink *sink = &tk->message->sink;
    size_t left = COPY_STEP;

    while (left > 0) {
        size_t room = mail_sink_room(sink);
        mail_span bytes;
        int code;

        if (room == 0) {
            return; /* on_room will come */
        }
        code = mail_source_peek(source, &bytes);
        if (code == MAIL_OK && bytes.length == 0) {
            end_copy(tk);
            return;
        }
        if (code != MAIL_OK) {
            mail_sink_abort(sink);
            skip(tk, code);
            return;
        }
        bytes.length = bytes.length < room ? bytes.length : room;
        bytes.length = bytes.length < left ? bytes.length : left;
        code = mail_sink_write(sink, bytes);
        if (code == MAIL_ELIMIT) {
            mail_sink_abort(sink);
            set_aside(tk, code); /* a loop through the folder */
            return;
        }
        if (code != MAIL_OK) {
            abandon(tk, code);
            return;
        }
        mail_source_drop(source, bytes.length);
        left -= bytes.length;
    }
    loop->ops->timer_set(tk->timer, mail_loop_now(loop));
}

static void go_on(void *arg)
{
    taking *tk = arg;

    if (tk->drop != NULL && !tk->is_safe_soon) {
        copy(tk);
        go(tk->box);
    }
}

/* Asks the queue for a place for what this envelope goes with. */
static int begin_arrival(taking *tk, const mail_envelope *envelope, uint64_t size)
{
    const origin from = {.may_relay = true, .was_dropped = true, .uid = mail_drop_user(tk->drop)};

    return arrival_begin(tk->message, envelope, &from, size);
}

static int begin_message(taking *tk, mail_envelope *envelope)
{
    int code = drop_envelope_make(envelope, tk->box->rcv, mail_drop_envelope(tk->drop));

    return code == MAIL_OK ? begin_arrival(tk, envelope, mail_drop_size(tk->drop)) : code;
}

/* Where nobody is to be told, or can be, the file is kept for a person to look at. */
static int begin_report(taking *tk, mail_envelope *envelope)
{
    int code = drop_report_open(&tk->report, tk->box->rcv, tk->drop, envelope);

    return code == MAIL_OK ? begin_arrival(tk, envelope, 0) : code;
}

static void begin(taking *tk)
{
    bool is_refused = drop_report_is_due(tk->box->rcv, tk->drop);
    mail_envelope envelope;
    int code;

    mail_envelope_init(&envelope, tk->box->rcv->mem);
    code = is_refused ? begin_report(tk, &envelope) : begin_message(tk, &envelope);
    mail_envelope_deinit(&envelope);
    if (is_refused && code == MAIL_ENOENT) {
        drop_report_log(tk->box->rcv, tk->drop, tk->name, "");
        set_aside(tk, MAIL_ELIMIT);
        return;
    }
    if (code != MAIL_OK) {
        turn_down(tk, code);
        return;
    }
    memcpy(tk->id, tk->message->id, sizeof(tk->id));
    if (!is_refused) {
        control_note_taken(tk->box->control, tk->name, tk->id, tk->message->recipients);
    }
    tk->message->sink.on_room = go_on;
    tk->message->sink.on_room_arg = tk;
    copy(tk);
}

static bool is_being_taken(const struct dropbox *box, const char *name)
{
    for (size_t i = 0; i < TAKEN_MAX; i++) {
        if (box->taken[i].drop != NULL && strcmp(box->taken[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Some codes speak of the file, the others of this host at this moment. */
static void refuse(taking *tk, int code)
{
    tk->drop = NULL;
    switch (code) {
    case MAIL_ENOENT: /* gone */
        drop_shelf_take(&tk->box->shelf, tk->name);
        return;
    case MAIL_ENOMEM: /* for the next look */
        return;
    case MAIL_EDAMAGED:
    case MAIL_EVERSION:
    case MAIL_EPERM:
    case MAIL_EINVAL:
    case MAIL_ELIMIT:
        set_aside(tk, code);
        return;
    case MAIL_EIO:
        skip(tk, code);
        return;
    default: /* no descriptors are left, for one: no other file would fare better */
        say_stuck(tk, code);
        rest(tk->box);
        return;
    }
}

static void open_next(taking *tk)
{
    struct dropbox *box = tk->box;
    const drop_shelved *shelved;
    int code;

    memcpy(tk->name, box->names[box->next++], sizeof(tk->name));
    tk->id[0] = '\0';
    tk->inode = 0;
    if (is_being_taken(box, tk->name)) {
        return;
    }
    shelved = drop_shelf_find(&box->shelf, tk->name);
    if (shelved != NULL && shelved->is_safe) {
        remove_safe(tk);
        return;
    }
    code = drop_open(&tk->drop, box->fs, box->spool, tk->name, box->rcv->mem, NULL);
    if (code == MAIL_OK) {
        tk->inode = drop_inode(tk->drop);
        begin(tk);
    } else {
        refuse(tk, code);
    }
}

/* Takes what the last look has found, as far as there are hands. */
static void go(struct dropbox *box)
{
    for (size_t i = 0; i < TAKEN_MAX; i++) {
        while (!box->is_stopped && box->next < box->name_count && box->taken[i].drop == NULL) {
            open_next(&box->taken[i]);
        }
    }
}

static bool note_name(const char *name, void *arg)
{
    struct dropbox *box = arg;

    if (drop_shelf_rests(&box->shelf, name, mail_loop_now(box->rcv->loop))) {
        return true;
    }
    if (box->skipped < box->skip) {
        box->skipped++;
        return true;
    }
    snprintf(box->names[box->name_count++], sizeof(drop_name), "%s", name);
    return box->name_count < NAMES_MAX;
}

/* Nobody would ever hear of it otherwise: it is not ours, and might have been meant to be. */
static void note_long(const char *name, void *arg)
{
    static const char reason[] = "its name is too long";
    struct dropbox *box = arg;
    const mail_log_field fields[] = {{"file", mail_span_text(name)},
                                     {"reason", mail_span_text(reason)}};

    if (drop_told_is_due(&box->told, hash_bytes(&box->seed, mail_span_text(name)))) {
        mail_log_line(box->rcv->log, MAIL_LOG_WARN, "passed over in drop", fields,
                      MAIL_COUNT(fields));
    }
}

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void sweep(struct dropbox *box)
{
    mail_time now = mail_loop_now(box->rcv->loop);

    if (now >= box->sweep_at) {
        drop_sweep(box->fs, box->spool, receive_wall(box->rcv) - PARTIAL_AGE);
        box->sweep_at = now + SWEEP_INTERVAL;
    }
}

/*
 * The folder has its names in an order of its own. After a look that is full the next one begins
 * behind it, so that however many names stay there, all others have their turn.
 */
static int list_names(struct dropbox *box)
{
    int code;

    box->name_count = 0;
    box->next = 0;
    box->skipped = 0;
    code = drop_look(box->fs, box->spool, note_name, note_long, box);
    if (box->name_count == NAMES_MAX) {
        box->skip += NAMES_MAX;
        return code;
    }
    drop_told_end_look(&box->told);
    if (box->skip > 0) { /* that was the end */
        box->skip = 0;
        set_timer(box, box->name_count == 0 ? 0 : LOOK_INTERVAL);
    }
    return code;
}

static void look(void *arg)
{
    struct dropbox *box = arg;

    if (box->is_stopped) {
        return;
    }
    set_timer(box, LOOK_INTERVAL);
    sweep(box);
    if (box->next < box->name_count) {
        return; /* there is enough to do */
    }
    if (list_names(box) == MAIL_OK && box->name_count > 0) {
        qsort(box->names, box->name_count, sizeof(drop_name), compare);
        go(box);
    }
}

/* Connecting is all that has to be said. */
static void on_poke(void *arg)
{
    struct dropbox *box = arg;

    if (!box->is_stopped) {
        set_timer(box, 0);
    }
}

static int listen_control(struct dropbox *box, mail_error *err)
{
    mail_control_options opts = MAIL_CONTROL_OPTIONS_INIT;

    opts.mem = box->rcv->mem;
    opts.log = box->rcv->log;
    opts.queue = box->rcv->opts.queue;
    opts.spool = box->spool;
    opts.on_poke = on_poke;
    opts.arg = box;
    opts.sockets = box->rcv->opts.sockets;
    return mail_control_create(&box->control, box->rcv->loop, &opts, err);
}

static int make_takings(struct dropbox *box)
{
    mail_loop *loop = box->rcv->loop;

    for (size_t i = 0; i < TAKEN_MAX; i++) {
        taking *tk = &box->taken[i];

        tk->box = box;
        tk->message = arrival_create(box->rcv);
        if (tk->message == NULL || loop->ops->timer(loop, go_on, tk, &tk->timer) != MAIL_OK) {
            return MAIL_ENOMEM;
        }
    }
    return MAIL_OK;
}

static int make_timers(struct dropbox *box)
{
    mail_loop *loop = box->rcv->loop;
    int code = loop->ops->timer(loop, look, box, &box->timer);

    return code == MAIL_OK ? loop->ops->timer(loop, make_last, box, &box->sync_timer) : code;
}

static int fill(struct dropbox *box, const char *spool, mail_error *err)
{
    const mail_mem *mem = box->rcv->mem;
    int code;

    box->spool = mem_text(mem, mail_span_text(spool));
    box->names = mem_alloc(mem, NAMES_MAX * sizeof(drop_name));
    if (box->spool == NULL || box->names == NULL) {
        return mail_error_set(err, MAIL_ENOMEM, "%s", mail_strerror(MAIL_ENOMEM));
    }
    code = make_takings(box);
    if (code == MAIL_OK) {
        code = make_timers(box);
    }
    if (code != MAIL_OK) {
        return mail_error_set(err, code, "%s", mail_strerror(code));
    }
    return listen_control(box, err);
}

/* Whoever may make files there may be many; what they can do to each other is for the folder to say. */
static void judge_folder(const struct dropbox *box)
{
    mail_log_field field = {"reason", MAIL_SPAN("users can remove and rename each other's mail")};
    int dir = drop_open_dir(box->fs, box->spool);
    file_info info;

    if (dir < 0) {
        return; /* there is none yet */
    }
    if (box->fs->ops->info(box->fs, dir, &info) == 0 && (info.mode & 022) != 0) {
        if ((info.mode & 01000) == 0) {
            mail_log_line(box->rcv->log, MAIL_LOG_WARN, "drop is open", &field, 1);
        }
        if ((info.mode & 0047) != 0) {
            field.value = MAIL_SPAN("users can see whose mail there is, and theirs can't be read");
            mail_log_line(box->rcv->log, MAIL_LOG_WARN, "drop is open", &field, 1);
        }
    }
    box->fs->ops->close(box->fs, dir);
}

int dropbox_create(struct dropbox **out, mail_receive *rcv, const char *spool, mail_error *err)
{
    struct dropbox *box = mem_alloc(rcv->mem, sizeof(*box));
    int code;

    if (box == NULL) {
        return mail_error_set(err, MAIL_ENOMEM, "%s", mail_strerror(MAIL_ENOMEM));
    }
    box->rcv = rcv;
    box->fs = rcv->opts.files != NULL ? rcv->opts.files : &file_system;
    box->sweep_at = INT64_MIN;
    random_fill(NULL, &box->seed, sizeof(box->seed));
    code = fill(box, spool, err);
    if (code != MAIL_OK) {
        dropbox_destroy(box);
        return code;
    }
    judge_folder(box);
    set_timer(box, 0);
    *out = box;
    return MAIL_OK;
}

void dropbox_tell(struct dropbox *box, const mail_delivery *delivery)
{
    if (box != NULL) {
        control_note_delivery(box->control, delivery);
    }
}

void dropbox_stop(struct dropbox *box)
{
    if (box != NULL) {
        box->is_stopped = true;
        box->rcv->loop->ops->timer_set(box->timer, MAIL_NEVER);
    }
}

static void stop_taking(taking *tk)
{
    if (tk->box == NULL) {
        return; /* it was never made */
    }
    tk->box->rcv->loop->ops->untimer(tk->timer);
    arrival_destroy(tk->message);
    leave(tk);
}

void dropbox_destroy(struct dropbox *box)
{
    const mail_mem *mem;

    if (box == NULL) {
        return;
    }
    mem = box->rcv->mem;
    if (box->must_sync) {
        (void)drop_sync(box->fs, box->spool);
    }
    for (size_t i = 0; i < TAKEN_MAX; i++) {
        stop_taking(&box->taken[i]);
    }
    mail_control_destroy(box->control);
    box->rcv->loop->ops->untimer(box->timer);
    box->rcv->loop->ops->untimer(box->sync_timer);
    mem_free(mem, box->names, NAMES_MAX * sizeof(drop_name));
    mem_free(mem, box->spool, box->spool != NULL ? strlen(box->spool) + 1 : 0);
    mem_free(mem, box, sizeof(*box));
}
