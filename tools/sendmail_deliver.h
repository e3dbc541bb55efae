/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_SENDMAIL_DELIVER_H
#define TOOLS_SENDMAIL_DELIVER_H

#include <mail/base.h>
#include <mail/loop.h>
#include <mail/operator.h>
#include <mail/resolver.h>

#include "sendmail_options.h"
#include "sendmail_tls.h"

/*
 * Takes what is dropped in `spool` into its queue and delivers what can go within the
 * time that `opts` allows, unless another process owns the spool and does it anyway. The message
 * is safe whatever happens here. Returns 0 or, when the caller waits, an exit code that tells
 * what became of it. `owner` tells that if another process has the spool and listens to us; else it
 * is NULL. Takes of `tls` what it needs.
 */
int sendmail_deliver(const char *spool, const sendmail_options *opts, const char *hostname,
                     sendmail_tls *tls, mail_operator *owner, mail_error *err);

/* A resolver as `opts` want it. Returns 0 or an exit code, with the reason in `err`. */
int sendmail_resolver_make(mail_resolver **out, mail_loop *loop, const sendmail_options *opts,
                           const char *hostname, mail_error *err);

#endif
