/* SPDX-License-Identifier: MIT */
#ifndef LIB_NET_SMTP_CONNECTION_H
#define LIB_NET_SMTP_CONNECTION_H

#include <mail/smtp_connection.h>

#include "net/dialer.h"
#include "net/link.h"
#include "net/tls_filter.h"

/* What smtp_connection.c and smtp_connection_tls.c share. */

/*
 *   DIALING --connected--> OPEN --over, lost--> CLOSED      (on_closed at the end of it)
 *      \--------refused, too late----------------^
 *
 * TLS begins within OPEN, once the engine says so: `tls` is there, and the link passes all
 * through it. What the engine would hear waits until the handshake is done.
 *
 * A callback may destroy the connection in the middle of a turn of its link. The link
 * then ends the turn, says that it is closed, and only there the memory goes.
 */
typedef enum smtp_connection_state {
    SMTP_CONNECTION_DIALING,
    SMTP_CONNECTION_OPEN,
    SMTP_CONNECTION_CLOSED
} smtp_connection_state;

typedef struct smtp_trust_reading smtp_trust_reading;

struct mail_smtp_connection {
    mail_loop *loop;
    mail_smtp_connection_options opts;
    const mail_mem *mem;
    char *hostname; /* of opts.client, copied until the engine has it */
    smtp_connection_state state;
    mail_endpoint to; /* ip.family 0: a unix socket */
    net_dialer dialer;
    net_link link;
    mail_smtp_client *engine;    /* from OPEN on */
    mail_source *source;         /* of the message under way, until it is read */
    bool pumping;                /* the engine wants the message */
    smtp_trust_reading *reading; /* a worker learns whom to believe; else NULL */
    net_tls *tls;                /* from the handshake on */
    bool is_private;             /* it is done */
    bool has_heard;              /* something, inside TLS */
    bool has_asked;              /* on_verify was called */
    uint8_t (*pins)[32];         /* of opts.session, copied, as is its name */
    char *name;
    bool leaves; /* QUIT as soon as possible */
    bool was_ready;
    bool is_destroyed;
    mail_reply failure; /* ours; code 0: ask the engine */
    char failure_text[128];
};

/* Copies what the options say of TLS, and checks it. MAIL_EINVAL, MAIL_ENOMEM. */
int smtp_connection_copy_tls(mail_smtp_connection *conn);
void smtp_connection_forget_tls(mail_smtp_connection *conn);

/* Whether TLS has a question open, to us or to a worker: no more is read meanwhile. */
bool smtp_connection_is_asking(const mail_smtp_connection *conn);

/* Begins the handshake, once the engine has seen all that came in clear and it is known whom to believe. */
void smtp_connection_start_tls(mail_smtp_connection *conn, mail_time now);

/* True: nothing is to be heard yet. Asks whom to believe, and tells the engine of the end of it. */
bool smtp_connection_awaits_handshake(mail_smtp_connection *conn, mail_time now);

/* The link has said that no more will come: in the handshake, TLS may know better why. */
void smtp_connection_tell_failed_handshake(mail_smtp_connection *conn, mail_time now);

/* Keeps the session to be resumed. TLS 1.3 gives the key only with the first words said inside. */
void smtp_connection_keep_session(mail_smtp_connection *conn);

#endif
