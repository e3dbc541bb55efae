/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_COMMON_LASTING_H
#define EXAMPLES_COMMON_LASTING_H

#include "confine.h"
#include "server.h"

#define LASTING_SIZE 32

/*
 * A secret that outlives a restart, in a file beside that of the accounts: `users.salt`. Of it is
 * made what SCRAM shows of users that don't exist (mail_login_options), who could be told by it
 * from others if it changed, or if two servers with the same accounts showed different things.
 *
 * It is random and nothing else. Made of the accounts it would let whoever asks for a salt try
 * passwords at home, until the same salt comes out of them; and it would change with each account.
 *
 * One is made if there is none, and given to `user`. If that can't be, the log says why, and
 * `out` becomes zeros: a secret for this run.
 */
void lasting_secret(const server_log *log, const char *users, const confine_user *user,
                    uint8_t out[LASTING_SIZE]);

#endif
