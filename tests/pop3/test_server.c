/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <errno.h>

#include <mail/pop3_server.h>

#include "base/random.h"
#include "support/transcript.h"

#define MAX_MESSAGES 16

/* A source that gives a few octets at a time and, at `fail_at`, fails. */
typedef struct piece_source {
    mail_source source;
    mail_span rest;
    size_t piece;
    size_t given;
    size_t fail_at;
} piece_source;

static int piece_peek(mail_source *source, mail_span *out)
{
    piece_source *src = (piece_source *)source;

    if (src->given >= src->fail_at) {
        return MAIL_EIO;
    }
    *out =
        mail_span_first(src->rest, src->rest.length < src->piece ? src->rest.length : src->piece);
    return MAIL_OK;
}

static void piece_drop(mail_source *source, size_t n)
{
    piece_source *src = (piece_source *)source;

    src->rest = mail_span_from(src->rest, n);
    src->given += n;
}

static void piece_close(mail_source *source)
{
    (void)source;
}

static void piece_source_init(piece_source *src, mail_span bytes, size_t piece)
{
    static const mail_source_ops ops = {piece_peek, piece_drop, piece_close};

    *src =
        (piece_source){.source = {.ops = &ops}, .rest = bytes, .piece = piece, .fail_at = SIZE_MAX};
}

/* The engine with a maildrop behind it, as the options of a transcript describe it. */
typedef struct fixture {
    mail_pop3_server *srv;
    mail_maildrop_message messages[MAX_MESSAGES];
    char *ids[MAX_MESSAGES];
    char *texts[MAX_MESSAGES];
    size_t count;
    piece_source source;
    mail_pop3_event question; /* its spans are not kept */
} fixture;

/* `message ID TEXT`, in which | is a CRLF. */
static void add_message(fixture *fx, const char *text)
{
    const char *space = strchr(text, ' ');
    size_t length = 0;
    size_t i = fx->count++;

    assert_non_null(space);
    assert_true(i < MAX_MESSAGES);
    fx->ids[i] = strndup(text, (size_t)(space - text));
    fx->texts[i] = malloc(2 * strlen(space) + 1);
    assert_true(fx->ids[i] != NULL && fx->texts[i] != NULL);
    for (const char *c = space + 1; *c != '\0'; c++) {
        if (*c == '|') {
            fx->texts[i][length++] = '\r';
        }
        fx->texts[i][length++] = *c == '|' ? '\n' : *c;
    }
    fx->texts[i][length] = '\0';
    fx->messages[i] = (mail_maildrop_message){length, fx->ids[i]};
}

static const char *behind(const char *text, const char *prefix)
{
    size_t length = strlen(prefix);

    return strncmp(text, prefix, length) == 0 ? text + length : NULL;
}

static void read_option(fixture *fx, const char *text, mail_pop3_server_options *opts)
{
    const char *rest;

    if ((rest = behind(text, "message ")) != NULL) {
        add_message(fx, rest);
    } else if ((rest = behind(text, "auth ")) != NULL) {
        mail_sasl_mechanism mechanism = mail_sasl_mechanism_parse(mail_span_text(rest));

        assert_int_not_equal(mechanism, MAIL_SASL_NONE);
        opts->auth_mechanisms |= 1U << mechanism;
    } else if (strcmp(text, "private only") == 0) {
        opts->auth_in_clear = false;
    } else if (strcmp(text, "apop") == 0) {
        opts->apop = true;
    } else if (strcmp(text, "utf8") == 0) {
        opts->utf8 = true;
    } else if (strcmp(text, "stls") == 0) {
        opts->stls = true;
    } else if (strcmp(text, "implicit tls") == 0) {
        opts->implicit_tls = true;
    } else if (sscanf(text, "max errors %u", &opts->max_errors) != 1) {
        fail_msg("no such option: %s", text);
    }
}

static void destroy(void *engine)
{
    fixture *fx = engine;

    if (fx == NULL) {
        return;
    }
    mail_pop3_server_destroy(fx->srv);
    for (size_t i = 0; i < fx->count; i++) {
        free(fx->ids[i]);
        free(fx->texts[i]);
    }
    free(fx);
}

/* So that nonces and timestamps can stand in a transcript. */
static void fill_with_ones(void *arg, void *to, size_t size)
{
    (void)arg;
    memset(to, 1, size);
}

static void *create(const char *const *options, size_t count, const mail_mem *mem, mail_time now)
{
    static const mail_random random = {.fill = fill_with_ones};
    mail_pop3_server_options opts = MAIL_POP3_SERVER_OPTIONS_INIT;
    fixture *fx = calloc(1, sizeof(*fx));

    assert_non_null(fx);
    opts.mem = mem;
    opts.random = &random;
    opts.hostname = MAIL_SPAN("pop.example");
    opts.auth_in_clear = true;
    for (size_t i = 0; i < count; i++) {
        read_option(fx, options[i], &opts);
    }
    if (mail_pop3_server_create(&fx->srv, &opts, now) != MAIL_OK) {
        destroy(fx);
        return NULL;
    }
    return fx;
}

static int print_part(char *to, size_t size, const char *name, mail_span part)
{
    if (part.length > 200) {
        return snprintf(to, size, " %s%zu octets", name, part.length);
    }
    return part.length > 0 ? snprintf(to, size, " %s%.*s", name, (int)part.length, part.data) : 0;
}

static void print_auth(const mail_sasl_question *auth, char *to, size_t size)
{
    int n = snprintf(to, size, " %s", mail_sasl_mechanism_name(auth->mechanism));

    n += print_part(to + n, size - (size_t)n, "user=", auth->user);
    n += print_part(to + n, size - (size_t)n, "authzid=", auth->authzid);
    n += print_part(to + n, size - (size_t)n, "password=", auth->password);
    print_part(to + n, size - (size_t)n, "token=", auth->token);
}

static void print_marks(const fixture *fx, const uint8_t *marks, char *to, size_t size)
{
    int n = 0;

    for (size_t i = 0; marks != NULL && i < fx->count; i++) {
        if (mail_mark_is_set(marks, i)) {
            n += snprintf(to + n, size - (size_t)n, " %zu", i);
        }
    }
}

static void print_event(fixture *fx, const mail_pop3_event *pop3, transcript_event *ev)
{
    int n = snprintf(ev->text, sizeof(ev->text), "%s", mail_pop3_event_name(pop3->type));
    char *rest = ev->text + n;
    size_t size = sizeof(ev->text) - (size_t)n;

    switch (pop3->type) {
    case MAIL_POP3_EV_NONE:
        ev->text[0] = '\0';
        return;
    case MAIL_POP3_EV_AUTH:
        print_auth(pop3->auth, rest, size);
        break;
    case MAIL_POP3_EV_LOGIN:
        print_part(rest, size, "", pop3->user);
        break;
    case MAIL_POP3_EV_MESSAGE:
        n = snprintf(rest, size, " %zu%s", pop3->index, pop3->needs_ascii ? " in ASCII" : "");
        if (pop3->lines != MAIL_POP3_ALL_LINES) {
            snprintf(rest + n, size - (size_t)n, " lines %llu", (unsigned long long)pop3->lines);
        }
        break;
    case MAIL_POP3_EV_UPDATE:
        print_marks(fx, pop3->marks, rest, size);
        break;
    case MAIL_POP3_EV_DROPPED:
        return;
    case MAIL_POP3_EV_CONNECT:
    case MAIL_POP3_EV_DENY:
    case MAIL_POP3_EV_STLS:
    case MAIL_POP3_EV_CLOSE:
        break;
    }
    fx->question = *pop3;
    ev->is_last = pop3->type == MAIL_POP3_EV_CLOSE;
    ev->asks = !ev->is_last;
}

static int feed(void *engine, mail_time now, mail_span in, size_t *used, transcript_event *ev)
{
    fixture *fx = engine;
    mail_pop3_event pop3;
    int code;

    if ((mail_pop3_server_wants(fx->srv) & MAIL_POP3_WANTS_MESSAGE) != 0) {
        code = mail_pop3_server_send(fx->srv, now, &fx->source.source);
        if (code == MAIL_ENOMEM) {
            return code;
        }
    }
    code = mail_pop3_server_feed(fx->srv, now, in, used, &pop3);
    print_event(fx, &pop3, ev);
    return code;
}

static int eof(void *engine, mail_time now, transcript_event *ev)
{
    fixture *fx = engine;
    mail_pop3_event pop3;
    int code = mail_pop3_server_eof(fx->srv, &pop3);

    (void)now;
    print_event(fx, &pop3, ev);
    return code;
}

static int tick(void *engine, mail_time now, transcript_event *ev)
{
    fixture *fx = engine;
    mail_pop3_event pop3;
    int code = mail_pop3_server_tick(fx->srv, now, &pop3);

    print_event(fx, &pop3, ev);
    return code;
}

static int answer_auth(fixture *fx, mail_time now, mail_sasl_answer_kind kind, const char *password)
{
    mail_sasl_answer answer = {.kind = kind, .password = mail_span_text(password)};

    return mail_pop3_server_answer_auth(fx->srv, now, &answer);
}

static int say_yes(fixture *fx, mail_time now, size_t fail_at)
{
    int code;

    if (fx->question.type == MAIL_POP3_EV_LOGIN) {
        return mail_pop3_server_login(fx->srv, now, fx->messages, fx->count);
    }
    if (fx->question.type == MAIL_POP3_EV_AUTH) {
        return answer_auth(fx, now, MAIL_SASL_ACCEPT, "");
    }
    code = mail_pop3_server_accept(fx->srv, now);
    if (fx->question.type == MAIL_POP3_EV_MESSAGE && code == MAIL_OK) {
        piece_source_init(&fx->source, mail_span_text(fx->texts[fx->question.index]), 3);
        fx->source.fail_at = fail_at;
        code = mail_pop3_server_send(fx->srv, now, &fx->source.source);
        code = code == MAIL_ENOMEM ? MAIL_ENOMEM : MAIL_OK;
    }
    return code;
}

static int say_no(fixture *fx, mail_time now, mail_span text)
{
    char code[16];
    int n;

    assert_int_equal(sscanf(text.data, "no %15s %n", code, &n), 1);
    for (mail_pop3_code c = MAIL_POP3_NO_CODE; c <= MAIL_POP3_UTF8; c++) {
        if (strcmp(mail_pop3_code_name(c), code) == 0 ||
            (c == MAIL_POP3_NO_CODE && strcmp(code, "-") == 0)) {
            return mail_pop3_server_refuse(fx->srv, now, c, mail_span_from(text, (size_t)n));
        }
    }
    fail_msg("no such answer: %s", text.data);
    return MAIL_OK;
}

/* RFC 9266: as good as any that a TLS session would have. */
static int start_tls(fixture *fx, mail_time now, const char *identity)
{
    assert_true(mail_pop3_server_awaits_tls(fx->srv));
    return mail_pop3_server_tls_started(fx->srv, now, MAIL_SPAN("0123456789abcdef0123456789abcdef"),
                                        mail_span_text(identity));
}

/*
 * `no CODE TEXT` refuses; `fails after N` accepts with a source that breaks; `refuse` and `password P`
 * answer who a client is; `tls` and `tls NAME` say that the handshake is done.
 */
static int act(void *engine, mail_time now, mail_span text)
{
    fixture *fx = engine;
    const char *rest;
    size_t fail_at;

    if (text.length == 0) {
        return say_yes(fx, now, SIZE_MAX);
    }
    if (sscanf(text.data, "fails after %zu", &fail_at) == 1) {
        return say_yes(fx, now, fail_at);
    }
    if (strcmp(text.data, "shutdown") == 0 || strcmp(text.data, "shutdown now") == 0) {
        mail_pop3_server_shutdown(fx->srv, strlen(text.data) > 8);
        return MAIL_OK;
    }
    if (strcmp(text.data, "refuse") == 0) {
        return answer_auth(fx, now, MAIL_SASL_REFUSE, "");
    }
    if ((rest = behind(text.data, "password ")) != NULL) {
        return answer_auth(fx, now, MAIL_SASL_PASSWORD, rest);
    }
    if (strcmp(text.data, "tls") == 0 || (rest = behind(text.data, "tls ")) != NULL) {
        return start_tls(fx, now, strlen(text.data) > 3 ? rest : "");
    }
    return say_no(fx, now, text);
}

static mail_span out(void *engine)
{
    return mail_pop3_server_out(((fixture *)engine)->srv);
}

static void sent(void *engine, mail_time now, size_t n)
{
    mail_pop3_server_sent(((fixture *)engine)->srv, now, n);
}

static unsigned wants(void *engine)
{
    return mail_pop3_server_wants(((fixture *)engine)->srv);
}

static mail_time deadline(void *engine)
{
    return mail_pop3_server_deadline(((fixture *)engine)->srv);
}

static bool may_follow_loss(const char *text)
{
    return strncmp(text, "CLOSE", 5) == 0; /* PO-016: above all no UPDATE */
}

static void says_what_its_transcripts_say(void **state)
{
    static const transcript_engine engine = {
        .peer = 'C',
        .create = create,
        .destroy = destroy,
        .feed = feed,
        .eof = eof,
        .tick = tick,
        .act = act,
        .out = out,
        .sent = sent,
        .wants = wants,
        .deadline = deadline,
        .may_follow_loss = may_follow_loss,
    };

    (void)state;
    transcript_run_folder(&engine, mail_test_data("transcripts"));
}

/* Feeds `text`, answering with yes and `messages`, until the engine has nothing more to do. */
static void talk(mail_pop3_server *srv, const char *text, const mail_maildrop_message *messages,
                 size_t count)
{
    mail_span in = mail_span_text(text);
    mail_pop3_event ev;
    size_t used;

    do {
        assert_int_equal(mail_pop3_server_feed(srv, 0, in, &used, &ev), MAIL_OK);
        in = mail_span_from(in, used);
        if (ev.type == MAIL_POP3_EV_LOGIN) {
            assert_int_equal(mail_pop3_server_login(srv, 0, messages, count), MAIL_OK);
        } else if (ev.type == MAIL_POP3_EV_AUTH) {
            mail_sasl_answer yes = {.kind = MAIL_SASL_ACCEPT};

            assert_int_equal(mail_pop3_server_answer_auth(srv, 0, &yes), MAIL_OK);
        } else if (ev.type != MAIL_POP3_EV_NONE) {
            assert_int_equal(mail_pop3_server_accept(srv, 0), MAIL_OK);
        }
    } while (ev.type != MAIL_POP3_EV_NONE);
}

static mail_pop3_server *logged_in(size_t out_bytes, const mail_maildrop_message *messages,
                                   size_t count)
{
    mail_pop3_server_options opts = MAIL_POP3_SERVER_OPTIONS_INIT;
    mail_pop3_server *srv;

    opts.hostname = MAIL_SPAN("pop.example");
    opts.out_bytes = out_bytes;
    opts.auth_in_clear = true;
    assert_int_equal(mail_pop3_server_create(&srv, &opts, 0), MAIL_OK);
    talk(srv, "USER a\r\nPASS b\r\n", messages, count);
    mail_pop3_server_sent(srv, 0, mail_pop3_server_out(srv).length);
    return srv;
}

/* HOSTILE 9: a long list, and whoever does not read it, cost no more than `out_bytes`. */
static void lists_a_large_maildrop_piece_by_piece(void **state)
{
    static mail_maildrop_message messages[20000];
    char want[64];
    size_t next = 1;
    mail_pop3_server *srv;

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(messages); i++) {
        messages[i] = (mail_maildrop_message){UINT64_MAX / 40000, "id"};
    }
    srv = logged_in(4096, messages, MAIL_COUNT(messages));
    talk(srv, "LIST\r\n", NULL, 0);
    mail_pop3_server_sent(srv, 0, strlen("+OK 20000 messages\r\n"));
    while (next <= MAIL_COUNT(messages)) {
        mail_span bytes = mail_pop3_server_out(srv);

        assert_in_range(bytes.length, 1, 4096);
        snprintf(want, sizeof(want), "%zu %llu\r\n", next, (unsigned long long)messages[0].size);
        assert_memory_equal(bytes.data, want, strlen(want));
        mail_pop3_server_sent(srv, 0, strlen(want));
        if (mail_pop3_server_out(srv).length < 100) {
            talk(srv, "", NULL, 0);
        }
        next++;
    }
    assert_span_equal(mail_pop3_server_out(srv), ".\r\n");
    mail_pop3_server_destroy(srv);
}

/* The same as the engine, by the letter of RFC 1939, section 3. */
static size_t stuffed(mail_span in, char *to)
{
    size_t length = 0;

    for (size_t i = 0; i < in.length; i++) {
        if (in.data[i] == '.' && (i == 0 || in.data[i - 1] == '\n')) {
            to[length++] = '.';
        }
        to[length++] = in.data[i];
    }
    memcpy(to + length, ".\r\n", 3);
    return length + 3;
}

/* PO-004, HOSTILE 9: large messages and lines, sources and readers of any speed. */
static void sends_a_large_message_in_pieces_of_any_size(void **state)
{
    static const size_t pieces[] = {1, 2, 100, 4095, 4096, 1 << 20};
    static char text[100000];
    static char want[200100];
    mail_maildrop_message msg = {sizeof(text), "id"};
    size_t length;

    (void)state;
    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = i < 50000 ? "..\r\n"[i % 4] : 'x';
    }
    memcpy(text + sizeof(text) - 2, "\r\n", 2);
    length = stuffed(mail_span_of(text, sizeof(text)), want);
    for (size_t i = 0; i < MAIL_COUNT(pieces); i++) {
        mail_pop3_server *srv = logged_in(4096, &msg, 1);
        piece_source src;
        size_t offset = 0;
        int code = MAIL_EAGAIN;

        talk(srv, "RETR 1\r\n", NULL, 0);
        mail_pop3_server_sent(srv, 0, strlen("+OK 100000 octets\r\n"));
        piece_source_init(&src, mail_span_of(text, sizeof(text)), pieces[i]);
        while (code == MAIL_EAGAIN || mail_pop3_server_out(srv).length > 0) {
            mail_span bytes;

            if (code == MAIL_EAGAIN) {
                code = mail_pop3_server_send(srv, 0, &src.source);
            }
            bytes = mail_pop3_server_out(srv);
            assert_in_range(bytes.length, 1, 4096);
            bytes = mail_span_first(bytes, (bytes.length + 1) / 2);
            assert_true(offset + bytes.length <= length);
            assert_memory_equal(bytes.data, want + offset, bytes.length);
            offset += bytes.length;
            mail_pop3_server_sent(srv, 0, bytes.length);
        }
        assert_int_equal(code, MAIL_OK);
        assert_int_equal(offset, length);
        mail_pop3_server_destroy(srv);
    }
}

#define SIZE sizeof(mail_pop3_server_options)

static void refuses_bad_options(void **state)
{
    static const struct {
        const char *name;
        mail_pop3_server_options opts;
    } cases[] = {
        {"no size", {.hostname = {"a", 1}}},
        {"options of a newer library", {.size = SIZE + 1, .hostname = {"a", 1}}},
        {"no hostname", {.size = SIZE}},
        {"a blank in the hostname", {.size = SIZE, .hostname = {"a b", 3}}},
        {"what looks like a timestamp for APOP", {.size = SIZE, .hostname = {"<1@a>", 5}}},
        {"a control character", {.size = SIZE, .hostname = {"a\r\n", 3}}},
        {"too little out", {.size = SIZE, .hostname = {"a", 1}, .out_bytes = 4095}},
        {"a negative time", {.size = SIZE, .hostname = {"a", 1}, .idle_timeout = -1}},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_pop3_server *srv;

        mail_test_case(cases[i].name);
        assert_int_equal(mail_pop3_server_create(&srv, &cases[i].opts, 0), MAIL_EINVAL);
    }
}

/* PO-003: however long what the embedder says, the reply is one line of at most 512 octets. */
static void keeps_refusals_to_one_short_line(void **state)
{
    mail_pop3_server *srv = logged_in(0, &(mail_maildrop_message){1, "id"}, 1);
    mail_pop3_event ev;
    mail_span bytes;
    char text[1000];
    size_t used;

    (void)state;
    memset(text, '\n', sizeof(text));
    assert_int_equal(mail_pop3_server_feed(srv, 0, MAIL_SPAN("RETR 1\r\n"), &used, &ev), MAIL_OK);
    assert_int_equal(ev.type, MAIL_POP3_EV_MESSAGE);
    assert_int_equal(
        mail_pop3_server_refuse(srv, 0, MAIL_POP3_SYS_TEMP, mail_span_of(text, sizeof(text))),
        MAIL_OK);
    bytes = mail_pop3_server_out(srv);
    assert_in_range(bytes.length, 400, 512);
    assert_memory_equal(bytes.data, "-ERR [SYS/TEMP] ???", 19);
    assert_ptr_equal(memchr(bytes.data, '\n', bytes.length), bytes.data + bytes.length - 1);
    mail_pop3_server_destroy(srv);
}

/* HOSTILE 9: a slow reader has its slot for so long as it reads mail at some rate. */
static void who_reads_an_octet_now_and_then_is_not_waited_for(void **state)
{
    static char text[100000];
    static const struct {
        const char *name;
        size_t octets; /* every ten seconds */
        bool is_borne;
    } cases[] = {
        {"an octet", 1, false},
        {"nearly enough", 900, false},
        {"enough", 1000, true},
    };

    (void)state;
    memset(text, 'x', sizeof(text));
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_pop3_server *srv = logged_in(0, &(mail_maildrop_message){sizeof(text), "id"}, 1);
        mail_time now = 0;
        piece_source src;

        mail_test_case(cases[i].name);
        talk(srv, "RETR 1\r\n", NULL, 0);
        piece_source_init(&src, mail_span_of(text, sizeof(text)), 1000);
        assert_int_equal(mail_pop3_server_send(srv, now, &src.source), MAIL_EAGAIN);
        assert_int_equal(mail_pop3_server_deadline(srv), 10 * MAIL_MINUTE);
        for (int j = 0; j < 60 && mail_pop3_server_deadline(srv) > now; j++) {
            mail_pop3_server_sent(srv, now, cases[i].octets);
            now += 10 * MAIL_SECOND;
        }
        assert_int_equal(mail_pop3_server_deadline(srv) > now, cases[i].is_borne);
        mail_pop3_server_destroy(srv);
    }
}

/* Time in which the disk is slow is ours. */
static void who_has_read_all_there_was_is_not_late(void **state)
{
    mail_pop3_server *srv = logged_in(0, &(mail_maildrop_message){1000, "id"}, 1);
    piece_source src;

    (void)state;
    talk(srv, "RETR 1\r\n", NULL, 0);
    mail_pop3_server_sent(srv, 0, 1);
    assert_int_equal(mail_pop3_server_deadline(srv), MAIL_MINUTE);
    mail_pop3_server_sent(srv, MAIL_SECOND, mail_pop3_server_out(srv).length);
    assert_int_equal(mail_pop3_server_deadline(srv), MAIL_NEVER);
    piece_source_init(&src, MAIL_SPAN("late\r\n"), 100);
    assert_int_equal(mail_pop3_server_send(srv, MAIL_HOUR, &src.source), MAIL_OK);
    assert_int_equal(mail_pop3_server_deadline(srv), MAIL_HOUR + 10 * MAIL_MINUTE);
    mail_pop3_server_destroy(srv);
}

/* HOSTILE 3, 9: a place is not held by commands that lead nowhere. */
static void who_does_not_log_in_is_not_waited_for(void **state)
{
    mail_pop3_server_options opts = MAIL_POP3_SERVER_OPTIONS_INIT;
    mail_pop3_server *srv;
    mail_pop3_event ev;
    mail_time now = 0;
    size_t used;

    (void)state;
    opts.hostname = MAIL_SPAN("pop.example");
    opts.auth_in_clear = true;
    assert_int_equal(mail_pop3_server_create(&srv, &opts, 0), MAIL_OK);
    talk(srv, "USER a\r\nRSET\r\n", NULL, 0);
    while (mail_pop3_server_deadline(srv) > now && now < MAIL_HOUR) {
        assert_int_equal(mail_pop3_server_feed(srv, now, MAIL_SPAN("CAPA\r\n"), &used, &ev),
                         MAIL_OK);
        assert_int_equal(used, 6);
        mail_pop3_server_sent(srv, now, mail_pop3_server_out(srv).length);
        now += MAIL_SECOND;
    }
    assert_int_equal(now, 10 * MAIL_MINUTE);
    assert_int_equal(mail_pop3_server_tick(srv, now, &ev), MAIL_OK);
    assert_int_equal(ev.type, MAIL_POP3_EV_CLOSE);
    assert_int_equal(ev.end, MAIL_POP3_END_SLOW);
    mail_pop3_server_destroy(srv);
}

static void a_session_has_so_many_commands_and_so_much_time(void **state)
{
    mail_pop3_server_options opts = MAIL_POP3_SERVER_OPTIONS_INIT;
    mail_pop3_server *srv;
    mail_pop3_event ev;
    size_t used;

    (void)state;
    opts.hostname = MAIL_SPAN("pop.example");
    opts.auth_in_clear = true;
    opts.max_commands = 3;
    opts.session_timeout = MAIL_MINUTE;
    assert_int_equal(mail_pop3_server_create(&srv, &opts, 0), MAIL_OK);
    talk(srv, "USER a\r\nPASS b\r\nNOOP\r\n", NULL, 0);
    mail_pop3_server_sent(srv, 0, mail_pop3_server_out(srv).length);
    assert_int_equal(mail_pop3_server_deadline(srv), MAIL_MINUTE);
    assert_int_equal(mail_pop3_server_feed(srv, 0, MAIL_SPAN("NOOP\r\nNOOP\r\n"), &used, &ev),
                     MAIL_OK);
    assert_int_equal(ev.type, MAIL_POP3_EV_CLOSE);
    assert_int_equal(used, 6);
    assert_int_equal(ev.end, MAIL_POP3_END_LIMIT);
    assert_span_equal(mail_pop3_server_out(srv), "-ERR too many commands for one session\r\n");
    mail_pop3_server_destroy(srv);
    assert_int_equal(mail_pop3_server_create(&srv, &opts, 0), MAIL_OK);
    talk(srv, "", NULL, 0);
    assert_int_equal(mail_pop3_server_tick(srv, MAIL_MINUTE, &ev), MAIL_OK);
    assert_int_equal(ev.type, MAIL_POP3_EV_CLOSE);
    assert_int_equal(ev.end, MAIL_POP3_END_LIMIT);
    mail_pop3_server_destroy(srv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_its_transcripts_say),
        cmocka_unit_test(lists_a_large_maildrop_piece_by_piece),
        cmocka_unit_test(sends_a_large_message_in_pieces_of_any_size),
        cmocka_unit_test(refuses_bad_options),
        cmocka_unit_test(keeps_refusals_to_one_short_line),
        cmocka_unit_test(who_reads_an_octet_now_and_then_is_not_waited_for),
        cmocka_unit_test(who_has_read_all_there_was_is_not_late),
        cmocka_unit_test(who_does_not_log_in_is_not_waited_for),
        cmocka_unit_test(a_session_has_so_many_commands_and_so_much_time),
    };

    return mail_test_run(tests);
}
