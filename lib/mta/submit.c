/* SPDX-License-Identifier: MIT */
#include "mta/submit.h"

#include <stdio.h>

#include <mail/compose.h>

#include "base/mem.h"

/* What a completed header may have grown to, with the piece of body that came with its end. */
#define HELD_MAX (8 * SUBMIT_HEADER_MAX)

static const mail_reply NOT_YOURS = {550, {5, 7, 1}, {"You may not send as that author", 31}};
static const mail_reply NO_AUTHOR = {550, {5, 6, 0}, {"From or Sender not understood", 29}};
static const mail_reply MALFORMED = {550, {5, 6, 0}, {"The header is malformed", 23}};
static const mail_reply TOO_LONG = {552, {5, 3, 4}, {"The header is too long", 22}};

static submit *self_of(mail_sink *sink)
{
    return (submit *)sink;
}

static bool names_author(mail_span field)
{
    static const char *const names[] = {"From", "Sender", "Resent-From", "Resent-Sender"};

    for (size_t i = 0; i < MAIL_COUNT(names); i++) {
        if (mail_span_equal_nocase(field, mail_span_text(names[i]))) {
            return true;
        }
    }
    return false;
}

/* A backslash at a line's end: to some it escapes what the next line begins with. */
static bool escapes_line_end(mail_span value)
{
    for (size_t i = 1; i < value.length; i++) {
        if (value.data[i - 1] == '\\' && (value.data[i] == '\r' || value.data[i] == '\n')) {
            return true;
        }
    }
    return false;
}

/* At least one mailbox, each the user's own, in no form that somebody could read as another's. */
static const mail_reply *judge_field(const submit *sb, mail_span value)
{
    mail_address_reader reader;
    mail_address mailbox;
    bool has_any = false;
    int code;

    mail_address_reader_init(&reader, value, MAIL_PATH_UTF8 | MAIL_PATH_BARE | MAIL_ADDRESS_STRICT);
    while ((code = mail_address_reader_next(&reader, &mailbox)) == MAIL_OK) {
        if (!sender_is_allowed(sb->rcv, mail_span_text(sb->user), &mailbox.path)) {
            return &NOT_YOURS;
        }
        has_any = true;
    }
    return code == MAIL_ENOENT && has_any && !escapes_line_end(value) ? NULL : &NO_AUTHOR;
}

/*
 * Whether the header is the same for everybody: it ends with an empty line or the message, and
 * has no NUL and, which BDAT lets through, no CR or LF by itself.
 */
static bool is_sound(mail_span message, size_t body)
{
    mail_scan scan;

    mail_scan_init(&scan);
    mail_scan_feed(&scan, mail_span_first(message, body));
    mail_scan_end(&scan);
    return scan.header_size == body && (scan.in_body || body == message.length) && !scan.has_nul &&
           !scan.has_bare_cr && !scan.has_bare_lf;
}

/*
 * Every author, however often the field is there, as nobody knows which one a reader will be
 * shown. For the same reason nothing that could be read as one may follow where the
 * header ends for us.
 */
static const mail_reply *judge(const submit *sb, mail_span message)
{
    mail_header_reader reader;
    mail_field field;
    int code;

    mail_header_reader_init(&reader, message);
    while ((code = mail_header_reader_next(&reader, &field)) == MAIL_OK) {
        const mail_reply *refusal = names_author(field.name) ? judge_field(sb, field.value) : NULL;

        if (refusal != NULL) {
            return refusal;
        }
    }
    if (code != MAIL_ENOENT) {
        return &TOO_LONG;
    }
    return is_sound(message, mail_header_reader_body(&reader)) ? NULL : &MALFORMED;
}

/* Message-ID and addresses without a domain get that of our users, if it is a name. */
static mail_span domain_of(const mail_receive *rcv)
{
    char name[MAIL_DOMAIN_SIZE];

    return mail_span_text(mail_domain_to_ascii(mail_span_text(rcv->default_domain), name) == MAIL_OK
                              ? rcv->default_domain
                              : rcv->hostname);
}

static int complete(submit *sb)
{
    mail_span message = mail_sink_memory_bytes(&sb->held);
    mail_submission own = {
        .hostname = domain_of(sb->rcv),
        .from = mail_span_text(sb->from),
        .when = receive_wall(sb->rcv),
    };
    mail_sink_memory completed;
    mail_submitted submitted;
    int code;

    mail_sink_memory_init(&completed, sb->rcv->mem, HELD_MAX);
    code = mail_submission_complete(&own, message, &completed, NULL, &submitted, NULL);
    if (code == MAIL_OK) {
        code = mail_sink_write(&completed.sink, mail_span_from(message, submitted.body));
    }
    if (code != MAIL_OK) {
        mail_sink_memory_deinit(&completed);
        sb->refusal = code == MAIL_EINVAL ? &MALFORMED : code == MAIL_ELIMIT ? &TOO_LONG : NULL;
        return code;
    }
    mail_sink_memory_deinit(&sb->held);
    sb->held = completed;
    return MAIL_OK;
}

/* Moves on what is held, as far as there is room; the last octet ends the state. */
static int pour(submit *sb)
{
    mail_span rest = mail_span_from(mail_sink_memory_bytes(&sb->held), sb->poured);

    while (rest.length > 0) {
        size_t room = mail_sink_room(sb->inner);
        size_t n = rest.length < room ? rest.length : room;
        int code;

        if (n == 0) {
            return MAIL_OK;
        }
        code = mail_sink_write(sb->inner, mail_span_first(rest, n));
        if (code != MAIL_OK) {
            return code;
        }
        sb->poured += n;
        rest = mail_span_from(rest, n);
    }
    mail_sink_memory_deinit(&sb->held);
    sb->state = SUBMIT_PASSES;
    return MAIL_OK;
}

/*
 * The header is whole. What goes out is what is judged: completing takes a line away here, parts
 * off what is no field there, and no one must be able to hide behind either.
 */
static int release(submit *sb)
{
    if (sb->completes) {
        int code = complete(sb);

        if (code != MAIL_OK) {
            return code;
        }
    }
    sb->refusal = judge(sb, mail_sink_memory_bytes(&sb->held));
    if (sb->refusal != NULL) {
        return MAIL_EPERM;
    }
    sb->state = SUBMIT_POURS;
    sb->poured = 0;
    return pour(sb);
}

static size_t submit_room(mail_sink *sink)
{
    submit *sb = self_of(sink);

    if (sb->code != MAIL_OK) {
        return 1; /* so that the writer comes to hear of it */
    }
    switch (sb->state) {
    case SUBMIT_HOLDS_HEADER:
        return SUBMIT_HEADER_MAX - sb->held.length;
    case SUBMIT_POURS:
        return 0;
    case SUBMIT_PASSES:
        break;
    }
    return mail_sink_room(sb->inner);
}

static int hold(submit *sb, mail_span bytes)
{
    int code = mail_sink_write(&sb->held.sink, bytes);

    if (code != MAIL_OK) {
        return code;
    }
    mail_scan_feed(&sb->scan, bytes);
    if (sb->scan.in_body) {
        return release(sb);
    }
    if (sb->held.length == SUBMIT_HEADER_MAX) {
        sb->refusal = &TOO_LONG;
        return MAIL_ELIMIT;
    }
    return MAIL_OK;
}

static int submit_write(mail_sink *sink, mail_span bytes)
{
    submit *sb = self_of(sink);

    if (sb->code == MAIL_OK) {
        sb->code = sb->state == SUBMIT_PASSES ? mail_sink_write(sb->inner, bytes) : hold(sb, bytes);
    }
    return sb->code;
}

/* Ends the inner sink with what is known of the message. */
static int end(submit *sb, mail_finish_fn *fn, void *arg)
{
    mail_sink *inner = sb->inner;

    sb->inner = NULL;
    mail_sink_memory_deinit(&sb->held);
    if (sb->code != MAIL_OK) {
        mail_sink_abort(inner);
        return sb->code;
    }
    return mail_sink_finish(inner, fn, arg);
}

static int submit_finish(mail_sink *sink, mail_finish_fn *fn, void *arg)
{
    submit *sb = self_of(sink);

    if (sb->state == SUBMIT_HOLDS_HEADER) {
        sb->code = release(sb); /* a message without a body, or without a header */
    }
    if (sb->code == MAIL_OK && sb->state == SUBMIT_POURS) {
        sb->is_finishing = true;
        sb->fn = fn;
        sb->arg = arg;
        return MAIL_EAGAIN;
    }
    return end(sb, fn, arg);
}

static void submit_abort(mail_sink *sink)
{
    submit *sb = self_of(sink);

    mail_sink_memory_deinit(&sb->held);
    if (sb->inner != NULL) {
        mail_sink_abort(sb->inner);
        sb->inner = NULL;
    }
}

static void on_room(void *arg)
{
    submit *sb = arg;
    int code;

    if (sb->state == SUBMIT_POURS && sb->code == MAIL_OK) {
        sb->code = pour(sb);
    }
    if (!sb->is_finishing) {
        if (sb->sink.on_room != NULL && submit_room(&sb->sink) > 0) {
            sb->sink.on_room(sb->sink.on_room_arg);
        }
        return;
    }
    if (sb->code == MAIL_OK && sb->state == SUBMIT_POURS) {
        return;
    }
    sb->is_finishing = false;
    code = end(sb, sb->fn, sb->arg);
    if (code != MAIL_EAGAIN) {
        sb->fn(code, sb->arg);
    }
}

submit *submit_create(const mail_receive *rcv)
{
    static const mail_sink_ops ops = {submit_room, submit_write, submit_finish, submit_abort};
    submit *sb = mem_alloc(rcv->mem, sizeof(*sb));

    if (sb != NULL) {
        sb->sink.ops = &ops;
        sb->rcv = rcv;
        mail_sink_memory_init(&sb->held, rcv->mem, HELD_MAX);
    }
    return sb;
}

void submit_destroy(submit *sb)
{
    if (sb == NULL) {
        return;
    }
    submit_abort(&sb->sink);
    if (sb->is_finishing) {
        sb->fn(MAIL_ECANCELED, sb->arg);
    }
    mem_free(sb->rcv->mem, sb, sizeof(*sb));
}

const mail_reply *submit_refusal(const submit *sb)
{
    return sb != NULL && sb->code != MAIL_OK ? sb->refusal : NULL;
}

void submit_begin(submit *sb, mail_sink *inner, mail_span user, mail_span sender, bool completes)
{
    mail_path own;

    sb->inner = inner;
    inner->on_room = on_room;
    inner->on_room_arg = sb;
    sb->sink.on_room = NULL;
    sb->state = SUBMIT_HOLDS_HEADER;
    sb->completes = completes;
    sb->code = MAIL_OK;
    sb->refusal = NULL;
    mail_scan_init(&sb->scan);
    snprintf(sb->user, sizeof(sb->user), "%.*s", (int)user.length, user.data);
    if (sender.length == 0) { /* a report of the user's mail program */
        recipient_complete(sb->rcv, user, &own);
        sender = mail_path_text(&own);
    }
    snprintf(sb->from, sizeof(sb->from), "%.*s", (int)sender.length, sender.data);
}
