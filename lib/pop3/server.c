/* SPDX-License-Identifier: MIT */
#include "pop3/server.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/ascii.h"
#include "base/mem.h"

#define DEFAULT_IDLE_TIMEOUT    (10 * MAIL_MINUTE)
#define HANDSHAKE_TIMEOUT       MAIL_MINUTE
#define DEFAULT_SESSION_TIMEOUT (6 * MAIL_HOUR)
#define DEFAULT_MIN_RATE        100
#define DEFAULT_MAX_COMMANDS    1000000
#define DEFAULT_MAX_ERRORS      20
#define DEFAULT_MAX_LOGINS      3
#define DEFAULT_OUT_BYTES       ((size_t)65536)
#define MIN_OUT_BYTES           ((size_t)4096)

/* What of `out` is kept while there is nothing in it. */
#define OUT_KEPT 1024

const char *mail_pop3_event_name(mail_pop3_event_type type)
{
    static const char *const names[] = {
        [MAIL_POP3_EV_NONE] = "NONE",       [MAIL_POP3_EV_CONNECT] = "CONNECT",
        [MAIL_POP3_EV_AUTH] = "AUTH",       [MAIL_POP3_EV_DENY] = "DENY",
        [MAIL_POP3_EV_LOGIN] = "LOGIN",     [MAIL_POP3_EV_STLS] = "STLS",
        [MAIL_POP3_EV_DROPPED] = "DROPPED", [MAIL_POP3_EV_MESSAGE] = "MESSAGE",
        [MAIL_POP3_EV_UPDATE] = "UPDATE",   [MAIL_POP3_EV_CLOSE] = "CLOSE",
    };

    return (size_t)type < MAIL_COUNT(names) ? names[type] : "?";
}

const char *mail_pop3_code_name(mail_pop3_code code)
{
    static const char *const names[] = {
        [MAIL_POP3_NO_CODE] = "",
        [MAIL_POP3_IN_USE] = "IN-USE",
        [MAIL_POP3_LOGIN_DELAY] = "LOGIN-DELAY",
        [MAIL_POP3_SYS_TEMP] = "SYS/TEMP",
        [MAIL_POP3_SYS_PERM] = "SYS/PERM",
        [MAIL_POP3_AUTH] = "AUTH",
        [MAIL_POP3_UTF8] = "UTF8",
    };

    return (size_t)code < MAIL_COUNT(names) ? names[code] : "";
}

static bool is_hostname(mail_span name)
{
    for (size_t i = 0; i < name.length; i++) {
        char c = name.data[i];

        /* Nothing that could look like APOP's timestamp (RFC 1939, section 7). */
        if (c <= ' ' || c > '~' || c == '<' || c == '>') {
            return false;
        }
    }
    return name.length > 0 && name.length < sizeof(((mail_pop3_server *)0)->hostname);
}

/* Those of an older caller are shorter: the rest is zero, which is the default. */
static int read_options(mail_pop3_server_options *own, const mail_pop3_server_options *opts)
{
    if (opts->size == 0 || opts->size > sizeof(*own)) {
        return MAIL_EINVAL;
    }
    memcpy(own, opts, opts->size);
    if (own->out_bytes == 0) {
        own->out_bytes = DEFAULT_OUT_BYTES;
    }
    if (own->idle_timeout == 0) {
        own->idle_timeout = DEFAULT_IDLE_TIMEOUT;
    }
    if (own->session_timeout == 0) {
        own->session_timeout = DEFAULT_SESSION_TIMEOUT;
    }
    return is_hostname(own->hostname) && own->out_bytes >= MIN_OUT_BYTES && own->idle_timeout > 0 &&
                   own->session_timeout > 0
               ? MAIL_OK
               : MAIL_EINVAL;
}

int mail_pop3_server_create(mail_pop3_server **out, const mail_pop3_server_options *opts,
                            mail_time now)
{
    mail_pop3_server_options own = MAIL_POP3_SERVER_OPTIONS_INIT;
    mail_pop3_server *srv;

    if (read_options(&own, opts) != MAIL_OK) {
        return MAIL_EINVAL;
    }
    srv = mem_alloc(own.mem, sizeof(*srv));
    if (srv == NULL) {
        return MAIL_ENOMEM;
    }
    srv->mem = own.mem;
    srv->random = own.random;
    srv->state = own.implicit_tls ? EXPECT_TLS : EXPECT_START;
    srv->active_at = now;
    srv->idle_timeout = own.idle_timeout;
    srv->login_by = own.idle_timeout > MAIL_NEVER - now ? MAIL_NEVER : now + own.idle_timeout;
    srv->end_at = own.session_timeout > MAIL_NEVER - now ? MAIL_NEVER : now + own.session_timeout;
    srv->reading_since = MAIL_NEVER;
    srv->min_rate = own.min_rate > 0 ? own.min_rate : DEFAULT_MIN_RATE;
    srv->commands_left = own.max_commands > 0 ? own.max_commands : DEFAULT_MAX_COMMANDS;
    srv->errors_left = own.max_errors > 0 ? own.max_errors : DEFAULT_MAX_ERRORS;
    srv->logins_left = own.max_logins > 0 ? own.max_logins : DEFAULT_MAX_LOGINS;
    srv->auth_mechanisms = own.auth_mechanisms;
    srv->auth_in_clear = own.auth_in_clear;
    memcpy(srv->auth_disguise, own.auth_disguise, sizeof(srv->auth_disguise));
    srv->offers_utf8 = own.utf8;
    srv->stls = own.stls;
    srv->implicit_tls = own.implicit_tls;
    memcpy(srv->hostname, own.hostname.data, own.hostname.length);
    if (own.apop) {
        pop3_make_timestamp(srv);
    }
    buffer_init(&srv->out, own.mem, own.out_bytes);
    *out = srv;
    return MAIL_OK;
}

void mail_pop3_server_destroy(mail_pop3_server *srv)
{
    if (srv == NULL) {
        return;
    }
    pop3_forget_auth(srv);
    mem_free(srv->mem, srv->identity, srv->identity != NULL ? strlen(srv->identity) + 1 : 0);
    mem_free(srv->mem, srv->marks, MAIL_MARKS_SIZE(srv->count));
    buffer_deinit(&srv->out);
    mem_free(srv->mem, srv, sizeof(*srv));
}

int pop3_say(mail_pop3_server *srv, const char *format, ...)
{
    char text[512];
    va_list args;
    int length;

    va_start(args, format);
    length = vsnprintf(text, sizeof(text) - 2, format, args);
    va_end(args);
    /* RFC 1939, section 3: at most 512 octets with the CRLF. */
    assert(length >= 0 && (size_t)length < sizeof(text) - 2);
    memcpy(text + length, "\r\n", 2);
    return buffer_append(&srv->out, mail_span_of(text, (size_t)length + 2));
}

void pop3_end(mail_pop3_server *srv, mail_pop3_end why)
{
    srv->state = CLOSING;
    srv->end = why;
}

int pop3_fault(mail_pop3_server *srv, const char *text)
{
    if (srv->state == EXPECT_PASS) {
        srv->state = EXPECT_USER;
    }
    if (--srv->errors_left == 0) {
        pop3_end(srv, MAIL_POP3_END_LIMIT);
        return pop3_say(srv, "-ERR %s; too many errors, closing", text);
    }
    return pop3_say(srv, "-ERR %s", text);
}

/* The length up to and with the first CRLF, or 0. Only CRLF ends a line. */
static size_t find_line_end(mail_span in)
{
    size_t from = 0;

    while (from < in.length) {
        const char *lf = memchr(in.data + from, '\n', in.length - from);

        if (lf == NULL) {
            break;
        }
        from = (size_t)(lf - in.data) + 1;
        if (from >= 2 && lf[-1] == '\r') {
            return from;
        }
    }
    return 0;
}

/* Uses what belongs to a line that is too long, and refuses it at its end. */
static int eat(mail_pop3_server *srv, mail_span in, size_t *used)
{
    size_t length = srv->eating_cr && in.data[0] == '\n' ? 1 : find_line_end(in);

    *used += length > 0 ? length : in.length;
    srv->eating = length == 0;
    srv->eating_cr = length == 0 && in.data[in.length - 1] == '\r';
    if (srv->eating) {
        return MAIL_OK;
    }
    if (srv->state == EXPECT_AUTH) { /* the exchange is over */
        pop3_forget_auth(srv);
        srv->state = EXPECT_USER;
    }
    return pop3_fault(srv, "line too long");
}

/* Runs the first command of `in`, if it is whole, and adds its length to `*used`. */
static int run_line(mail_pop3_server *srv, mail_time now, mail_span in, size_t *used,
                    mail_pop3_event *ev)
{
    size_t most = srv->state == EXPECT_AUTH ? MAIL_POP3_AUTH_LINE_MAX : POP3_LINE_MAX;
    size_t length = 0;
    mail_span line;

    if (!srv->eating) {
        length = find_line_end(mail_span_first(in, in.length < most ? in.length : most));
        if (length == 0 && in.length < most) {
            return MAIL_OK;
        }
    }
    if (length == 0) {
        return eat(srv, in, used);
    }
    *used += length;
    srv->active_at = now;
    if (srv->commands_left-- == 0) {
        pop3_end(srv, MAIL_POP3_END_LIMIT);
        return pop3_say(srv, "-ERR too many commands for one session");
    }
    line = mail_span_first(in, length - 2);
    return srv->state == EXPECT_AUTH ? pop3_auth_line(srv, line) : pop3_command(srv, line, ev);
}

static bool expects_line(const mail_pop3_server *srv)
{
    return srv->state == EXPECT_USER || srv->state == EXPECT_PASS || srv->state == EXPECT_AUTH ||
           srv->state == EXPECT_COMMAND;
}

static void close_now(mail_pop3_server *srv, mail_pop3_event *ev)
{
    srv->state = CLOSED;
    ev->type = MAIL_POP3_EV_CLOSE;
    ev->end = srv->end;
}

static mail_span proved_user(const mail_pop3_server *srv)
{
    return srv->auth.sasl != NULL ? mail_sasl_server_user(srv->auth.sasl)
                                  : mail_span_of(srv->auth.user, srv->auth.user_length);
}

/* Asks what is to be asked without input. */
static void ask(mail_pop3_server *srv, mail_pop3_event *ev)
{
    if (srv->state == EXPECT_START) {
        srv->state = AWAIT_CONNECT;
        ev->type = MAIL_POP3_EV_CONNECT;
    } else if (srv->state == ASKING) {
        srv->state = AWAIT_AUTH;
        ev->type = MAIL_POP3_EV_AUTH;
        ev->auth = &srv->auth.question;
    } else if (srv->state == UNPROVED) {
        srv->state = AWAIT_DENIAL;
        ev->type = MAIL_POP3_EV_DENY;
    } else if (srv->state == PROVED) {
        srv->state = AWAIT_LOGIN;
        ev->type = MAIL_POP3_EV_LOGIN;
        ev->user = proved_user(srv);
    }
}

/* What can be done without input. Says whether a line may be run now. */
static bool is_ready_for_line(mail_pop3_server *srv, mail_pop3_event *ev)
{
    ask(srv, ev);
    if (srv->shutting_down && (expects_line(srv) || srv->state == EXPECT_TLS)) {
        srv->state = CLOSING;
    }
    if (srv->state == CLOSING) {
        close_now(srv, ev);
        return false;
    }
    return expects_line(srv) && buffer_room(&srv->out) >= POP3_REPLY_ROOM;
}

int mail_pop3_server_feed(mail_pop3_server *srv, mail_time now, mail_span in, size_t *used,
                          mail_pop3_event *ev)
{
    int code = MAIL_OK;

    *ev = (mail_pop3_event){.type = MAIL_POP3_EV_NONE};
    *used = 0;
    for (;;) {
        size_t before = *used;

        if (srv->state == EXPECT_ROOM) {
            code = pop3_list_on(srv);
        }
        if (code != MAIL_OK || !is_ready_for_line(srv, ev) || *used == in.length) {
            break;
        }
        code = run_line(srv, now, mail_span_from(in, *used), used, ev);
        if (code != MAIL_OK || ev->type != MAIL_POP3_EV_NONE || *used == before) {
            break;
        }
    }
    if (srv->state == EXPECT_TLS) {
        pop3_tls_step(srv, in, used, ev);
    }
    return code;
}

int mail_pop3_server_eof(mail_pop3_server *srv, mail_pop3_event *ev)
{
    *ev = (mail_pop3_event){.type = MAIL_POP3_EV_NONE};
    if (srv->state != CLOSED) {
        close_now(srv, ev);
    }
    return MAIL_OK;
}

/* RFC 1939, section 3: the session ends without UPDATE and without another word. */
int mail_pop3_server_tick(mail_pop3_server *srv, mail_time now, mail_pop3_event *ev)
{
    *ev = (mail_pop3_event){.type = MAIL_POP3_EV_NONE};
    if (now >= mail_pop3_server_deadline(srv)) {
        buffer_clear(&srv->out, 0);
        pop3_end(srv, now >= srv->end_at ? MAIL_POP3_END_LIMIT : MAIL_POP3_END_SLOW);
        close_now(srv, ev);
    }
    return MAIL_OK;
}

void mail_pop3_server_shutdown(mail_pop3_server *srv, bool force)
{
    srv->shutting_down = true;
    if (force && srv->state != CLOSED) {
        srv->state = CLOSING;
    }
}

int mail_pop3_server_accept(mail_pop3_server *srv, mail_time now)
{
    srv->active_at = now;
    switch (srv->state) {
    case AWAIT_CONNECT:
        srv->state = EXPECT_USER;
        return pop3_say(srv, "+OK %s POP3 server ready", /* APOP's timestamp has the name too */
                        srv->auth.timestamp[0] != '\0' ? srv->auth.timestamp : srv->hostname);
    case AWAIT_STLS:
        srv->state = EXPECT_TLS;
        pop3_forget_auth(srv);
        return pop3_say(srv, "+OK begin TLS now");
    case AWAIT_MESSAGE:
        srv->state = EXPECT_MESSAGE;
        return pop3_message_begin(srv);
    case AWAIT_UPDATE:
        srv->state = CLOSING;
        return pop3_say(srv, "+OK bye");
    case EXPECT_TLS:
    case EXPECT_START:
    case EXPECT_USER:
    case EXPECT_PASS:
    case EXPECT_AUTH:
    case ASKING:
    case AWAIT_AUTH:
    case UNPROVED:
    case AWAIT_DENIAL:
    case PROVED:
    case AWAIT_LOGIN:
    case EXPECT_COMMAND:
    case EXPECT_MESSAGE:
    case EXPECT_ROOM:
    case CLOSING:
    case CLOSED:
        break;
    }
    assert(srv->state == CLOSING); /* forced down while the question was open */
    return MAIL_OK;
}

int mail_pop3_server_login(mail_pop3_server *srv, mail_time now,
                           const mail_maildrop_message *messages, size_t count)
{
    if (srv->state != AWAIT_LOGIN) {
        assert(srv->state == CLOSING);
        return MAIL_OK;
    }
    if (count > 0) {
        srv->marks = mem_alloc(srv->mem, MAIL_MARKS_SIZE(count));
        if (srv->marks == NULL) {
            return MAIL_ENOMEM;
        }
    }
    pop3_forget_auth(srv);
    srv->active_at = now;
    srv->state = EXPECT_COMMAND;
    srv->messages = messages;
    srv->count = count;
    srv->left_count = count;
    for (size_t i = 0; i < count; i++) {
        srv->left_size += messages[i].size;
    }
    return pop3_say(srv, "+OK %zu messages (%llu octets)", count,
                    (unsigned long long)srv->left_size);
}

/* `text` as it may stand in a reply. */
static void clean_text(mail_span text, char out[401])
{
    size_t length = text.length < 400 ? text.length : 400;

    for (size_t i = 0; i < length; i++) {
        out[i] = ascii_is_control(text.data[i]) ? '?' : text.data[i];
    }
    out[length] = '\0';
}

/* Whether a refusal is one of a client who wants to log in. */
static bool refuses_login(const mail_pop3_server *srv)
{
    return srv->state == AWAIT_AUTH || srv->state == AWAIT_DENIAL || srv->state == AWAIT_LOGIN;
}

static pop3_state state_after_refusal(mail_pop3_server *srv)
{
    if (srv->state == AWAIT_MESSAGE) {
        return EXPECT_COMMAND;
    }
    if (srv->state == AWAIT_STLS || (refuses_login(srv) && --srv->logins_left > 0)) {
        return EXPECT_USER;
    }
    srv->end = refuses_login(srv) ? MAIL_POP3_END_LIMIT : MAIL_POP3_END_ORDERLY;
    return CLOSING;
}

int mail_pop3_server_refuse(mail_pop3_server *srv, mail_time now, mail_pop3_code code,
                            mail_span text)
{
    const char *name = mail_pop3_code_name(code);
    char clean[401];

    if (srv->state == CLOSING) {
        return MAIL_OK;
    }
    assert(srv->state == AWAIT_CONNECT || refuses_login(srv) || srv->state == AWAIT_STLS ||
           srv->state == AWAIT_MESSAGE || srv->state == AWAIT_UPDATE);
    srv->active_at = now;
    srv->state = state_after_refusal(srv);
    pop3_forget_auth(srv);
    clean_text(text, clean);
    return *name != '\0' ? pop3_say(srv, "-ERR [%s] %s", name, clean)
                         : pop3_say(srv, "-ERR %s", clean);
}

mail_span mail_pop3_server_out(const mail_pop3_server *srv)
{
    return buffer_bytes(&srv->out);
}

/* Who has read all there was waits for us; only who has not is measured. */
static void note_reading(mail_pop3_server *srv, mail_time now, size_t n)
{
    if (buffer_length(&srv->out) == 0) {
        srv->reading_since = MAIL_NEVER;
    } else if (srv->reading_since == MAIL_NEVER) {
        srv->reading_since = now;
        srv->read_since = 0;
    } else {
        srv->read_since += n;
    }
}

void mail_pop3_server_sent(mail_pop3_server *srv, mail_time now, size_t n)
{
    srv->active_at = now;
    buffer_consume(&srv->out, n);
    note_reading(srv, now, n);
    if (buffer_length(&srv->out) == 0 && srv->state != EXPECT_MESSAGE) {
        buffer_clear(&srv->out, OUT_KEPT);
    }
}

unsigned mail_pop3_server_wants(const mail_pop3_server *srv)
{
    unsigned wants = buffer_length(&srv->out) > 0 ? MAIL_WANTS_WRITE : 0;

    switch (srv->state) {
    case EXPECT_TLS:
    case EXPECT_START:
    case EXPECT_USER:
    case EXPECT_PASS:
    case EXPECT_AUTH:
    case EXPECT_COMMAND:
        return buffer_room(&srv->out) >= POP3_REPLY_ROOM ? wants | MAIL_WANTS_READ : wants;
    case AWAIT_CONNECT:
    case AWAIT_STLS:
    case AWAIT_AUTH:
    case AWAIT_DENIAL:
    case AWAIT_LOGIN:
    case AWAIT_MESSAGE:
    case AWAIT_UPDATE:
        return wants | MAIL_WANTS_ANSWER;
    case EXPECT_MESSAGE:
        return buffer_room(&srv->out) >= POP3_PIECE_ROOM ? wants | MAIL_POP3_WANTS_MESSAGE : wants;
    case ASKING:
    case UNPROVED:
    case PROVED:
    case EXPECT_ROOM:
    case CLOSING:
    case CLOSED:
        break;
    }
    return wants;
}

static mail_time earlier(mail_time a, mail_time b)
{
    return a < b ? a : b;
}

static mail_time idle_end(const mail_pop3_server *srv)
{
    bool shakes_hands = srv->state == EXPECT_TLS && srv->idle_timeout > HANDSHAKE_TIMEOUT;

    return srv->active_at + (shakes_hands ? HANDSHAKE_TIMEOUT : srv->idle_timeout);
}

/* Before a client is anybody, commands are no sign that it will ever be. */
static mail_time login_end(const mail_pop3_server *srv)
{
    return srv->state < EXPECT_COMMAND ? srv->login_by : MAIL_NEVER;
}

/* An octet now and then is a sign of life, but no way to read mail. */
static mail_time reading_end(const mail_pop3_server *srv)
{
    uint64_t seconds = srv->read_since / srv->min_rate;

    if (srv->reading_since == MAIL_NEVER || seconds > (uint64_t)(MAIL_DAY / MAIL_SECOND)) {
        return MAIL_NEVER;
    }
    return srv->reading_since + MAIL_MINUTE + (mail_duration)seconds * MAIL_SECOND;
}

mail_time mail_pop3_server_deadline(const mail_pop3_server *srv)
{
    unsigned wants = mail_pop3_server_wants(srv);

    if (srv->state == CLOSED || srv->state == CLOSING || (wants & MAIL_WANTS_ANSWER) != 0 ||
        wants == MAIL_POP3_WANTS_MESSAGE) {
        return MAIL_NEVER;
    }
    return earlier(earlier(srv->end_at, login_end(srv)), earlier(idle_end(srv), reading_end(srv)));
}
