/* SPDX-License-Identifier: MIT */
#ifndef MAIL_MAIL_H
#define MAIL_MAIL_H

/**
 * libmail: mail transport that you can link. This header includes all others but
 * <mail/loop_uv.h>, whose functions are there only where libmail was built with libuv.
 *
 * The conventions that hold for every header:
 *
 * - `int` functions return MAIL_OK (0) or a negative MAIL_E… code; what a remote
 *   host refuses is no error but a `mail_reply` in a result.
 * - `create`/`destroy` allocate and free, `init`/`deinit` set up a struct that you hold,
 *   `open`/`close` are for things outside the process. `destroy(NULL)` does nothing.
 * - Options structs: zero means default for every field. Those with a field `size` begin with
 *   their `…_OPTIONS_INIT`; in C++ `mail_x_options opts{}; opts.size = sizeof(opts);` is the same
 *   and keeps compilers from missing the other fields.
 * - What a function makes (`create`, `open`, `begin`) is its first parameter; elsewhere the object
 *   comes first, then what goes in, then what comes out, and last of all, where there is one, an
 *   optional `mail_error` that says for a person what went wrong.
 * - `Ownership:` **copies** (yours stays yours), **borrows** (keep yours alive), **takes** (ours
 *   once it succeeds), **lends** (ours, valid so long), **gives** (you destroy it).
 * - Memory comes from the `mail_mem` in the options, NULL for malloc; running out of it is
 *   MAIL_ENOMEM, never an abort.
 * - Nothing is global. An object that is given a loop belongs to that loop's thread; engines
 *   belong to whoever calls them.
 * - Instants and durations are nanoseconds (`mail_time`, `mail_duration`); the calendar is
 *   seconds (`mail_wall`).
 *
 * Where to begin: `mail_send` in <mail/send.h>, `mail_serve` in <mail/serve.h>.
 */

#include <mail/accounts.h>
#include <mail/address.h>
#include <mail/aliases.h>
#include <mail/base.h>
#include <mail/compose.h>
#include <mail/control.h>
#include <mail/credentials.h>
#include <mail/date.h>
#include <mail/deliver.h>
#include <mail/dns.h>
#include <mail/drop.h>
#include <mail/dsn.h>
#include <mail/encode.h>
#include <mail/envelope.h>
#include <mail/header.h>
#include <mail/limits.h>
#include <mail/listen.h>
#include <mail/log.h>
#include <mail/login.h>
#include <mail/loop.h>
#include <mail/loop_poll.h>
#include <mail/maildrop.h>
#include <mail/metrics.h>
#include <mail/metrics_server.h>
#include <mail/mx.h>
#include <mail/operator.h>
#include <mail/pop3_server.h>
#include <mail/pop3_service.h>
#include <mail/queue.h>
#include <mail/rate.h>
#include <mail/receive.h>
#include <mail/reply.h>
#include <mail/resolver.h>
#include <mail/route.h>
#include <mail/sasl.h>
#include <mail/send.h>
#include <mail/serve.h>
#include <mail/sink.h>
#include <mail/smtp_client.h>
#include <mail/smtp_connection.h>
#include <mail/smtp_server.h>
#include <mail/smtp_service.h>
#include <mail/store.h>
#include <mail/tls.h>
#include <mail/tls_policy.h>
#include <mail/trace.h>
#include <mail/version.h>

#endif
