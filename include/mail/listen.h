/* SPDX-License-Identifier: MIT */
#ifndef MAIL_LISTEN_H
#define MAIL_LISTEN_H

#include <mail/address.h>
#include <mail/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Opens a listening socket on `endpoint` (port 0: a free one) before there is a service, which gets
 * it by its `…_listen_fd`: a server binds its ports as root, and is somebody else by the time that
 * it serves. `*bound` (optional) is where.
 *
 * Ownership: gives `*fd`, non-blocking and close-on-exec.
 * Errors: MAIL_EBUSY address in use; MAIL_EPERM; MAIL_ESYS.
 */
MAIL_API int mail_listen_open(int *fd, const mail_endpoint *endpoint, mail_endpoint *bound,
                              mail_error *err);

/** The same on a unix socket; a dead one left behind is replaced. */
MAIL_API int mail_listen_open_unix(int *fd, const char *path, mail_error *err);

/**
 * Makes a socket from elsewhere, such as a service manager, fit for a service: it must be a stream
 * socket that listens. `*bound` is where; family 0: a unix socket. Errors: MAIL_EINVAL.
 */
MAIL_API int mail_listen_check(int fd, mail_endpoint *bound);

#ifdef __cplusplus
}
#endif

#endif
