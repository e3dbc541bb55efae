/* SPDX-License-Identifier: MIT */
#ifndef LIB_NET_POP3_SESSION_H
#define LIB_NET_POP3_SESSION_H

#include <mail/pop3_service.h>

#include "base/list.h"
#include "net/door.h"
#include "net/link.h"
#include "net/listener.h"
#include "net/login.h"
#include "net/tls_filter.h"

/* What of a session is done on a worker; one at a time. */
typedef enum pop3_job {
    JOB_NONE,
    JOB_OPEN,    /* open the mailbox */
    JOB_MESSAGE, /* open a message and read its first piece */
    JOB_PIECE,   /* read the next piece */
    JOB_UPDATE,  /* remove what is marked, close the mailbox */
    JOB_CLOSE    /* close the mailbox of a lost connection */
} pop3_job;

/* A mailbox that is being opened. */
typedef struct pop3_opening {
    char path[MAIL_MAILBOX_PATH_SIZE];
    mail_error err;
} pop3_opening;

typedef struct pop3_session {
    list link_in_service;
    mail_pop3_service *service;
    net_link link;
    mail_pop3_server *engine;
    net_tls *tls; /* NULL: in clear. Used once the link has it as its filter */
    mail_endpoint peer;
    net_guest guest; /* what it counts for */
    pop3_job job;    /* under way */
    int job_code;
    mail_time gone_at;     /* once it is over: when the rest of `out` is not waited for any more */
    bool is_over;          /* the engine has closed */
    bool is_disconnected;  /* the link has closed */
    net_login *login;      /* from EV_AUTH to EV_LOGIN or EV_DENY */
    pop3_opening *opening; /* JOB_OPEN */
    char *user;            /* once logged in, or nearly so */
    size_t user_size;
    mail_time refuse_at; /* when a wrong login is answered; MAIL_NEVER: none is */
    mail_mailbox *mailbox;
    size_t index;          /* JOB_MESSAGE: which */
    bool needs_ascii;      /* JOB_MESSAGE: the client knows nothing else */
    bool needs_utf8;       /* JOB_MESSAGE: but the message does */
    const uint8_t *marks;  /* JOB_UPDATE: which */
    mail_source *message;  /* that is being sent */
    mail_span piece;       /* of it, read already */
    bool at_end;           /* there is no piece after it */
    uint64_t message_left; /* octets by the mailbox's list */
    mail_source pieces;    /* what the engine sees of it */
    uint64_t retrieved;    /* messages, for the log */
    uint64_t removed;
} pop3_session;

typedef struct pop3_listener {
    list link;
    mail_pop3_service *service;
    net_listener listener;
    mail_pop3_server_options engine;
    char *hostname;
} pop3_listener;

/* What is counted beside the limits that were met. */
typedef struct pop3_measure {
    mail_metric *sessions;
    mail_metric *open;
    mail_metric *accepted; /* logins */
    mail_metric *refused;
    mail_metric *retrieved; /* messages */
    mail_metric *removed;
} pop3_measure;

struct mail_pop3_service {
    mail_loop *loop;
    mail_pop3_service_options opts;
    const mail_mem *mem;
    const mail_sockets *net;
    char *mail_dir;
    mail_tls_context *tls; /* NULL: none */
    net_logins *logins;
    list listeners;
    list sessions;
    net_door door;
    pop3_measure measure;
    mail_duration last_words; /* how long a client may take to hear them */
    mail_timer *drained;
    void (*drain_fn)(void *arg);
    void *drain_arg;
};

/*
 * Begins a session on `fd`, with what was `said` there already. MAIL_EINVAL, MAIL_ENOMEM, MAIL_ESYS.
 * Ownership: takes `fd` and what `guest` holds if it succeeds.
 */
int pop3_session_open(mail_pop3_service *service, int fd, const mail_endpoint *peer,
                      const net_guest *guest, mail_span said,
                      const mail_pop3_server_options *engine);

/* Ends it between two commands. */
void pop3_session_drain(pop3_session *ss);

/* Closes its connection. */
void pop3_session_cut(pop3_session *ss);

/* Within the session. */

/* As net_door_log. */
void pop3_session_log(const pop3_session *ss, mail_log_level level, const char *what,
                      mail_log_field *fields, size_t count);

/* False: it could not be started, and `job_code` says why. */
bool pop3_session_start_job(pop3_session *ss, pop3_job job);

mail_time pop3_session_now(const pop3_session *ss);

/* Answers the engine's question with yes. */
void pop3_session_accept(pop3_session *ss);

/* Answers the engine's question with no. */
void pop3_session_refuse(pop3_session *ss, mail_pop3_code code, const char *text);

/* `code` is of an answer: without memory for it the session can't go on. */
void pop3_session_check(pop3_session *ss, int code);

/* pop3_pieces.c: on a worker, for JOB_MESSAGE and JOB_PIECE. */
int pop3_pieces_open(pop3_session *ss);
int pop3_pieces_read(pop3_session *ss);

/* On the loop: EV_MESSAGE, and what comes of JOB_MESSAGE. */
void pop3_pieces_init(pop3_session *ss);
void pop3_pieces_begin(pop3_session *ss, const mail_pop3_event *ev);
void pop3_pieces_opened(pop3_session *ss);

/* Moves it on, as far as the engine has room and pieces lie at hand. */
void pop3_pieces_send(pop3_session *ss);

/* If there is one. */
void pop3_pieces_close(pop3_session *ss);

/* pop3_login.c: the engine's questions, and what comes of JOB_OPEN. */
void pop3_login_ask(pop3_session *ss, const mail_sasl_question *question);
void pop3_login_deny(pop3_session *ss);
void pop3_login_open(pop3_session *ss);
void pop3_login_opened(pop3_session *ss);

/* The time to answer a wrong login has come. */
void pop3_login_refuse(pop3_session *ss);

/* The connection is gone. */
void pop3_login_drop(pop3_session *ss);
void pop3_login_deinit(pop3_session *ss);

/* pop3_service.c: the session is gone for good. */
void pop3_service_forget(pop3_session *ss);

#endif
