/* SPDX-License-Identifier: MIT */
/*
 * The first octet chooses the options, the second how pieces are cut and questions are
 * answered; the rest is what the client says. The engine must keep its contract: it uses
 * no more than it is fed, holds no more than it may, answers in lines, and ends.
 */
#include <mail/pop3_server.h>

#include <stdlib.h>

#define OUT_BYTES 4096

static void require(int condition)
{
    if (!condition) {
        abort();
    }
}

typedef struct session {
    mail_pop3_server *srv;
    unsigned choices; /* shifted at every question */
    mail_source_span source;
    bool is_over;
} session;

static const char text[] = "Subject: x\r\n\r\n.\r\n..\r\nline\r\n.last\r\n";

static const mail_maildrop_message messages[] = {
    {sizeof(text) - 1, "one"},
    {UINT64_MAX / 4, "two"},
    {0, "0123456789012345678901234567890123456789012345678901234567890123456789"},
};

static bool choose(session *ss)
{
    ss->choices = ss->choices >> 1 | (ss->choices & 1) << 7;
    return (ss->choices & 1) != 0;
}

static void answer_auth(session *ss, const mail_sasl_question *question, bool yes)
{
    mail_sasl_answer answer = {.kind = yes ? MAIL_SASL_ACCEPT : MAIL_SASL_REFUSE};

    require(question->user.length == 0 ||
            memchr(question->user.data, 0, question->user.length) == NULL);
    if (question->mechanism == MAIL_SASL_CRAM_MD5) {
        answer.kind = MAIL_SASL_PASSWORD;
        answer.password = MAIL_SPAN("secret");
    }
    require(mail_pop3_server_answer_auth(ss->srv, 0, &answer) == MAIL_OK);
}

static void answer(session *ss, const mail_pop3_event *ev)
{
    bool yes = choose(ss);

    if (ev->type == MAIL_POP3_EV_AUTH) {
        answer_auth(ss, ev->auth, yes);
    } else if (ev->type == MAIL_POP3_EV_LOGIN && yes) {
        require(mail_pop3_server_login(ss->srv, 0, messages, MAIL_COUNT(messages)) == MAIL_OK);
    } else if (ev->type == MAIL_POP3_EV_DENY || !yes) {
        require(mail_pop3_server_refuse(ss->srv, 0, MAIL_POP3_SYS_TEMP, MAIL_SPAN("a\0b")) ==
                MAIL_OK);
    } else {
        require(mail_pop3_server_accept(ss->srv, 0) == MAIL_OK);
        mail_source_span_init(&ss->source, mail_span_of(text, sizeof(text) - 1));
    }
}

/* The handshake takes no time here. */
static bool start_tls(session *ss)
{
    if (!mail_pop3_server_awaits_tls(ss->srv) || mail_pop3_server_out(ss->srv).length > 0) {
        return false;
    }
    require(mail_pop3_server_tls_started(ss->srv, 0, MAIL_SPAN("0123456789abcdef0123456789abcdef"),
                                         choose(ss) ? MAIL_SPAN("alice") : MAIL_SPAN("")) ==
            MAIL_OK);
    return true;
}

static void take_output(session *ss)
{
    mail_span out = mail_pop3_server_out(ss->srv);

    require(out.length <= OUT_BYTES);
    require(((mail_pop3_server_wants(ss->srv) & MAIL_WANTS_WRITE) != 0) == (out.length > 0));
    mail_pop3_server_sent(ss->srv, 0, choose(ss) ? out.length : (out.length + 1) / 2);
}

/* One turn; says whether anything moved. */
static bool turn(session *ss, mail_span in, size_t *used)
{
    mail_pop3_event ev;

    if ((mail_pop3_server_wants(ss->srv) & MAIL_POP3_WANTS_MESSAGE) != 0) {
        int code = mail_pop3_server_send(ss->srv, 0, &ss->source.source);

        require(code == MAIL_OK || code == MAIL_EAGAIN);
    }
    require(mail_pop3_server_feed(ss->srv, 0, in, used, &ev) == MAIL_OK);
    require(*used <= in.length);
    ss->is_over = ev.type == MAIL_POP3_EV_CLOSE;
    if (ev.type == MAIL_POP3_EV_DROPPED) {
        return true;
    }
    if (ev.type != MAIL_POP3_EV_NONE && !ss->is_over) {
        require((mail_pop3_server_wants(ss->srv) & MAIL_WANTS_ANSWER) != 0);
        answer(ss, &ev);
        return true;
    }
    return start_tls(ss) || *used > 0 || mail_pop3_server_out(ss->srv).length > 0;
}

/* Returns how much of `in` was used. */
static size_t talk(session *ss, mail_span in)
{
    size_t total = 0;
    bool moves = true;

    while (moves && !ss->is_over) {
        size_t used = 0;

        moves = turn(ss, mail_span_from(in, total), &used);
        total += used;
        take_output(ss);
    }
    return total;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mail_pop3_server_options opts = MAIL_POP3_SERVER_OPTIONS_INIT;
    mail_pop3_event ev;
    session ss = {0};
    size_t start = 2;
    size_t end = 2;

    if (size < 2) {
        return 0;
    }
    opts.hostname = MAIL_SPAN("pop.example");
    opts.auth_in_clear = data[0] != 'n';
    opts.utf8 = data[0] == 'u';
    opts.apop = data[0] == 'a';
    opts.stls = data[0] == 's' || data[0] == 'n';
    opts.implicit_tls = data[0] == 't';
    opts.auth_mechanisms = data[0] == 'w' ? 0 : ~0U;
    opts.out_bytes = OUT_BYTES;
    require(mail_pop3_server_create(&ss.srv, &opts, 0) == MAIL_OK);
    ss.choices = data[1] | 1U << 8;
    while (end < size) {
        size_t piece = data[0] == 'p' ? 1U + data[1] % 16U : size;

        end += piece < size - end ? piece : size - end;
        start += talk(&ss, mail_span_of(data + start, end - start));
    }
    if (!ss.is_over) {
        require(mail_pop3_server_tick(ss.srv, MAIL_DAY, &ev) == MAIL_OK);
        if (ev.type != MAIL_POP3_EV_CLOSE) {
            require(mail_pop3_server_eof(ss.srv, &ev) == MAIL_OK);
        }
        require(ev.type == MAIL_POP3_EV_CLOSE);
    }
    mail_pop3_server_destroy(ss.srv);
    return 0;
}
