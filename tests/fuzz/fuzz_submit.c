/* SPDX-License-Identifier: MIT */
/*
 * A user's message, its header completed or not (the first octet says), into a sink that has as
 * much room as the second octet says. However it comes, in pieces or whole, the same must
 * come of it; and what was completed must be found good as it is, with nothing behind its end
 * that could be read as one more field, and must name no author but the user to a reader that
 * knows nothing but quotes, comments and what is round an @.
 */
#include <stdlib.h>

#include "mta/submit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

/* A sink that is full after each write until it is emptied. */
typedef struct tight {
    mail_sink sink;
    mail_sink_memory kept;
    size_t room;
    bool is_full;
    unsigned finished, aborted;
} tight;

static size_t tight_room(mail_sink *sink)
{
    const tight *t = (tight *)sink;

    return t->is_full ? 0 : t->room;
}

static int tight_write(mail_sink *sink, mail_span bytes)
{
    tight *t = (tight *)sink;

    require(bytes.length > 0 && bytes.length <= tight_room(sink));
    t->is_full = true;
    return mail_sink_write(&t->kept.sink, bytes);
}

static int tight_finish(mail_sink *sink, mail_finish_fn *fn, void *arg)
{
    (void)fn;
    (void)arg;
    ((tight *)sink)->finished++;
    return MAIL_OK;
}

static void tight_abort(mail_sink *sink)
{
    ((tight *)sink)->aborted++;
}

static void empty(tight *t)
{
    if (t->is_full) {
        t->is_full = false;
        t->sink.on_room(t->sink.on_room_arg);
    }
}

static void on_finished(int code, void *arg)
{
    *(int *)arg = code;
}

static mail_wall at_noon(void *arg)
{
    (void)arg;
    return 1700000000;
}

/* As much of a relay's front as this needs. */
static mail_receive *front(void)
{
    static const mail_span domain = {"example.org", 11};
    static char name[] = "example.org";
    static mail_receive rcv;

    if (rcv.accounts == NULL) {
        rcv.hostname = name;
        rcv.default_domain = name;
        rcv.opts.wall = at_noon;
        require(domain_set_init(&rcv.local, &domain, 1, NULL) == MAIL_OK);
        require(mail_accounts_parse(&rcv.accounts, MAIL_SPAN("anna@example.org:*\nbob:*\n"), "",
                                    NULL, NULL) == MAIL_OK);
    }
    return &rcv;
}

/* The same message comes out with another Message-ID or Resent-Message-ID, and what is behind it is not compared. */
static bool equal_but_for_the_id(mail_span a, mail_span b)
{
    const char *mark = "Message-ID: <";
    const char *in_a = a.length > 0 ? memmem(a.data, a.length, mark, strlen(mark)) : NULL;
    size_t n = in_a != NULL ? (size_t)(in_a - a.data) : a.length;

    return a.length == b.length && (n == 0 || memcmp(a.data, b.data, n) == 0);
}

/* What a message leads to: a code and, for MAIL_OK, `t->kept`. */
static int submit_all(tight *t, mail_span text, size_t piece, size_t room, bool completes)
{
    static const mail_sink_ops ops = {tight_room, tight_write, tight_finish, tight_abort};
    submit *sb = submit_create(front());
    int code = MAIL_OK;
    int later = MAIL_EAGAIN;

    require(sb != NULL);
    *t = (tight){.sink = {.ops = &ops}, .room = room};
    mail_sink_memory_init(&t->kept, NULL, SIZE_MAX / 2);
    submit_begin(sb, &t->sink, MAIL_SPAN("anna@example.org"), MAIL_SPAN("anna@example.org"),
                 completes);
    while (code == MAIL_OK && text.length > 0) {
        size_t n = mail_sink_room(&sb->sink);

        n = n < piece ? n : piece;
        n = n < text.length ? n : text.length;
        if (n == 0) {
            require(t->is_full);
            empty(t);
            continue;
        }
        code = mail_sink_write(&sb->sink, mail_span_first(text, n));
        text = mail_span_from(text, n);
    }
    if (code != MAIL_OK) {
        mail_sink_abort(&sb->sink);
    } else {
        code = mail_sink_finish(&sb->sink, on_finished, &later);
        while (code == MAIL_EAGAIN && later == MAIL_EAGAIN) {
            require(t->is_full);
            empty(t);
        }
        code = code == MAIL_EAGAIN ? later : code;
    }
    require(t->finished == (code == MAIL_OK) && t->aborted == (code != MAIL_OK));
    require(code == MAIL_OK || submit_refusal(sb) != NULL);
    submit_destroy(sb);
    return code;
}

static bool is_author(mail_span field)
{
    static const char *const names[] = {"From", "Sender", "Resent-From", "Resent-Sender"};

    for (size_t i = 0; i < MAIL_COUNT(names); i++) {
        if (mail_span_equal_nocase(field, mail_span_text(names[i]))) {
            return true;
        }
    }
    return false;
}

/* Past the quoted text or comment that begins at `at`. */
static size_t skip(mail_span value, size_t at)
{
    bool quoted = value.data[at] == '"';
    size_t depth = 1;

    while (depth > 0) {
        at++;
        require(at < value.length);
        switch (value.data[at]) {
        case '\\':
            at++;
            require(at < value.length && value.data[at] != '\r');
            break;
        case '"':
            depth -= quoted ? 1 : 0;
            break;
        case '(':
            depth += quoted ? 0 : 1;
            break;
        case ')':
            depth -= quoted ? 0 : 1;
            break;
        }
    }
    return at + 1;
}

/* Whether it ends a word for somebody. */
static bool is_end(char c)
{
    return strchr(" \t\r\n<>,;:()\"", c) != NULL;
}

static bool is_ascii(mail_span text)
{
    for (size_t i = 0; i < text.length; i++) {
        if ((text.data[i] & 0x80) != 0) {
            return false;
        }
    }
    return true;
}

/* What is round each @ outside of quotes is the user's, which may have been spelled in UTF-8. */
static void check_author(mail_span value)
{
    size_t from = 0; /* of the present word */
    size_t at = 0;

    while (at < value.length) {
        char c = value.data[at];

        require(c != ':' && c != '\0');
        if (c == '"' || c == '(') {
            at = skip(value, at);
            from = at;
        } else if (c == '@') {
            mail_span local = mail_span_of(value.data + from, at - from);
            mail_span domain;
            size_t end = at + 1;

            while (end < value.length && !is_end(value.data[end])) {
                end++;
            }
            domain = mail_span_of(value.data + at + 1, end - at - 1);
            require((local.length == 0 && from > 0 && value.data[from - 1] == '"') ||
                    mail_span_equal_nocase(local, MAIL_SPAN("anna")));
            require(!is_ascii(domain) || mail_span_equal_nocase(domain, MAIL_SPAN("example.org")));
            at = end;
            from = end;
        } else {
            at++;
            from = is_end(c) ? at : from;
        }
    }
}

/* Of a line of the header: it ends with CRLF or is the last. */
static size_t line_length(mail_span text)
{
    const char *cr = memchr(text.data, '\r', text.length);
    const char *lf = memchr(text.data, '\n', text.length);

    require(cr == NULL ? lf == NULL : lf == cr + 1);
    return cr != NULL ? (size_t)(lf - text.data) + 1 : text.length;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Lines up to the first empty one: all are fields or go on with one, whoever reads them. */
static void check_authors(mail_span text)
{
    while (text.length > 0 && text.data[0] != '\r') {
        size_t n = line_length(text);
        const char *colon = memchr(text.data, ':', n);
        size_t name;

        require(colon != NULL);
        while (n < text.length && is_blank(text.data[n])) {
            n += line_length(mail_span_from(text, n));
        }
        name = (size_t)(colon - text.data);
        while (name > 0 && is_blank(text.data[name - 1])) {
            name--;
        }
        if (is_author(mail_span_first(text, name))) {
            check_author(mail_span_of(colon + 1, (size_t)(text.data + n - colon - 1)));
        }
        text = mail_span_from(text, n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool completes;
    size_t room;
    mail_span text;
    tight whole, pieces, again;
    int code;

    if (size < 2 || size > 20000) {
        return 0;
    }
    completes = (data[0] & 1) != 0;
    room = data[1] + 1U;
    text = mail_span_of((const char *)data + 2, size - 2);
    code = submit_all(&whole, text, SIZE_MAX, 65536, completes);
    require(submit_all(&pieces, text, 1 + data[0] / 2, room, completes) == code);
    if (code == MAIL_OK) {
        mail_span out = mail_sink_memory_bytes(&whole.kept);

        require(equal_but_for_the_id(out, mail_sink_memory_bytes(&pieces.kept)));
        require(completes || mail_span_equal(out, text));
        check_authors(out);
        require(submit_all(&again, out, SIZE_MAX, 65536, false) == MAIL_OK);
        require(mail_span_equal(out, mail_sink_memory_bytes(&again.kept)));
        mail_sink_memory_deinit(&again.kept);
    }
    mail_sink_memory_deinit(&whole.kept);
    mail_sink_memory_deinit(&pieces.kept);
    return 0;
}
