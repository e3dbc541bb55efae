/* SPDX-License-Identifier: MIT */
#include "mta/control.h"

#include <inttypes.h>
#include <stdio.h>

#include <mail/operator.h>

#include "base/ascii.h"
#include "base/mem.h"

/* What a verb asks to be said behind it. */
typedef enum argument {
    NOTHING,
    ONE_ID,
    SELECTION
} argument;

static const struct verb {
    const char *name;
    argument argument;
} verbs[] = {
    [CONTROL_LIST] = {"list", SELECTION},       [CONTROL_STATS] = {"stats", NOTHING},
    [CONTROL_BODY] = {"body", ONE_ID},          [CONTROL_HOLD] = {"hold", SELECTION},
    [CONTROL_RELEASE] = {"release", SELECTION}, [CONTROL_RETRY] = {"retry", SELECTION},
    [CONTROL_EXPIRE] = {"expire", SELECTION},   [CONTROL_REMOVE] = {"remove", SELECTION},
    [CONTROL_AWAIT] = {"await", ONE_ID},
};

const char *control_verb_name(control_verb verb)
{
    return verbs[verb].name;
}

bool control_word(mail_span *rest, mail_span *word)
{
    const char *blank;
    size_t length;

    while (rest->length > 0 && rest->data[0] == ' ') {
        *rest = mail_span_from(*rest, 1);
    }
    if (rest->length == 0) {
        return false;
    }
    blank = memchr(rest->data, ' ', rest->length);
    length = blank != NULL ? (size_t)(blank - rest->data) : rest->length;
    *word = mail_span_first(*rest, length);
    *rest = mail_span_from(*rest, length);
    return true;
}

bool control_number(mail_span *rest, uint64_t *out)
{
    mail_span word;

    return control_word(rest, &word) && ascii_number(word, UINT64_MAX, out);
}

bool control_signed(mail_span *rest, int64_t *out)
{
    mail_span word;
    uint64_t number;
    bool is_negative;

    if (!control_word(rest, &word)) {
        return false;
    }
    is_negative = word.data[0] == '-';
    if (!ascii_number(mail_span_from(word, is_negative ? 1 : 0), INT64_MAX, &number)) {
        return false;
    }
    *out = is_negative ? -(int64_t)number : (int64_t)number;
    return true;
}

/* What is left of the line but for the blank in front. */
static mail_span tail_of(mail_span rest)
{
    return rest.length > 0 && rest.data[0] == ' ' ? mail_span_from(rest, 1) : rest;
}

static int find_verb(mail_span word, control_verb *out)
{
    for (size_t i = 0; i < MAIL_COUNT(verbs); i++) {
        if (mail_span_equal(word, mail_span_text(verbs[i].name))) {
            *out = (control_verb)i;
            return MAIL_OK;
        }
    }
    return MAIL_EINVAL;
}

/* A word of either side that is later printed as it is: it must hold no surprises. */
static bool keep(mail_span text, char *out, size_t size)
{
    if (text.length == 0 || text.length >= size || ascii_has_control(text)) {
        return false;
    }
    memcpy(out, text.data, text.length);
    out[text.length] = '\0';
    return true;
}

static bool add_id(control_request *req, mail_span id)
{
    size_t n = req->which.id_count;

    if (n == CONTROL_IDS_MAX || !keep(id, req->id_texts[n], sizeof(req->id_texts[n]))) {
        return false;
    }
    req->ids[n] = req->id_texts[n];
    req->which.ids = req->ids;
    req->which.id_count++;
    return true;
}

static bool read_key(control_request *req, mail_span key, mail_span *rest)
{
    mail_span value;

    if (mail_span_equal(key, MAIL_SPAN("all"))) {
        req->which.all = true;
        return true;
    }
    if (mail_span_equal(key, MAIL_SPAN("sender"))) {
        value = tail_of(*rest);
        *rest = mail_span_of(NULL, 0);
        req->which.sender = mail_span_of(req->sender, value.length);
        return keep(value, req->sender, sizeof(req->sender));
    }
    if (!control_word(rest, &value)) {
        return false;
    }
    if (mail_span_equal(key, MAIL_SPAN("domain"))) {
        req->which.domain = mail_span_of(req->domain, value.length);
        return keep(value, req->domain, sizeof(req->domain));
    }
    return mail_span_equal(key, MAIL_SPAN("id")) && add_id(req, value);
}

static bool fits(const control_request *req)
{
    const mail_queue_selector *which = &req->which;
    bool is_empty = which->id_count == 0 && which->domain.length == 0 && which->sender.length == 0;

    switch (verbs[req->verb].argument) {
    case NOTHING:
        return is_empty && !which->all;
    case ONE_ID:
        return which->id_count == 1 && which->domain.length == 0 && which->sender.length == 0 &&
               !which->all;
    case SELECTION:
        return is_empty == which->all;
    }
    return false;
}

int control_request_parse(mail_span line, control_request *out, mail_error *err)
{
    mail_span word;

    *out = (control_request){.verb = CONTROL_LIST};
    if (ascii_has_control(line)) { /* none is sent by us, and the log shows what is */
        return mail_error_set(err, MAIL_EINVAL, "control characters in a request");
    }
    if (!control_word(&line, &word) || find_verb(word, &out->verb) != MAIL_OK) {
        return mail_error_set(err, MAIL_EINVAL, "no such request");
    }
    while (control_word(&line, &word)) {
        if (!read_key(out, word, &line)) {
            return mail_error_set(err, MAIL_EINVAL, "cannot read what the request is about");
        }
    }
    if (!fits(out)) {
        return mail_error_set(err, MAIL_EINVAL, "the request says too little or too much");
    }
    return MAIL_OK;
}

/* Written into a line: it must come out again as it was. */
static bool is_safe(mail_span text, bool is_word)
{
    return !ascii_has_control(text) && text.length <= MAIL_PATH_MAX &&
           !(is_word && memchr(text.data, ' ', text.length) != NULL);
}

static int print_ids(const mail_queue_selector *which, buffer *out)
{
    int code = MAIL_OK;

    if (which->id_count > CONTROL_IDS_MAX) {
        return MAIL_ELIMIT;
    }
    for (size_t i = 0; i < which->id_count && code == MAIL_OK; i++) {
        mail_span id = mail_span_text(which->ids[i]);

        if (id.length == 0 || id.length >= CONTROL_ID_SIZE || !is_safe(id, true)) {
            return MAIL_EINVAL;
        }
        code = buffer_printf(out, " id %.*s", (int)id.length, id.data);
    }
    return code;
}

int control_request_print(control_verb verb, const mail_queue_selector *which, buffer *out)
{
    int code = buffer_printf(out, "%s%s", verbs[verb].name, which->all ? " all" : "");

    if (code == MAIL_OK) {
        code = print_ids(which, out);
    }
    if (code == MAIL_OK && which->domain.length > 0) {
        code =
            is_safe(which->domain, true)
                ? buffer_printf(out, " domain %.*s", (int)which->domain.length, which->domain.data)
                : MAIL_EINVAL;
    }
    if (code == MAIL_OK && which->sender.length > 0) {
        code =
            is_safe(which->sender, false)
                ? buffer_printf(out, " sender %.*s", (int)which->sender.length, which->sender.data)
                : MAIL_EINVAL;
    }
    return code == MAIL_OK ? buffer_append(out, MAIL_SPAN("\n")) : code;
}

static const char *const states[] = {
    [MAIL_QUEUE_WAITING] = "waiting",
    [MAIL_QUEUE_ACTIVE] = "active",
    [MAIL_QUEUE_ON_HOLD] = "hold",
};

/* The rest of a line: what would break it is shown as `?`. */
static int put_rest(buffer *out, mail_span text)
{
    char *to = buffer_space(out, text.length + 1);

    if (to == NULL) {
        return MAIL_ENOMEM;
    }
    for (size_t i = 0; i < text.length; i++) {
        to[i] = ascii_is_control(text.data[i]) ? '?' : text.data[i];
    }
    to[text.length] = '\n';
    buffer_added(out, text.length + 1);
    return MAIL_OK;
}

static int print_recipient(const mail_queue_recipient *rcpt, buffer *out)
{
    const char *state = rcpt->held ? "held" : "waiting";
    int code = buffer_printf(out, "to %s %u %" PRId64 " ", rcpt->done ? "done" : state,
                             rcpt->attempts, rcpt->next_try);

    if (code == MAIL_OK) {
        code = put_rest(out, rcpt->address);
    }
    if (code == MAIL_OK && rcpt->last_reply.length > 0) {
        code = buffer_append(out, MAIL_SPAN("reply "));
        code = code == MAIL_OK ? put_rest(out, rcpt->last_reply) : code;
    }
    return code;
}

int control_outcome_print(const mail_delivery *delivery, buffer *out)
{
    char reply[MAIL_REPLY_TEXT_SIZE];
    int code = buffer_printf(out, "outcome %s ", mail_outcome_kind_name(delivery->kind));

    if (code == MAIL_OK) {
        code = put_rest(out, delivery->recipient);
    }
    if (code == MAIL_OK) {
        code = buffer_append(out, MAIL_SPAN("reply "));
    }
    return code == MAIL_OK
               ? put_rest(out, mail_span_of(
                                   reply, mail_reply_print(&delivery->reply, reply, sizeof(reply))))
               : code;
}

bool control_outcome_parse(mail_span rest, mail_delivery *out)
{
    mail_span word;

    *out = (mail_delivery){.kind = MAIL_OUTCOME_ACCEPTED};
    if (!control_word(&rest, &word)) {
        return false;
    }
    while (!mail_span_equal(word, mail_span_text(mail_outcome_kind_name(out->kind)))) {
        if (out->kind == MAIL_OUTCOME_AMBIGUOUS) {
            return false;
        }
        out->kind++;
    }
    out->recipient = tail_of(rest);
    return true;
}

int control_item_print(const mail_queue_item *item, buffer *out)
{
    int code = buffer_printf(out, "message %s %s %" PRId64 " %" PRIu64 " ", item->id,
                             states[item->state], item->arrival, item->size);

    if (code == MAIL_OK) {
        code = put_rest(out, item->sender);
    }
    for (size_t i = 0; i < item->recipient_count && code == MAIL_OK; i++) {
        code = print_recipient(&item->recipients[i], out);
    }
    return code;
}

static bool next_line(mail_span *lines, mail_span *line)
{
    const char *lf = lines->length > 0 ? memchr(lines->data, '\n', lines->length) : NULL;

    if (lf == NULL) {
        return false;
    }
    *line = mail_span_first(*lines, (size_t)(lf - lines->data));
    *lines = mail_span_from(*lines, line->length + 1);
    return true;
}

static bool parse_state(mail_span word, mail_queue_state *out)
{
    for (size_t i = 0; i < MAIL_COUNT(states); i++) {
        if (mail_span_equal(word, mail_span_text(states[i]))) {
            *out = (mail_queue_state)i;
            return true;
        }
    }
    return false;
}

static bool parse_message(mail_span rest, mail_queue_item *item, char *id)
{
    mail_span word;

    if (!control_word(&rest, &word) || !keep(word, id, MAIL_QUEUE_ID_SIZE) ||
        !control_word(&rest, &word) || !parse_state(word, &item->state) ||
        !control_signed(&rest, &item->arrival) || !control_number(&rest, &item->size)) {
        return false;
    }
    item->id = id;
    item->sender = tail_of(rest);
    return true;
}

static bool parse_recipient(mail_span rest, mail_queue_recipient *row)
{
    uint64_t attempts;
    mail_span word;

    *row = (mail_queue_recipient){.attempts = 0};
    if (!control_word(&rest, &word) || !control_number(&rest, &attempts) || attempts > UINT32_MAX ||
        !control_signed(&rest, &row->next_try)) {
        return false;
    }
    row->done = mail_span_equal(word, MAIL_SPAN("done"));
    row->held = mail_span_equal(word, MAIL_SPAN("held"));
    row->attempts = (unsigned)attempts;
    row->address = tail_of(rest);
    return true;
}

/* Each line in turn; `rows` has place for all that there can be. */
static bool parse_lines(mail_span lines, mail_queue_item *item, char *id,
                        mail_queue_recipient *rows)
{
    mail_span line;
    mail_span word;

    while (next_line(&lines, &line)) {
        bool is_read = true;

        if (!control_word(&line, &word)) {
            return false;
        }
        if (mail_span_equal(word, MAIL_SPAN("message"))) {
            is_read = item->id == NULL && parse_message(line, item, id);
        } else if (mail_span_equal(word, MAIL_SPAN("to"))) {
            is_read = parse_recipient(line, &rows[item->recipient_count++]);
        } else if (mail_span_equal(word, MAIL_SPAN("reply"))) {
            is_read = item->recipient_count > 0;
            if (is_read) {
                rows[item->recipient_count - 1].last_reply = tail_of(line);
            }
        }
        if (!is_read) {
            return false;
        }
    }
    return item->id != NULL;
}

int control_item_parse(mail_span lines, const mail_mem *mem,
                       bool (*fn)(const mail_queue_item *item, void *arg), void *arg, bool *go_on)
{
    mail_queue_item item = {.id = NULL};
    char id[MAIL_QUEUE_ID_SIZE];
    mail_queue_recipient *rows;
    size_t count = 1;
    int code = MAIL_EPROTO;

    for (size_t i = 0; i < lines.length; i++) {
        count += lines.data[i] == '\n' ? 1 : 0;
    }
    rows = mem_alloc(mem, count * sizeof(*rows));
    if (rows == NULL) {
        return MAIL_ENOMEM;
    }
    if (parse_lines(lines, &item, id, rows)) {
        item.recipients = rows;
        *go_on = fn(&item, arg);
        code = MAIL_OK;
    }
    mem_free(mem, rows, count * sizeof(*rows));
    return code;
}

static const struct stat_name {
    const char *name;
    size_t offset;
} stat_names[] = {
    {"messages", offsetof(mail_queue_stats, messages)},
    {"recipients", offsetof(mail_queue_stats, recipients)},
    {"held", offsetof(mail_queue_stats, held)},
    {"leased", offsetof(mail_queue_stats, leased)},
    {"accepted", offsetof(mail_queue_stats, accepted)},
    {"done", offsetof(mail_queue_stats, done)},
    {"retried", offsetof(mail_queue_stats, retried)},
    {"removed", offsetof(mail_queue_stats, removed)},
    {"syncs", offsetof(mail_queue_stats, syncs)},
    {"bytes_written", offsetof(mail_queue_stats, bytes_written)},
    {"segments_live", offsetof(mail_queue_stats, segments_live)},
    {"segments_free", offsetof(mail_queue_stats, segments_free)},
    {"log_bytes_live", offsetof(mail_queue_stats, log_bytes_live)},
    {"damaged", offsetof(mail_queue_stats, damaged)},
    {"dropped", offsetof(mail_queue_stats, dropped)},
};

const char *mail_queue_stats_name(size_t index)
{
    return index < MAIL_COUNT(stat_names) ? stat_names[index].name : NULL;
}

uint64_t mail_queue_stats_value(const mail_queue_stats *stats, size_t index)
{
    uint64_t value;

    memcpy(&value, (const char *)stats + stat_names[index].offset, sizeof(value));
    return value;
}

int control_stats_print(const mail_queue_stats *stats, buffer *out)
{
    int code = MAIL_OK;

    for (size_t i = 0; i < MAIL_COUNT(stat_names) && code == MAIL_OK; i++) {
        code = buffer_printf(out, "stat %s %" PRIu64 "\n", stat_names[i].name,
                             mail_queue_stats_value(stats, i));
    }
    return code;
}

void control_stats_parse(mail_span rest, mail_queue_stats *stats)
{
    mail_span name;
    uint64_t value;

    if (!control_word(&rest, &name) || !control_number(&rest, &value)) {
        return;
    }
    for (size_t i = 0; i < MAIL_COUNT(stat_names); i++) {
        if (mail_span_equal(name, mail_span_text(stat_names[i].name))) {
            memcpy((char *)stats + stat_names[i].offset, &value, sizeof(value));
        }
    }
}
