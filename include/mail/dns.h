/* SPDX-License-Identifier: MIT */
#ifndef MAIL_DNS_H
#define MAIL_DNS_H

#include <mail/address.h>
#include <mail/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What may be asked for; the numbers of the DNS. */
typedef enum mail_dns_type {
    MAIL_DNS_A = 1,
    MAIL_DNS_MX = 15,
    MAIL_DNS_TXT = 16,
    MAIL_DNS_AAAA = 28
} mail_dns_type;

/** `A`, `MX`, `TXT` or `AAAA`. */
MAIL_API const char *mail_dns_type_name(mail_dns_type type);

/** What an answer says. */
typedef enum mail_dns_status {
    MAIL_DNS_FOUND,    /* there are records */
    MAIL_DNS_NODATA,   /* the name exists, without records of this type */
    MAIL_DNS_NXDOMAIN, /* no such name */
    MAIL_DNS_ALIAS,    /* an alias of `name`, about which nothing was said: ask for that */
    MAIL_DNS_FAILED    /* no answer, or one that can't be used: another time perhaps */
} mail_dns_status;

/** `found`, `nodata` … */
MAIL_API const char *mail_dns_status_name(mail_dns_status status);

/** One record; which members count goes by the type that was asked for. */
typedef struct mail_dns_record {
    mail_ip ip;          /* A, AAAA */
    uint16_t preference; /* MX */
    const char *host;    /* MX: lower case, no final dot; `.` is the root, empty is no host name */
    mail_span text;      /* TXT: its strings, joined; any octets */
} mail_dns_record;

/** The answer to one question. */
typedef struct mail_dns_answer {
    mail_dns_status status;
    mail_dns_type type;
    uint32_t ttl;     /* seconds for which this holds, aliases included; 0: for this use only */
    unsigned aliases; /* how many were followed (CNAME) */
    const char *name; /* where they led; lower case, no final dot */
    const mail_dns_record *records;
    size_t count;
    const char *reason;  /* MAIL_DNS_FAILED: why, for a person; static */
    const mail_mem *mem; /* private */
    size_t size;         /* private: of the one block that all of this lies in */
} mail_dns_answer;

/** NULL does nothing. */
MAIL_API void mail_dns_answer_destroy(mail_dns_answer *answer);

/** The longest packet that a question is sent in. */
#define MAIL_DNS_QUESTION_SIZE 320

struct mail_random;

/**
 * One question to a recursive DNS server, without any socket: gives the packet to
 * send and judges the packets that come back. A plain value; nothing to deinit.
 *
 * Against forged answers (RFC 5452) each packet has an unguessable id and the
 * letters of its name in random case; the caller adds a random port.
 */
typedef struct mail_dns_question {
    char name[MAIL_DOMAIN_SIZE];                  /* private: lower case */
    mail_dns_type type;                           /* private */
    const struct mail_random *random;             /* private */
    bool no_0x20;                                 /* private */
    bool no_edns;                                 /* private: the server does not know it */
    size_t length;                                /* private: of the packet */
    unsigned char packet[MAIL_DNS_QUESTION_SIZE]; /* private */
} mail_dns_question;

typedef struct mail_dns_question_options {
    bool no_0x20;                     /* letters stay lower case */
    const struct mail_random *random; /* private */
} mail_dns_question_options;

/**
 * Sets up a question. `name` is a host name of ASCII letters, digits, hyphens and
 * underscores (mail_domain_to_ascii makes one), taken as it is: no search list.
 *
 * Errors: MAIL_EINVAL for a bad name; MAIL_ENOMEM.
 */
MAIL_API int mail_dns_question_init(mail_dns_question *question, mail_span name, mail_dns_type type,
                                    const mail_dns_question_options *opts);

/** Begins anew for another try: another id, another case. Errors: MAIL_ENOMEM. */
MAIL_API int mail_dns_question_renew(mail_dns_question *question);

/** The packet to send. Over TCP its length goes before it, as two octets. Lends until renewed. */
MAIL_API mail_span mail_dns_question_out(const mail_dns_question *question);

/** How a packet came. */
typedef enum mail_dns_transport {
    MAIL_DNS_UDP,
    MAIL_DNS_TCP
} mail_dns_transport;

/** What a packet came to. */
typedef enum mail_dns_event_type {
    MAIL_DNS_EV_IGNORED,  /* not an answer to this question: wait on; `reason` says why */
    MAIL_DNS_EV_ANSWER,   /* done */
    MAIL_DNS_EV_NEED_TCP, /* cut short, or not sure to be genuine: ask again over TCP */
    MAIL_DNS_EV_AGAIN     /* the server can't read it: `out` is simpler now, send that */
} mail_dns_event_type;

typedef struct mail_dns_event {
    mail_dns_event_type type;
    mail_dns_answer *answer; /* MAIL_DNS_EV_ANSWER. Ownership: gives */
    const char *reason;      /* for a person; static */
} mail_dns_event;

/**
 * Judges one packet (over TCP without its length). Only the records that belong to
 * the question or to its chain of aliases are looked at; other sections are used
 * for nothing but the time that a negative answer holds (RFC 2308).
 *
 * The answer's memory comes from `mem`, which must outlive it.
 *
 * Errors: MAIL_ENOMEM.
 */
MAIL_API int mail_dns_question_feed(mail_dns_question *question, mail_dns_transport transport,
                                    mail_span packet, const mail_mem *mem, mail_dns_event *ev);

#ifdef __cplusplus
}
#endif

#endif
