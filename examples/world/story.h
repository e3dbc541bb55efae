/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_WORLD_STORY_H
#define EXAMPLES_WORLD_STORY_H

#include <mail/address.h>
#include <mail/base.h>

/*
 * A story: who there is, and what happens when. README.md describes the language in which
 * it is written. This part only reads it.
 */
enum {
    STORY_LINE_MAX = 1000, /* octets */
    STORY_WORDS_MAX = 80,  /* of a line */
    STORY_HOSTS_MAX = 16,
    STORY_DOMAINS_MAX = 64,
    STORY_MXS_MAX = 64,
    STORY_MAILBOXES_MAX = 100,
    STORY_EVENTS_MAX = 500,
    STORY_MESSAGE_RCPTS_MAX = 30,
    STORY_RCPTS_MAX = 2000, /* of all messages */
    STORY_SUBJECT_SIZE = 200
};

#define STORY_LENGTH_MAX (366 * MAIL_DAY)

/* How far a clock may be put forward or back. */
#define STORY_JUMP_MAX (10 * 366 * MAIL_DAY)

typedef struct story_host {
    char name[MAIL_DOMAIN_SIZE];
} story_host;

/* A domain whose mail is kept at a host. */
typedef struct story_domain {
    char name[MAIL_DOMAIN_SIZE];
    size_t host;
} story_domain;

typedef struct story_mx {
    char domain[MAIL_DOMAIN_SIZE];
    uint16_t preference;
    size_t host;
} story_mx;

typedef struct story_mailbox {
    mail_path address;
    size_t host;
} story_mailbox;

typedef enum story_deed {
    STORY_SENDS,    /* mailbox, subject, recipients */
    STORY_READS,    /* mailbox, leaves_mail */
    STORY_POWER,    /* host, span: how long it is gone */
    STORY_DISK,     /* host, span: how long it is full */
    STORY_CLOCK,    /* host, span: how far it jumps */
    STORY_SERVFAIL, /* domain, span: how long */
} story_deed;

typedef struct story_event {
    unsigned line;
    mail_duration at;
    story_deed deed;
    size_t mailbox;
    size_t host;
    mail_duration span;
    bool leaves_mail;
    size_t first_rcpt; /* in the story's */
    size_t rcpt_count;
    char subject[STORY_SUBJECT_SIZE];
    char domain[MAIL_DOMAIN_SIZE];
} story_event;

typedef struct story {
    uint64_t seed; /* 1 unless it says otherwise */
    mail_duration length;
    story_host hosts[STORY_HOSTS_MAX];
    size_t host_count;
    story_domain domains[STORY_DOMAINS_MAX];
    size_t domain_count;
    story_mx mxs[STORY_MXS_MAX];
    size_t mx_count;
    story_mailbox mailboxes[STORY_MAILBOXES_MAX];
    size_t mailbox_count;
    story_event events[STORY_EVENTS_MAX]; /* in order of time, then of lines */
    size_t event_count;
    mail_path rcpts[STORY_RCPTS_MAX];
    size_t rcpt_count;
} story;

/*
 * Reads a story; `source` names it in errors. MAIL_EINVAL for what it does not understand,
 * MAIL_ELIMIT for too much of something, MAIL_ENOMEM; `err` then says `SOURCE:LINE: why`.
 */
int story_read(story *out, mail_span text, const char *source, mail_error *err);

#endif
