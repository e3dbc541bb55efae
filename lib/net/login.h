/* SPDX-License-Identifier: MIT */
#ifndef LIB_NET_LOGIN_H
#define LIB_NET_LOGIN_H

#include <mail/login.h>

/*
 * Who may log in, for the sessions of any service. A service has one net_logins; a session has a
 * net_login from the question of its engine until the exchange is over:
 *
 *     question of the engine      net_login_begin(&ss->login, logins, client, question, on_answer, ss)
 *     on_answer(answer, ss)       answer NULL: refuse for now (454, [SYS/TEMP]), net_login_end(login, false)
 *                                 else give `answer` to the engine, which goes on or not:
 *     the engine says yes         net_login_user, net_login_mailbox; net_login_end(login, true)
 *     the engine says no          wait net_login_delay before the client hears of it;
 *                                 net_login_end(login, false)
 *     the session dies            net_login_end(login, false), whenever that is
 *
 * A refusal that the engine needs no proof for (MAIL_SASL_REFUSE) comes to on_answer delayed
 * already, and net_login_delay is then 0. on_answer is called once, from the loop, never from
 * inside another call, and not after net_login_end; calling that from inside it is fine.
 */
typedef struct net_logins net_logins;
typedef struct net_login net_login;

/* `answer` lends until net_login_end. */
typedef void net_login_fn(const mail_sasl_answer *answer, void *arg);

/*
 * `opts` NULL: all defaults. `accounts` is held; NULL only where `opts` has an `ask`. `on_idle` (may
 * be NULL) is called from the loop each time no worker is busy any more, as a drain may wait for.
 * MAIL_EINVAL, MAIL_ENOMEM.
 */
int net_logins_create(net_logins **out, mail_loop *loop, const mail_mem *mem,
                      mail_accounts *accounts, const mail_login_options *opts,
                      void (*on_idle)(void *arg), void *arg);

/* No session may have a login any more. What workers are at is finished; nobody is told. */
void net_logins_destroy(net_logins *ls);

/* From the next login on. Keeps a reference. */
void net_logins_set_accounts(net_logins *ls, mail_accounts *accounts);

/*
 * The mechanisms by which all can log in, as bits 1 << mechanism: with accounts it depends on
 * their secrets. No other should be offered.
 */
unsigned net_logins_mechanisms(const net_logins *ls);

/* Whether a worker is busy. */
bool net_logins_are_busy(const net_logins *ls);

/* What engines take as their `disguise`. */
const uint8_t *net_logins_disguise(const net_logins *ls);

/* MAIL_ENOMEM. `client` NULL: by a unix socket. Ownership: copies all of the question. */
int net_login_begin(net_login **out, net_logins *ls, const mail_ip *client,
                    const mail_sasl_question *question, net_login_fn *fn, void *arg);

/* How long the client must wait for a refusal that comes after the answer. */
mail_duration net_login_delay(const net_login *login);

/* As whom, once the engine says yes. Ownership: lends until net_login_end. */
mail_span net_login_user(const net_login *login);

/* The user's mailbox, at its usual place below `dir` or elsewhere. MAIL_ELIMIT; MAIL_EINVAL. */
int net_login_mailbox(const net_login *login, const char *dir, char out[MAIL_MAILBOX_PATH_SIZE]);

/* `has_proved`: what it said was right. NULL does nothing. */
void net_login_end(net_login *login, bool has_proved);

#endif
