/* SPDX-License-Identifier: MIT */
#include "pop3/server.h"

#include <inttypes.h>

#include "base/ascii.h"

#define IN(s) (1U << (s))

#define AUTHORIZATION (IN(EXPECT_USER) | IN(EXPECT_PASS))
#define TRANSACTION   IN(EXPECT_COMMAND)
#define ANYWHERE      (AUTHORIZATION | TRANSACTION)

static int on_capa(mail_pop3_server *srv, mail_span arg, mail_pop3_event *ev)
{
    bool logged_in = srv->state == EXPECT_COMMAND;
    char names[MAIL_SASL_MECHANISMS_SIZE];
    bool has_sasl = mail_sasl_mechanisms_print(pop3_mechanisms(srv), names) > 0;

    (void)arg;
    (void)ev;
    /* RFC 2449, section 6: in the same order and with the same values in both states. */
    return pop3_say(
        srv,
        "+OK\r\n%s%s%s%s%s%sTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\n"
        "EXPIRE NEVER\r\n%s.",
        srv->stls && !srv->is_private && !logged_in ? "STLS\r\n" : "",
        pop3_takes_passwords(srv) ? "USER\r\n" : "", has_sasl ? "SASL " : "", names,
        has_sasl ? "\r\n" : "", srv->offers_utf8 ? "UTF8 USER\r\nLANG\r\n" : "",
        logged_in ? "IMPLEMENTATION libmail\r\n" : "");
}

/*
 * Who speaks another protocol to us may be a browser that was tricked into it, with a user's secrets
 * behind its first lines. For whom a proxy speaks is settled before the session, or never.
 */
static int on_foreign(mail_pop3_server *srv, mail_span arg, mail_pop3_event *ev)
{
    (void)arg;
    (void)ev;
    pop3_end(srv, MAIL_POP3_END_FOREIGN);
    return pop3_say(srv, "-ERR only POP3 is spoken here");
}

static int on_noop(mail_pop3_server *srv, mail_span arg, mail_pop3_event *ev)
{
    (void)arg;
    (void)ev;
    return pop3_say(srv, "+OK");
}

static int on_stat(mail_pop3_server *srv, mail_span arg, mail_pop3_event *ev)
{
    (void)arg;
    (void)ev;
    return pop3_say(srv, "+OK %zu %" PRIu64, srv->left_count, srv->left_size);
}

/* The message that `arg` names, if the session has it and it is not marked. */
static bool find_message(const mail_pop3_server *srv, mail_span arg, size_t *index_out)
{
    uint64_t number;

    if (!ascii_number(arg, UINT64_MAX, &number) || number < 1 || number > srv->count ||
        mail_mark_is_set(srv->marks, (size_t)number - 1)) {
        return false;
    }
    *index_out = (size_t)number - 1;
    return true;
}

static int no_such_message(mail_pop3_server *srv)
{
    return pop3_say(srv, "-ERR no such message");
}

static int begin_list(mail_pop3_server *srv, bool ids)
{
    srv->state = EXPECT_ROOM;
    srv->lists_ids = ids;
    srv->list_next = 0;
    return pop3_say(srv, "+OK %zu messages", srv->left_count);
}

int pop3_list_on(mail_pop3_server *srv)
{
    for (; srv->list_next < srv->count; srv->list_next++) {
        const mail_maildrop_message *msg = &srv->messages[srv->list_next];
        int code;

        if (mail_mark_is_set(srv->marks, srv->list_next)) {
            continue;
        }
        if (buffer_room(&srv->out) < POP3_PIECE_ROOM) {
            return MAIL_OK;
        }
        code = srv->lists_ids
                   ? pop3_say(srv, "%zu %.*s", srv->list_next + 1, MAIL_MESSAGE_ID_MAX, msg->id)
                   : pop3_say(srv, "%zu %" PRIu64, srv->list_next + 1, msg->size);
        if (code != MAIL_OK) {
            return code;
        }
    }
    srv->state = EXPECT_COMMAND;
    return pop3_say(srv, ".");
}

static int on_list(mail_pop3_server *srv, mail_span arg, mail_pop3_event *ev)
{
    size_t index;

    (void)ev;
    if (arg.length == 0) {
        return begin_list(srv, false);
    }
    if (!find_message(srv, arg, &index)) {
        return no_such_message(srv);
    }
    return pop3_say(srv, "+OK %zu %" PRIu64, index + 1, srv->messages[index].size);
}

static int on_uidl(mail_pop3_server *srv, mail_span arg, mail_pop3_event *ev)
{
    size_t index;

    (void)ev;
    if (arg.length == 0) {
        return begin_list(srv, true);
    }
    if (!find_message(srv, arg, &index)) {
        return no_such_message(srv);
    }
    return pop3_say(srv, "+OK %zu %.*s", index + 1, MAIL_MESSAGE_ID_MAX, srv->messages[index].id);
}

static int ask_message(mail_pop3_server *srv, size_t index, uint64_t lines, mail_pop3_event *ev)
{
    srv->message = (pop3_message){
        .index = index, .lines_left = lines, .in_header = true, .is_blank = true, .last = '\n'};
    *ev = (mail_pop3_event){.type = MAIL_POP3_EV_MESSAGE,
                            .index = index,
                            .lines = lines,
                            .needs_ascii = srv->offers_utf8 && !srv->utf8};
    srv->state = AWAIT_MESSAGE;
    return MAIL_OK;
}

static int on_retr(mail_pop3_server *srv, mail_span arg, mail_pop3_event *ev)
{
    size_t index;

    return find_message(srv, arg, &index) ? ask_message(srv, index, MAIL_POP3_ALL_LINES, ev)
                                          : no_such_message(srv);
}

static int on_top(mail_pop3_server *srv, mail_span arg, mail_pop3_event *ev)
{
    const char *space = arg.length > 0 ? memchr(arg.data, ' ', arg.length) : NULL;
    size_t before = space != NULL ? (size_t)(space - arg.data) : arg.length;
    uint64_t lines;
    size_t index;

    if (space == NULL || !ascii_number(mail_span_from(arg, before + 1), UINT64_MAX, &lines)) {
        return pop3_fault(srv, "TOP needs a message and a number of lines");
    }
    if (!find_message(srv, mail_span_first(arg, before), &index)) {
        return no_such_message(srv);
    }
    return ask_message(srv, index, lines < MAIL_POP3_ALL_LINES ? lines : lines - 1, ev);
}

static int on_dele(mail_pop3_server *srv, mail_span arg, mail_pop3_event *ev)
{
    size_t index;

    (void)ev;
    if (!find_message(srv, arg, &index)) {
        return no_such_message(srv);
    }
    mail_mark_set(srv->marks, index);
    srv->left_count--;
    srv->left_size -= srv->messages[index].size;
    return pop3_say(srv, "+OK message %zu will be removed", index + 1);
}

static int on_rset(mail_pop3_server *srv, mail_span arg, mail_pop3_event *ev)
{
    (void)arg;
    (void)ev;
    if (srv->left_count < srv->count) {
        memset(srv->marks, 0, MAIL_MARKS_SIZE(srv->count));
    }
    srv->left_count = srv->count;
    srv->left_size = 0;
    for (size_t i = 0; i < srv->count; i++) {
        srv->left_size += srv->messages[i].size;
    }
    return pop3_say(srv, "+OK %zu messages (%" PRIu64 " octets)", srv->count, srv->left_size);
}

/*
 * RFC 1939, sections 4 and 6: only QUIT after a login removes anything. The answer waits
 * until the maildrop is free again, so that whoever has it may log in anew at once.
 */
static int on_quit(mail_pop3_server *srv, mail_span arg, mail_pop3_event *ev)
{
    (void)arg;
    if (srv->state != EXPECT_COMMAND) {
        srv->state = CLOSING;
        return pop3_say(srv, "+OK bye");
    }
    ev->type = MAIL_POP3_EV_UPDATE;
    ev->marks = srv->left_count < srv->count ? srv->marks : NULL;
    srv->state = AWAIT_UPDATE;
    return MAIL_OK;
}

typedef enum argument {
    NONE,    /* there must be none */
    TRIMMED, /* blanks around it don't matter */
    VERBATIM /* every octet counts (RFC 1939, section 7, PASS) */
} argument;

static const struct verb {
    const char *name;
    unsigned states; /* where it may come; elsewhere it is refused and never runs */
    argument takes;
    int (*run)(mail_pop3_server *srv, mail_span arg, mail_pop3_event *ev);
} verbs[] = {
    {"APOP", AUTHORIZATION, VERBATIM, pop3_on_apop},
    {"AUTH", AUTHORIZATION, VERBATIM, pop3_on_auth},
    {"CAPA", ANYWHERE, NONE, on_capa},
    {"CONNECT", ANYWHERE, VERBATIM, on_foreign},
    {"DELE", TRANSACTION, TRIMMED, on_dele},
    {"EHLO", ANYWHERE, VERBATIM, on_foreign},
    {"GET", ANYWHERE, VERBATIM, on_foreign},
    {"HEAD", ANYWHERE, VERBATIM, on_foreign},
    {"HELO", ANYWHERE, VERBATIM, on_foreign},
    {"LANG", ANYWHERE, TRIMMED, pop3_on_lang},
    {"LIST", TRANSACTION, TRIMMED, on_list},
    {"NOOP", TRANSACTION, NONE, on_noop},
    {"OPTIONS", ANYWHERE, VERBATIM, on_foreign},
    {"PASS", IN(EXPECT_PASS), VERBATIM, pop3_on_pass},
    {"POST", ANYWHERE, VERBATIM, on_foreign},
    {"PROXY", ANYWHERE, VERBATIM, on_foreign},
    {"PUT", ANYWHERE, VERBATIM, on_foreign},
    {"QUIT", ANYWHERE, NONE, on_quit},
    {"RETR", TRANSACTION, TRIMMED, on_retr},
    {"RSET", TRANSACTION, NONE, on_rset},
    {"STAT", TRANSACTION, NONE, on_stat},
    {"STLS", AUTHORIZATION, NONE, pop3_on_stls},
    {"TOP", TRANSACTION, TRIMMED, on_top},
    {"UIDL", TRANSACTION, TRIMMED, on_uidl},
    {"USER", AUTHORIZATION, VERBATIM, pop3_on_user},
    {"UTF8", AUTHORIZATION, NONE, pop3_on_utf8},
};

static const struct verb *find_verb(mail_span word)
{
    for (size_t i = 0; i < MAIL_COUNT(verbs); i++) {
        if (mail_span_equal_nocase(word, mail_span_text(verbs[i].name))) {
            return &verbs[i];
        }
    }
    return NULL;
}

int pop3_command(mail_pop3_server *srv, mail_span line, mail_pop3_event *ev)
{
    const char *space = line.length > 0 ? memchr(line.data, ' ', line.length) : NULL;
    size_t before = space != NULL ? (size_t)(space - line.data) : line.length;
    mail_span arg = mail_span_from(line, space != NULL ? before + 1 : before);
    const struct verb *vb = find_verb(mail_span_first(line, before));

    if (vb == NULL) {
        return pop3_fault(srv, "unknown command");
    }
    if ((vb->states & IN(srv->state)) == 0) {
        return pop3_fault(srv, srv->state == EXPECT_COMMAND ? "already logged in"
                                                            : "not before USER and PASS");
    }
    if (ascii_has_control(arg)) { /* a NUL would cut the name short for those who think in C */
        return pop3_fault(srv, "control character");
    }
    if (vb->takes != VERBATIM) {
        arg = ascii_trim(arg, " ");
    }
    if (vb->takes == NONE && arg.length > 0) {
        return pop3_fault(srv, "unexpected argument");
    }
    if (srv->state == EXPECT_PASS && vb->run != pop3_on_pass) {
        srv->state = EXPECT_USER; /* PASS only directly after USER (RFC 1939, section 7) */
    }
    return vb->run(srv, arg, ev);
}
