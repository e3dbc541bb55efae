/* SPDX-License-Identifier: MIT */
#ifndef MAIL_ACCOUNTS_H
#define MAIL_ACCOUNTS_H

#include <mail/address.h>
#include <mail/base.h>
#include <mail/store.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Who may log in, and which local addresses exist: one account a line,
 *
 *     # NAME:SECRET[:MAILBOX]
 *     alice@example.org:$y$j9T$…:/srv/mail/alice
 *     bob:{PLAIN}secret
 *
 * NAME is a full address or a bare login name. SECRET is a crypt(3) hash, `{PLAIN}` and the
 * password, `{SCRAM-SHA-256}iterations,salt,storedkey,serverkey`, `{EXTERNAL}` for an account
 * without a password, or `*` for one into which nobody may log in. MAILBOX is the path of its mailbox.
 *
 * Where a service asks its clients for certificates, one that holds NAME as its e-mail address
 * (subjectAltName) lets in as well, into all but `*`.
 *
 * Names are compared without regard to ASCII case, domains as A-labels. Accounts never
 * change: a new file is a new object. Thread-safe.
 */
typedef struct mail_accounts mail_accounts;

/** One account. */
typedef struct mail_account {
    mail_path name;      /* without a domain: a bare login name */
    const char *mailbox; /* NULL: at its usual place, see mail_account_mailbox */
} mail_account;

/**
 * Reads accounts from `text`; `source` names it in errors.
 *
 * Ownership: copies; gives one reference.
 * Errors: MAIL_EINVAL (`err` says `SOURCE:LINE: why`), MAIL_ENOMEM.
 */
MAIL_API int mail_accounts_parse(mail_accounts **out, mail_span text, const char *source,
                                 const mail_mem *mem, mail_error *err);

/** Reads the file at `path`. Errors: also MAIL_ENOENT, MAIL_EPERM, MAIL_EIO, MAIL_ELIMIT over 64 MiB. */
MAIL_API int mail_accounts_load(mail_accounts **out, const char *path, const mail_mem *mem,
                                mail_error *err);

/** One more user of them, such as a job on a worker. Thread-safe. */
MAIL_API mail_accounts *mail_accounts_ref(mail_accounts *accounts);

/** One user less; the last one frees them. NULL does nothing. Thread-safe. */
MAIL_API void mail_accounts_unref(mail_accounts *accounts);

/** How many there are. */
MAIL_API size_t mail_accounts_count(const mail_accounts *accounts);

/** Any of them, in no order. Ownership: lends until the last user is gone. */
MAIL_API const mail_account *mail_accounts_at(const mail_accounts *accounts, size_t index);

/**
 * The account that gets mail for `address`: the one of that name or else, if there is one,
 * the bare name that equals the local part. NULL: no such address.
 *
 * Ownership: lends until the last release.
 */
MAIL_API const mail_account *mail_accounts_find(const mail_accounts *accounts,
                                                const mail_path *address);

/**
 * Checks a password. Slow on purpose (up to some 100 ms): for a worker. An unknown name
 * takes as long as a known one with a wrong password.
 *
 * Ownership: lends `*out` until the last release.
 * Errors: MAIL_EPERM for a wrong name or password; MAIL_ENOMEM.
 */
MAIL_API int mail_accounts_verify(const mail_accounts *accounts, mail_span name, mail_span password,
                                  const mail_account **out);

/**
 * Writes the path of the account's mailbox: as the file says, or by mail_mailbox_path
 * below `dir`. Errors: MAIL_ELIMIT.
 */
MAIL_API int mail_account_mailbox(const mail_account *account, const char *dir,
                                  char out[MAIL_MAILBOX_PATH_SIZE]);

#ifdef __cplusplus
}
#endif

#endif
