/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SIM_POP3_H
#define TESTS_SIM_POP3_H

#include "sim/world.h"

/* A session with a POP3 server, played by the test: everything in a mailbox is fetched. */
typedef struct sim_pop3 sim_pop3;

typedef struct sim_pop3_options {
    sim_host *from;
    mail_endpoint to;
    const char *user; /* copied, as is the password */
    const char *password;
    mail_duration patience; /* after which it is broken off */
    unsigned leaves;        /* of a million of replies: without QUIT, so that nothing is removed */
    /* A whole message; says whether it is to be removed. */
    bool (*on_message)(const char *uid, mail_span content, void *arg);
    void (*on_quit)(void *arg); /* QUIT goes out: what is to be removed may go; or NULL */
    void (*on_over)(bool is_well, void *arg); /* QUIT was confirmed, or not; the session is gone */
    void *arg;
} sim_pop3_options;

void sim_pop3_start(const sim_pop3_options *opts);

#endif
