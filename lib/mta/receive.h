/* SPDX-License-Identifier: MIT */
#ifndef LIB_MTA_RECEIVE_H
#define LIB_MTA_RECEIVE_H

#include <mail/header.h>
#include <mail/receive.h>
#include <mail/smtp_service.h>

#include "base/list.h"
#include "mta/domain_set.h"
#include "mta/measure.h"

struct dropbox;

struct mail_receive {
    const mail_mem *mem;
    const mail_log *log;
    mail_loop *loop;
    mail_receive_options opts; /* every default filled in */
    char *hostname;
    domain_set local;
    char *default_domain; /* completes addresses without one */
    mail_network *relay_from;
    mail_aliases *aliases;
    mail_accounts *accounts; /* NULL: none of ours */
    bool has_tls;
    mail_smtp_service *service;
    mail_intake *intake;
    mail_bell *bell;
    struct dropbox *dropbox;
    receive_measure measure;
};

mail_wall receive_wall(const mail_receive *rcv);

/* What is known of where a message comes from. */
typedef struct origin {
    mail_ip peer; /* family 0: this host */
    mail_span helo;
    unsigned with;   /* MAIL_WITH_… */
    const char *tls; /* its version; NULL: in clear */
    mail_span user;  /* who has logged in; empty: nobody */
    bool may_relay;
    bool was_dropped; /* by a program of user `uid` */
    uint32_t uid;
} origin;

/*
 * recipient.c: judges a recipient and, if it is good, adds it to `envelope` as what it
 * stands for. Code 0: added; else the reply that refuses it.
 */
mail_reply recipient_add(const mail_receive *rcv, const origin *from, const mail_path *path,
                         const mail_recipient *given, mail_envelope *envelope);

/* The canonical form of an address, with the default domain if it has none. */
void recipient_complete(const mail_receive *rcv, mail_span address, mail_path *out);

/* Whether an address is in a domain of ours. */
bool recipient_is_local(const mail_receive *rcv, const mail_path *path);

/* The address that a target of `alias` stands for. False: it is none. */
bool recipient_of_target(const mail_path *alias, mail_span target, mail_path *out);

/* sender.c: whether the user of that name may say that a message is from `address`. */
bool sender_is_allowed(const mail_receive *rcv, mail_span name, const mail_path *address);

/* Whether a peer may send to domains that are not ours. */
bool recipient_may_relay(const mail_receive *rcv, const mail_smtp_session *session);

/*
 * arrival.c: a message on its way into the queue: writes our Received field first, counts those
 * that were there, and logs how it ended.
 */
typedef struct arrival {
    mail_sink sink; /* for the writer */
    mail_receive *rcv;
    mail_sink *inner; /* the queue's; NULL: none is open */
    mail_scan scan;
    char *front; /* the field, until it is written */
    size_t front_length;
    mail_finish_fn *fn; /* of the writer, while the queue makes it safe */
    void *arg;
    char id[MAIL_QUEUE_ID_SIZE];
    char sender[MAIL_PATH_MAX + 1];
    char peer[MAIL_IP_TEXT_SIZE];
    char tls[16]; /* empty: came in clear */
    char user[MAIL_SASL_NAME_MAX + 1];
    char uid[12]; /* who dropped it; empty: it was not */
    size_t recipients;
    uint64_t octets; /* of the message, without our field */
    bool is_told;    /* the log has how it ended */
    bool is_finishing;
    bool is_orphan; /* freed as soon as it is no longer finishing */
} arrival;

arrival *arrival_create(mail_receive *rcv);

/* Its writer is gone. */
void arrival_destroy(arrival *av);

/* Begins a message; its sink is `av->sink`. The codes of mail_intake_begin. */
int arrival_begin(arrival *av, const mail_envelope *envelope, const origin *from,
                  uint64_t expected);

/* dropbox.c */
int dropbox_create(struct dropbox **out, mail_receive *rcv, const char *spool, mail_error *err);
void dropbox_destroy(struct dropbox *box);
void dropbox_stop(struct dropbox *box);
void dropbox_tell(struct dropbox *box, const mail_delivery *delivery);

#endif
