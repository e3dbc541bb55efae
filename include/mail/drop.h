/* SPDX-License-Identifier: MIT */
#ifndef MAIL_DROP_H
#define MAIL_DROP_H

#include <mail/base.h>
#include <mail/envelope.h>
#include <mail/sink.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * How a program hands a message to the queue in a spool that another process owns, or that
 * nobody owns yet: as one file in the spool's folder `drop`, whole and synced before it gets its
 * name. The owner takes it from there. All functions here block on files.
 *
 * A file is text lines that end with LF: `libmail drop 1`, then the envelope
 *
 *     sender ADDRESS          (nothing behind the blank: the null reverse-path)
 *     envid XTEXT             (RFC 3461, section 4.4)
 *     ret full|hdrs
 *     body 7bit|8bitmime|binarymime
 *     smtputf8
 *     requiretls
 *     to NOTIFY ORCPT ADDRESS (the bits of MAIL_NOTIFY_… as a number; ORCPT `-`: none)
 *
 * `sender` first, one `to` a recipient, the rest only where it says something; then an empty line
 * and the message as it is, with CRLF line ends.
 *
 * A file's name ends in `.part` while it is written, then in `.mail`; `.held` when an operator
 * wants it to stay, and `.bad` is put behind that when the owner can do nothing with it (<mail/operator.h>).
 */

/** The length of a dropped file's name with its final NUL. */
#define MAIL_DROP_NAME_SIZE 64

/** Where a system keeps a spool for all its users, if it has one. */
#define MAIL_SYSTEM_SPOOL    "/var/spool/libmail"
#define MAIL_SPOOL_PATH_SIZE 4096

/**
 * Finds the spool that a program hands mail to, or looks after, when it is told no other: `asked`
 * unless it is NULL or empty; else $LIBMAIL_SPOOL; else MAIL_SYSTEM_SPOOL if mail may be dropped
 * there; else the user's own, `libmail/spool` under $XDG_STATE_HOME or $HOME/.local/state. The
 * environment counts for nothing in a program that has more rights than its caller.
 *
 * Errors: MAIL_ENOENT: neither is set, and there is no other; MAIL_ELIMIT. `err` says it.
 */
MAIL_API int mail_spool_find(const char *asked, char path[MAIL_SPOOL_PATH_SIZE], mail_error *err);

/**
 * Begins a file for `envelope` (at least one recipient; not needed after the call; addresses
 * without domain are the owner's to complete) in `spool`, which must be there; its folder `drop`
 * is made if missing. The message goes into `*out`. `finish` returns at once: MAIL_OK, the
 * message is on the disk under `name` (optional) and its owner has been told.
 *
 * In another user's folder nothing more is needed than the right to make files there (modes 0710 of
 * the spool and 1730 of `drop`, with a group for those who may).
 *
 * Errors: MAIL_ENOENT no spool; MAIL_ELIMIT more than 100000 recipients; MAIL_EINVAL an address that would
 * break its line, or an ENVID of more than 100 octets; MAIL_EPERM, MAIL_ENOSPC, MAIL_EIO, MAIL_ENOMEM. `err`
 * says it in one line.
 */
MAIL_API int mail_drop_begin(mail_sink **out, const char *spool, const mail_envelope *envelope,
                             const mail_mem *mem, char name[MAIL_DROP_NAME_SIZE], mail_error *err);

/** The same with the message from `body`, which is read to its end and not closed. */
MAIL_API int mail_drop_write(const char *spool, const mail_envelope *envelope, mail_source *body,
                             const mail_mem *mem, char name[MAIL_DROP_NAME_SIZE], mail_error *err);

/**
 * Tells the owner of `spool` that there is something in `drop`. Needed only by those that write no
 * file. False: nobody listens.
 */
MAIL_API bool mail_drop_poke(const char *spool);

/**
 * Calls `fn` with the name of each whole file until it returns false. Errors: MAIL_ENOENT no
 * such folder (nothing has ever been dropped); MAIL_EPERM, MAIL_EIO, MAIL_ENOMEM.
 */
MAIL_API int mail_drop_list(const char *spool, bool (*fn)(const char *name, void *arg), void *arg);

/** A dropped message, open for reading. */
typedef struct mail_drop mail_drop;

/**
 * Opens the file `name` and reads its envelope.
 *
 * Errors: MAIL_ENOENT (taken by another); MAIL_EDAMAGED not of that form, or not a plain file of
 * one link: mail_drop_set_aside it; MAIL_EVERSION; MAIL_EPERM, MAIL_EIO, MAIL_ENOMEM.
 */
MAIL_API int mail_drop_open(mail_drop **out, const char *spool, const char *name,
                            const mail_mem *mem, mail_error *err);
MAIL_API void mail_drop_close(mail_drop *drop);

/** Ownership: lends until close. */
MAIL_API const mail_envelope *mail_drop_envelope(const mail_drop *drop);

/** The octets of the message. */
MAIL_API uint64_t mail_drop_size(const mail_drop *drop);

/** The user that wrote the file. */
MAIL_API uint32_t mail_drop_user(const mail_drop *drop);

/** When it was written to last. */
MAIL_API mail_wall mail_drop_time(const mail_drop *drop);

/** Reads the message from where it was left. Ownership: lends until close; its `close` does nothing. */
MAIL_API mail_source *mail_drop_body(mail_drop *drop);

/** Removes a file whose message is safe in the queue. Errors: MAIL_EPERM, MAIL_EIO. */
MAIL_API int mail_drop_remove(const char *spool, const char *name);

/** Renames a file that can't be taken to `NAME.bad`, for a person to look at. Errors: as above. */
MAIL_API int mail_drop_set_aside(const char *spool, const char *name);

#ifdef __cplusplus
}
#endif

#endif
