/* SPDX-License-Identifier: MIT */
#ifndef LIB_NET_SMTP_SESSION_H
#define LIB_NET_SMTP_SESSION_H

#include <mail/smtp_service.h>

#include "base/buffer.h"
#include "base/list.h"
#include "net/door.h"
#include "net/link.h"
#include "net/listener.h"
#include "net/login.h"
#include "net/tls_filter.h"

/* What becomes of the message that is coming in. */
typedef enum smtp_taking {
    SMTP_TAKING_NOTHING, /* nobody has it: the policy is asked at the end */
    SMTP_TAKING_ALL,     /* the sink's `finish` is the verdict */
    SMTP_TAKING_ASKING   /* the sink takes it, the policy gives the verdict */
} smtp_taking;

/* One session: the link, the engine, and the question that the policy owes an answer. */
typedef struct smtp_session {
    mail_smtp_session shown;    /* first: what the policy sees */
    mail_smtp_service *service; /* NULL: destroyed while `finish` was under way */
    const mail_mem *mem;
    list orphan; /* in the service, when only `finish` is left */
    net_link link;
    mail_smtp_server *engine;
    net_tls *tls; /* NULL: in clear. Used once the link has it as its filter */
    mail_tls_facts facts;
    net_guest guest;  /* what it counts for */
    net_login *login; /* NULL: no AUTH is under way, or it is the policy's */
    uint32_t slot;
    mail_smtp_event_type question; /* open; EV_NONE: none */
    smtp_taking taking;
    mail_sink *sink;
    buffer spill; /* body bytes for which the sink had no room */
    int failure;  /* of the sink, or the verdict in LMTP */
    char *helo;
    size_t helo_length;
    char *next_helo; /* while it is being asked about */
    size_t next_helo_length;
    char *accepted;
    size_t accepted_length;
    bool next_esmtp;
    bool binds; /* users may log in bound to their TLS session */
    bool has_verdict;  /* LMTP: `failure` answers the other recipients */
    bool feeding;      /* in a turn: what comes next is looked at anyway */
    bool finishing;    /* the sink's `finish` is under way */
    bool starved;      /* no memory: the session is to end */
    mail_time gone_at; /* once it is over: when the rest of `out` is not waited for any more */
    bool is_over;      /* EV_CLOSE was given */
    bool is_mute;      /* nothing more is sent */
} smtp_session;

typedef struct smtp_slot {
    smtp_session *session; /* NULL: free */
    uint32_t serial;       /* of its last question */
    uint32_t next_free;
} smtp_slot;

typedef struct smtp_listener {
    list link;
    mail_smtp_service *service;
    net_listener listener;
    mail_smtp_server_options engine;
    char *hostname;
    void *arg;
} smtp_listener;

struct mail_smtp_service {
    mail_loop *loop;
    mail_smtp_service_options opts;
    const mail_mem *mem;
    const mail_sockets *net;
    mail_tls_context *tls; /* NULL: none */
    net_logins *logins;    /* NULL: AUTH is the policy's */
    list listeners;
    smtp_slot *slots;
    uint32_t slot_count; /* ever used */
    uint32_t slot_capacity;
    uint32_t first_free; /* SLOT_NONE: none */
    list orphans;        /* sessions that are gone but for their `finish` */
    uint64_t last_serial;
    net_door door;
    mail_duration last_words; /* how long a client may take to hear them */
    mail_timer *drained;
    void (*drain_fn)(void *arg);
    void *drain_arg;
    unsigned calling; /* the policy */
};

#define SLOT_NONE UINT32_MAX

/* smtp_session.c */

/*
 * Begins a session on `fd` in a slot of its own; `engine` is whole and has our memory. MAIL_ENOMEM, MAIL_EINVAL, MAIL_ESYS.
 * Ownership: takes `fd` if it succeeds.
 */
int smtp_session_open(smtp_session **out, mail_smtp_service *service, uint32_t slot, int fd,
                      const mail_smtp_server_options *engine);

/* Ends it at once, telling the policy. */
void smtp_session_cut(smtp_session *ss);

/* Ends it when no message is under way. */
void smtp_session_drain(smtp_session *ss);

/* Answers its open question. */
int smtp_session_answer(smtp_session *ss, const mail_reply *reply);

int smtp_session_answer_auth(smtp_session *ss, const mail_sasl_answer *answer);

/* Within the session. */

/* Puts the engine's question to the policy. */
void smtp_session_ask(smtp_session *ss, const mail_smtp_event *ev);

/* The connection is gone, and nothing is under way any more. */
void smtp_session_free(smtp_session *ss);

/* smtp_message.c: EV_DATA, EV_BODY and EV_END. */
void smtp_message_begin(smtp_session *ss, const mail_smtp_event *ev);
void smtp_message_put(smtp_session *ss, mail_span body);
void smtp_message_end(smtp_session *ss, const mail_smtp_event *ev);

/* Aborts what the sink has of a message, if there is one. */
void smtp_message_drop(smtp_session *ss);

/* How much of `length` octets the engine may be fed. */
size_t smtp_message_limit(smtp_session *ss, size_t length);

/* Nothing may be fed until the sink has room. */
bool smtp_message_is_stalled(const smtp_session *ss);

/* Answers EV_DATA with yes. Ownership: takes `sink`, in any case. MAIL_ENOMEM. */
int smtp_message_take(smtp_session *ss, mail_sink *sink, smtp_taking taking, mail_span accepted);

/* smtp_login.c */

/* Answers EV_AUTH by the service's accounts. */
void smtp_login_begin(smtp_session *ss, const mail_sasl_question *question);

/* Looks whether the engine has come to an end with AUTH. */
void smtp_login_settle(smtp_session *ss);

/* The session ends. */
void smtp_login_drop(smtp_session *ss);

/* smtp_service.c */

/* The ticket for a new question of `slot`; that of the one before is stale. */
mail_ticket smtp_service_ticket(mail_smtp_service *service, uint32_t slot);

/* The connection has gone: frees the slot. One whose `finish` is under way becomes an orphan. */
void smtp_service_forget(mail_smtp_service *service, smtp_session *ss);

/* Calls `drain_fn` soon if that was the last one. */
void smtp_service_check_drained(mail_smtp_service *service);

#endif
