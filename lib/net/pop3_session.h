/* SPDX-License-Identifier: MIT */
#ifndef LIB_NET_POP3_SESSION_H
#define LIB_NET_POP3_SESSION_H

#include <mail/pop3_service.h>

#include "base/list.h"
#include "net/clients.h"
#include "net/link.h"
#include "net/listener.h"
#include "net/proxies.h"

/* What of a session is done on a worker; one at a time. */
typedef enum pop3_job {
    JOB_NONE,
    JOB_LOGIN,   /* check the password, open the mailbox */
    JOB_MESSAGE, /* open a message and read its first piece */
    JOB_PIECE,   /* read the next piece */
    JOB_UPDATE,  /* remove what is marked, close the mailbox */
    JOB_CLOSE    /* close the mailbox of a lost connection */
} pop3_job;

/* What a login needs on its way; gone when it is answered. */
typedef struct pop3_login {
    mail_accounts *accounts;
    bool is_known; /* the password was right: `code` is of the mailbox */
    int code;
    mail_error err;
    uint8_t user_length;
    uint8_t password_length;
    char user[256];
    char password[256];
} pop3_login;

typedef struct pop3_session {
    list link_in_service;
    list waiting; /* for its turn to log in */
    mail_pop3_service *service;
    net_link link;
    mail_pop3_server *engine;
    mail_endpoint peer;
    net_client *client; /* NULL: not counted */
    pop3_job job;       /* under way */
    int job_code;
    bool is_over;         /* the engine has closed */
    bool is_disconnected; /* the link has closed */
    pop3_login *login;
    char *user; /* once logged in */
    size_t user_size;
    unsigned failures;   /* of logins in this session */
    mail_time refuse_at; /* when a wrong login is answered; MAIL_NEVER: none is */
    mail_mailbox *mailbox;
    size_t index;          /* JOB_MESSAGE: which */
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

struct mail_pop3_service {
    mail_loop *loop;
    mail_pop3_service_options opts;
    const mail_mem *mem;
    const mail_sockets *net;
    char *mail_dir;
    mail_accounts *accounts;
    list listeners;
    list sessions;
    size_t session_count;
    list waiting;    /* sessions whose login waits for a worker */
    unsigned logins; /* under way on workers */
    net_clients clients;
    net_proxies proxies;
    mail_timer *drained;
    void (*drain_fn)(void *arg);
    void *drain_arg;
    bool draining;
};

/*
 * Begins a session on `fd`, with what was `said` there already. MAIL_EINVAL, MAIL_ENOMEM, MAIL_ESYS.
 * Ownership: takes `fd` if it succeeds; takes `client`, which may be NULL, likewise.
 */
int pop3_session_open(mail_pop3_service *service, int fd, const mail_endpoint *peer,
                      net_client *client, mail_span said, const mail_pop3_server_options *engine);

/* Ends it between two commands. */
void pop3_session_drain(pop3_session *ss);

/* Closes its connection. */
void pop3_session_cut(pop3_session *ss);

/* pop3_service.c: the session is gone for good. */
void pop3_service_forget(pop3_session *ss);

#endif
