/* SPDX-License-Identifier: MIT */
#include "mta/operator.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "mta/drop.h"

/* How long the owner may say nothing: it may have to read much from a slow disk. */
#define PATIENCE_SECONDS 60

int operator_connect(const char *dir)
{
    const struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int length = snprintf(to.sun_path, sizeof(to.sun_path), "%s/" DROP_CONTROL, dir);
    int fd;

    if (length < 0 || (size_t)length >= sizeof(to.sun_path)) {
        return -1;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

void operator_disconnect(mail_operator *op)
{
    if (op->fd >= 0) {
        close(op->fd);
    }
    op->fd = -1;
}

static int code_of_errno(void)
{
    return errno == EAGAIN ? MAIL_ETIMEDOUT : mail_error_from_errno(errno);
}

static int send_all(int fd, mail_span bytes)
{
    while (bytes.length > 0) {
        ssize_t n = send(fd, bytes.data, bytes.length, MSG_NOSIGNAL);

        if (n < 0 && errno != EINTR) {
            return code_of_errno();
        }
        bytes = mail_span_from(bytes, n > 0 ? (size_t)n : 0);
    }
    return MAIL_OK;
}

/* Reads more behind what is there. The end is never due: the last line of a reply comes first. */
static int read_more(mail_operator *op)
{
    size_t room = buffer_room(&op->in);
    char *to = room > 0 ? buffer_space(&op->in, room) : NULL;
    ssize_t n;

    if (to == NULL) {
        return room > 0 ? MAIL_ENOMEM : MAIL_EPROTO;
    }
    do {
        n = recv(op->fd, to, room, 0);
    } while (n < 0 && errno == EINTR);
    if (n <= 0) {
        return n == 0 ? MAIL_ECONN : code_of_errno();
    }
    buffer_added(&op->in, (size_t)n);
    return MAIL_OK;
}

/* Lends a line, its LF included, until it is consumed. */
static int next_line(mail_operator *op, mail_span *line)
{
    for (;;) {
        mail_span held = buffer_bytes(&op->in);
        const char *lf = held.length > 0 ? memchr(held.data, '\n', held.length) : NULL;
        int code;

        if (lf != NULL) {
            *line = mail_span_first(held, (size_t)(lf - held.data) + 1);
            return MAIL_OK;
        }
        code = read_more(op);
        if (code != MAIL_OK) {
            return code;
        }
    }
}

int operator_put(mail_sink *out, mail_span bytes)
{
    while (bytes.length > 0) {
        size_t room = mail_sink_room(out);
        mail_span part = mail_span_first(bytes, bytes.length < room ? bytes.length : room);
        int code = room > 0 ? mail_sink_write(out, part) : MAIL_ELIMIT;

        if (code != MAIL_OK) {
            return code;
        }
        bytes = mail_span_from(bytes, part.length);
    }
    return MAIL_OK;
}

/* What a reply's lines mean to whoever asked. */
typedef struct hearing {
    bool (*fn)(const mail_queue_item *item, void *arg);
    void *arg;
    bool go_on;
    mail_queue_stats *stats;
    mail_sink *out;
} hearing;

/* All lines of a message are there. */
static int end_item(mail_operator *op, hearing *hr)
{
    mail_span lines = buffer_bytes(&op->block);
    int code = MAIL_OK;

    if (lines.length > 0 && hr->go_on && hr->fn != NULL) {
        code = control_item_parse(lines, op->mem, hr->fn, hr->arg, &hr->go_on);
    }
    buffer_clear(&op->block, OPERATOR_IN_MAX);
    return code;
}

/* The octets that stand behind a line `data`. */
static int take_data(mail_operator *op, uint64_t left, mail_sink *out)
{
    while (left > 0) {
        mail_span held = buffer_bytes(&op->in);
        int code;

        if (held.length == 0) {
            code = read_more(op);
        } else {
            held.length = held.length < left ? held.length : (size_t)left;
            code = operator_put(out, held);
            buffer_consume(&op->in, held.length);
            left -= held.length;
        }
        if (code != MAIL_OK) {
            return code;
        }
    }
    return MAIL_OK;
}

static int64_t end_reply(mail_span rest, bool is_good, mail_error *err)
{
    int64_t value;

    if (!control_signed(&rest, &value) || (value >= 0) != is_good || value < INT32_MIN) {
        return MAIL_EPROTO;
    }
    if (!is_good) {
        mail_error_set(err, (int)value, "the owner says:%.*s",
                       (int)(rest.length < 200 ? rest.length : 200), rest.data);
    }
    return value;
}

static bool is_word(mail_span word, const char *text)
{
    return mail_span_equal(word, mail_span_text(text));
}

/* Looks at one line; `*is_over`: it is the last, and this is what it says. */
static int64_t see_line(mail_operator *op, mail_span word, mail_span rest, hearing *hr,
                        bool *is_over, mail_error *err)
{
    int code = MAIL_OK;

    *is_over = is_word(word, "ok") || is_word(word, "error");
    if (*is_over || is_word(word, "message")) {
        code = end_item(op, hr);
    }
    if (*is_over && code == MAIL_OK) {
        return end_reply(rest, is_word(word, "ok"), err);
    }
    if (is_word(word, "stat") && hr->stats != NULL) {
        control_stats_parse(rest, hr->stats);
    }
    return code;
}

/* Takes a line, and what comes behind it. */
static int64_t take_line(mail_operator *op, mail_span line, hearing *hr, bool *is_over,
                         mail_error *err)
{
    mail_span rest = mail_span_first(line, line.length - 1);
    mail_span word = {NULL, 0};
    uint64_t length;
    int64_t code;

    (void)control_word(&rest, &word);
    if (is_word(word, "data")) {
        bool is_good = hr->out != NULL && control_number(&rest, &length);

        buffer_consume(&op->in, line.length);
        return is_good ? take_data(op, length, hr->out) : MAIL_EPROTO;
    }
    code = see_line(op, word, rest, hr, is_over, err);
    if (code == MAIL_OK &&
        (is_word(word, "message") || is_word(word, "to") || is_word(word, "reply"))) {
        code = buffer_append(&op->block, line);
    }
    buffer_consume(&op->in, line.length);
    return code;
}

static int64_t hear(mail_operator *op, hearing *hr, mail_error *err)
{
    bool is_over = false;
    int64_t code = MAIL_OK;

    while (!is_over && code == MAIL_OK && hr->go_on) {
        mail_span line;

        code = next_line(op, &line);
        if (code == MAIL_OK) {
            code = take_line(op, line, hr, &is_over, err);
        }
    }
    return code;
}

/* One request and its reply. After a failure, or when no more is wanted, the rest can't be heard. */
static int64_t ask(mail_operator *op, control_verb verb, const mail_queue_selector *which,
                   hearing *hr, mail_error *err)
{
    mail_error said = {0};
    buffer line;
    int64_t code;

    hr->go_on = true;
    buffer_init(&line, op->mem, CONTROL_LINE_MAX);
    code = op->fd >= 0 ? control_request_print(verb, which, &line) : MAIL_ECONN;
    if (code == MAIL_OK) {
        code = send_all(op->fd, buffer_bytes(&line));
    }
    buffer_deinit(&line);
    if (code == MAIL_OK) {
        code = hear(op, hr, &said);
    }
    if (code < 0 && said.code == MAIL_OK) {
        mail_error_set(err, (int)code, "the spool's owner: %s", mail_strerror((int)code));
    } else if (code < 0) {
        mail_error_set(err, (int)code, "%s", said.text);
    }
    return code;
}

/* As many requests as the ids need; the sum of what was said. */
static int64_t ask_in_turn(mail_operator *op, control_verb verb, const mail_queue_selector *which,
                           hearing *hr, mail_error *err)
{
    mail_queue_selector part = *which;
    size_t at = 0;
    int64_t sum = 0;
    int64_t code;

    if (which->page != NULL) { /* the owner serves in parts of its own */
        which->page->is_last = true;
        part.page = NULL;
    }
    if (which->id_count == 0 && which->domain.length == 0 && which->sender.length == 0 &&
        !which->all) {
        return 0;
    }
    do {
        size_t left = which->id_count - at;

        part.ids = which->id_count > 0 ? which->ids + at : NULL;
        part.id_count = left < CONTROL_IDS_MAX ? left : CONTROL_IDS_MAX;
        code = ask(op, verb, &part, hr, err);
        if (code < 0) {
            return code;
        }
        sum += code;
        at += part.id_count;
    } while (at < which->id_count && hr->go_on);
    return sum;
}

int operator_ask_list(mail_operator *op, const mail_queue_selector *which,
                      bool (*fn)(const mail_queue_item *item, void *arg), void *arg,
                      mail_error *err)
{
    hearing hr = {.fn = fn, .arg = arg};
    int64_t code = ask_in_turn(op, CONTROL_LIST, which, &hr, err);

    if (!hr.go_on) {
        operator_disconnect(op); /* the rest of the reply is still under way */
    }
    return code < 0 ? (int)code : MAIL_OK;
}

int64_t operator_ask_change(mail_operator *op, control_verb verb, const mail_queue_selector *which,
                            mail_error *err)
{
    hearing hr = {.fn = NULL};

    return ask_in_turn(op, verb, which, &hr, err);
}

int operator_ask_body(mail_operator *op, const char *id, mail_sink *out, mail_error *err)
{
    const mail_queue_selector which = {.ids = &id, .id_count = 1};
    hearing hr = {.out = out};
    int64_t code = ask(op, CONTROL_BODY, &which, &hr, err);

    return code < 0 ? (int)code : MAIL_OK;
}

int operator_ask_stats(mail_operator *op, mail_queue_stats *out, mail_error *err)
{
    const mail_queue_selector none = {.all = false};
    hearing hr = {.stats = out};
    int64_t code;

    *out = (mail_queue_stats){0};
    code = ask(op, CONTROL_STATS, &none, &hr, err);
    return code < 0 ? (int)code : MAIL_OK;
}

/* The owner may say nothing for so long. */
static int be_patient(const mail_operator *op, mail_duration left)
{
    /* Zero would be for ever. */
    mail_duration least = left > MAIL_MILLISECOND ? left : MAIL_MILLISECOND;
    const struct timeval patience = {
        .tv_sec = (time_t)(least / MAIL_SECOND),
        .tv_usec = (suseconds_t)(least % MAIL_SECOND / 1000),
    };

    setsockopt(op->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    return left > 0 ? MAIL_OK : MAIL_ETIMEDOUT;
}

/* What is heard of a message that is awaited. */
typedef struct vigil {
    mail_delivery_fn *fn;
    void *arg;
    bool has_begun; /* the owner has heard us */
    bool is_over;
    char outcome[CONTROL_LINE_MAX]; /* of the recipient whose reply comes next */
    size_t length;                  /* 0: none */
} vigil;

static int keep_outcome(vigil *vg, mail_span rest)
{
    if (rest.length > sizeof(vg->outcome)) {
        return MAIL_EPROTO;
    }
    memcpy(vg->outcome, rest.data, rest.length);
    vg->length = rest.length;
    return MAIL_OK;
}

static int tell_outcome(vigil *vg, mail_span rest)
{
    mail_delivery delivery;

    if (!control_outcome_parse(mail_span_of(vg->outcome, vg->length), &delivery) ||
        mail_reply_parse(mail_span_from(rest, 1), &delivery.reply) != MAIL_OK) {
        return MAIL_EPROTO;
    }
    vg->length = 0;
    vg->fn(&delivery, vg->arg);
    return MAIL_OK;
}

static int hear_line(vigil *vg, mail_span line, mail_error *err)
{
    mail_span rest = mail_span_first(line, line.length - 1);
    mail_span word = {NULL, 0};

    (void)control_word(&rest, &word);
    if (is_word(word, "awaiting")) {
        vg->has_begun = true;
    } else if (is_word(word, "outcome") && vg->fn != NULL) {
        return rest.length > 0 ? keep_outcome(vg, rest) : MAIL_EPROTO;
    } else if (is_word(word, "reply") && vg->length > 0) {
        return rest.length > 0 ? tell_outcome(vg, rest) : MAIL_EPROTO;
    } else if (is_word(word, "ok") || is_word(word, "error")) {
        int64_t code = end_reply(rest, is_word(word, "ok"), err);

        vg->is_over = true;
        return code < 0 ? (int)code : MAIL_OK;
    }
    return MAIL_OK;
}

/* Up to the end, or until the owner has said that it waits with us. */
static int keep_vigil(mail_operator *op, vigil *vg, mail_duration patience, mail_error *err)
{
    mail_time until = clock_monotonic() + patience;
    bool had_begun = vg->has_begun;
    int code = MAIL_OK;

    while (code == MAIL_OK && !vg->is_over && vg->has_begun == had_begun) {
        mail_span line;

        code = be_patient(op, until - clock_monotonic());
        if (code == MAIL_OK) {
            code = next_line(op, &line);
        }
        if (code == MAIL_OK) {
            code = hear_line(vg, line, err);
            buffer_consume(&op->in, line.length);
        }
    }
    return code;
}

static int ask_to_wait(mail_operator *op, const char *file, mail_error *err)
{
    const mail_queue_selector which = {.ids = &file, .id_count = 1};
    vigil vg = {.fn = NULL};
    buffer line;
    int code;

    buffer_init(&line, op->mem, CONTROL_LINE_MAX);
    code = control_request_print(CONTROL_AWAIT, &which, &line);
    if (code == MAIL_OK) {
        code = send_all(op->fd, buffer_bytes(&line));
    }
    buffer_deinit(&line);
    if (code == MAIL_OK) {
        code = keep_vigil(op, &vg, PATIENCE_SECONDS * MAIL_SECOND, err);
    }
    if (code == MAIL_ECONN) {
        return MAIL_ENOENT; /* it hears its own user alone */
    }
    return code == MAIL_OK && !vg.has_begun ? MAIL_EPROTO : code;
}

int mail_operator_await(mail_operator **out, const char *dir, const char *file, const mail_mem *mem,
                        mail_error *err)
{
    mail_operator *op = mem_alloc(mem, sizeof(*op));
    int code;

    if (op == NULL) {
        return mail_error_set(err, MAIL_ENOMEM, "%s", mail_strerror(MAIL_ENOMEM));
    }
    op->mem = mem;
    op->fd = operator_connect(dir);
    buffer_init(&op->in, mem, OPERATOR_IN_MAX);
    buffer_init(&op->block, mem, 1);
    code = op->fd >= 0 ? ask_to_wait(op, file, err) : MAIL_ENOENT;
    if (code != MAIL_OK) {
        mail_operator_close(op);
        return mail_error_set(err, code, "%.180s: the owner can't be asked to wait: %s", dir,
                              mail_strerror(code));
    }
    *out = op;
    return MAIL_OK;
}

int mail_operator_outcomes(mail_operator *op, mail_duration patience, mail_delivery_fn *fn,
                           void *arg, mail_error *err)
{
    vigil vg = {.fn = fn, .arg = arg, .has_begun = true};
    int code = keep_vigil(op, &vg, patience, err);

    return code == MAIL_OK || vg.is_over
               ? code
               : mail_error_set(err, code, "the spool's owner: %s", mail_strerror(code));
}
