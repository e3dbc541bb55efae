/* SPDX-License-Identifier: MIT */
#ifndef LIB_POP3_SERVER_H
#define LIB_POP3_SERVER_H

#include <mail/pop3_server.h>

#include "base/buffer.h"
#include "sasl/md5.h"

/* The longest command, CRLF included (RFC 2449, section 4). */
#define POP3_LINE_MAX 255

/* A command is run only if so much room is left for its reply. */
#define POP3_REPLY_ROOM 1024

/* Below this much room the message and the lines of a list wait. */
#define POP3_PIECE_ROOM 2048

/*
 *   EXPECT_TLS --tls_started--> EXPECT_START --first feed--> AWAIT_CONNECT --accept--> EXPECT_USER
 *
 *   EXPECT_USER --STLS--> AWAIT_STLS --accept--> EXPECT_TLS --tls_started--> EXPECT_USER
 *        | ^                                                                  ^
 *   USER | | other               refuse                                       |
 *        v |            +---------------------> EXPECT_USER <--refuse-- AWAIT_DENIAL
 *   EXPECT_PASS         |                                                     ^
 *        |              |                                                  EV_DENY
 *        +--PASS--> ASKING --EV_AUTH--> AWAIT_AUTH --answer_auth--------> UNPROVED
 *                       ^ ^                |   |                             ^
 *    APOP, AUTH --------+ +----- line -----+   +--------> PROVED             |
 *    (from EXPECT_USER)      EXPECT_AUTH <-+     line ----> |  \-- wrong -----+
 *                                                        EV_LOGIN
 *                                                           v
 *                              EXPECT_USER <--refuse-- AWAIT_LOGIN
 *                                                           | login
 *                                                           v
 *   EXPECT_MESSAGE <--accept-- AWAIT_MESSAGE <--RETR, TOP-- EXPECT_COMMAND --LIST, UIDL--> EXPECT_ROOM
 *        |                          |refuse                   ^ |   ^                        |
 *        +---------- sent ----------+-------------------------+ |   +-------- listed --------+
 *                                                       QUIT
 *                                                               v
 *   every state --QUIT, eof, tick, shutdown, too many--> CLOSING <--accept, refuse-- AWAIT_UPDATE
 *                                                          |
 *                                                       EV_CLOSE --> CLOSED
 */
typedef enum pop3_state {
    EXPECT_TLS, /* the embedder shakes hands */
    EXPECT_START,
    AWAIT_CONNECT, /* AWAIT: the embedder owes an answer */
    EXPECT_USER,
    EXPECT_PASS,
    AWAIT_STLS,
    EXPECT_AUTH, /* the client's next line of an exchange */
    ASKING,      /* EV_AUTH has not been told yet */
    AWAIT_AUTH,
    UNPROVED, /* EV_DENY has not been told yet */
    AWAIT_DENIAL,
    PROVED, /* EV_LOGIN has not been told yet */
    AWAIT_LOGIN,
    EXPECT_COMMAND,
    AWAIT_MESSAGE,
    EXPECT_MESSAGE, /* the embedder sends the message */
    EXPECT_ROOM,    /* a list goes on when there is room in out */
    AWAIT_UPDATE,
    CLOSING, /* EV_CLOSE has not been told yet */
    CLOSED,
} pop3_state;

/* The message that is being sent. */
typedef struct pop3_message {
    size_t index;
    uint64_t lines_left; /* of the body; MAIL_POP3_ALL_LINES: all */
    bool in_header;
    bool is_blank; /* the current line has nothing but, perhaps, a CR so far */
    char last;     /* octet sent last; '\n' at the start */
} pop3_message;

/* Who the client says it is, and how it proves it. */
typedef struct pop3_auth {
    mail_sasl_server *sasl; /* NULL: none, or APOP */
    mail_sasl_question question;
    bool was_asked; /* a secret was tried */
    char apop_digest[SASL_MD5_LENGTH];
    char timestamp[300]; /* of the greeting; empty: no APOP */
    uint8_t user_length;
    char user[POP3_LINE_MAX];
} pop3_auth;

struct mail_pop3_server {
    const mail_mem *mem;
    const struct mail_random *random;
    pop3_state state;
    mail_pop3_end end; /* why it is CLOSING or CLOSED */
    buffer out;
    mail_time active_at; /* of the last sign of life */
    mail_time login_by;
    mail_duration idle_timeout;
    mail_time end_at;        /* of the session, at the latest */
    mail_time reading_since; /* the peer is behind with reading since; MAIL_NEVER: it is not */
    uint64_t read_since;     /* octets */
    uint32_t min_rate;
    uint32_t commands_left;
    uint32_t errors_left;
    uint32_t logins_left;
    unsigned auth_mechanisms;
    uint8_t auth_disguise[32];
    bool auth_in_clear;
    bool implicit_tls;
    bool stls;       /* is offered, until TLS is on */
    bool is_private; /* TLS is on */
    bool offers_utf8;
    bool utf8;         /* the client can read it */
    bool told_dropped; /* that there was input behind STLS */
    bool has_binding;
    bool shutting_down;
    bool eating;      /* within a line that is too long */
    bool eating_cr;   /* whose last octet so far is a CR */
    bool lists_ids;   /* EXPECT_ROOM: UIDL, else LIST */
    size_t list_next; /* EXPECT_ROOM: index of the message to list next */
    const mail_maildrop_message *messages;
    size_t count;
    uint8_t *marks; /* of messages to remove */
    size_t left_count;
    uint64_t left_size;
    pop3_message message;
    pop3_auth auth;
    uint8_t binding[32];
    char *identity; /* who the client's certificate names; NULL: nobody */
    char hostname[256];
};

/* Appends a reply, CRLF added. There must be POP3_REPLY_ROOM. MAIL_ENOMEM. */
int pop3_say(mail_pop3_server *srv, const char *format, ...) MAIL_PRINTF(2, 3);

/* The session ends, because of what the peer has done. */
void pop3_end(mail_pop3_server *srv, mail_pop3_end why);

/* Refuses a command that breaks the protocol; the session ends when there were too many. */
int pop3_fault(mail_pop3_server *srv, const char *text);

/* Runs one command, `line` being without its CRLF. May fill `ev`. */
int pop3_command(mail_pop3_server *srv, mail_span line, mail_pop3_event *ev);

/* EXPECT_ROOM: goes on with the list as far as there is room. */
int pop3_list_on(mail_pop3_server *srv);

/* Begins the message that was asked for: the line before it. */
int pop3_message_begin(mail_pop3_server *srv);

/* How a client says who it is. */
int pop3_on_user(mail_pop3_server *srv, mail_span arg, mail_pop3_event *ev);
int pop3_on_pass(mail_pop3_server *srv, mail_span arg, mail_pop3_event *ev);
int pop3_on_apop(mail_pop3_server *srv, mail_span arg, mail_pop3_event *ev);
int pop3_on_auth(mail_pop3_server *srv, mail_span arg, mail_pop3_event *ev);

/* EXPECT_AUTH: takes one line, without its CRLF. */
int pop3_auth_line(mail_pop3_server *srv, mail_span line);

/* The mechanisms that can be offered now, as bits. */
unsigned pop3_mechanisms(const mail_pop3_server *srv);

/* Whether USER and PASS may be used now. */
bool pop3_takes_passwords(const mail_pop3_server *srv);

/* Makes the timestamp of APOP. */
void pop3_make_timestamp(mail_pop3_server *srv);

/* What was said of who the client is counts no more. */
void pop3_forget_auth(mail_pop3_server *srv);

int pop3_on_utf8(mail_pop3_server *srv, mail_span arg, mail_pop3_event *ev);
int pop3_on_lang(mail_pop3_server *srv, mail_span arg, mail_pop3_event *ev);

int pop3_on_stls(mail_pop3_server *srv, mail_span arg, mail_pop3_event *ev);

/* EXPECT_TLS: uses all of `in`. */
void pop3_tls_step(mail_pop3_server *srv, mail_span in, size_t *used, mail_pop3_event *ev);

#endif
