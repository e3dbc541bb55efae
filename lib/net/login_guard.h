/* SPDX-License-Identifier: MIT */
#ifndef LIB_NET_LOGIN_GUARD_H
#define LIB_NET_LOGIN_GUARD_H

#include <mail/login.h>

#include "base/hash.h"
#include "net/guesses.h"

/*
 * Who may try a password at all, and how long whoever was wrong must wait. Wrong ones are counted
 * by host and by name; a host that has logged in to a name is counted on its own for it, so that
 * nobody who knows a password is locked out by those who try the name from elsewhere.
 */
typedef struct login_guard {
    hash_seed seed;
    mail_duration delay;
    net_guesses hosts;
    net_guesses users;
    net_guesses pairs; /* host and user, of those that have logged in */
} login_guard;

/* One try of a client's. */
typedef struct login_try {
    login_guard *guard;
    bool counts_host; /* it may be barred */
    bool is_charged;
    uint64_t host_key;
    uint64_t pair_key;
    net_guesses *bucket; /* where wrong tries of the name are counted */
    uint64_t bucket_key;
} login_try;

/* MAIL_EINVAL for limits that can't be. */
int login_guard_init(login_guard *guard, const mail_mem *mem, const mail_login_options *opts);
void login_guard_deinit(login_guard *guard);

/* `name` in the form in which names are compared. */
void login_try_init(login_try *try, login_guard *guard, const mail_ip *client, bool counts_host,
                    mail_span name);

/* Whether the host has logged in to the name of late. */
bool login_try_is_known(const login_try *try);

/* Whether host or name have been wrong too often of late. */
bool login_try_is_barred(const login_try *try, mail_time now);

/* Holds the try against host and name until it has proved right. MAIL_EAGAIN: barred; MAIL_ENOMEM. */
int login_try_charge(login_try *try, mail_time now);

/* It was none of a wrong password. */
void login_try_refund(login_try *try, mail_time now);

/* It was right. */
void login_try_succeeded(login_try *try, mail_time now);

/* How long whoever was wrong must wait for the answer. */
mail_duration login_try_delay(const login_try *try, mail_time now);

#endif
