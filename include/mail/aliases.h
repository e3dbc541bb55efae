/* SPDX-License-Identifier: MIT */
#ifndef MAIL_ALIASES_H
#define MAIL_ALIASES_H

#include <mail/address.h>
#include <mail/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Names that stand for other addresses. A pure value: once read it may be used by any thread. */
typedef struct mail_aliases mail_aliases;

/**
 * Reads aliases, one a line, `name: target[, target]`; a line that begins with a blank goes on with
 * the one before, `#` begins a comment line. A name is an address, or a local part that then means
 * it in every local domain; case plays no part. A target is an address or a local part; programs,
 * files and includes are refused. Targets that are themselves aliases are followed. One that leads
 * back to where it came from is an error, except that a name may stand among its own targets and
 * then means its mailbox; and so are aliases of aliases for more than two million addresses in all.
 * `source` names the text in errors.
 *
 * Ownership: copies.
 * Errors: MAIL_EINVAL (`err` says `SOURCE:LINE: why`), MAIL_ENOMEM.
 */
MAIL_API int mail_aliases_read(mail_aliases **out, mail_span text, const char *source,
                               const mail_span *local_domains, size_t local_count,
                               const mail_mem *mem, mail_error *err);
MAIL_API void mail_aliases_destroy(mail_aliases *aliases);

/** The addresses that `address` stands for in the end, each once; NULL: it is no alias. */
typedef struct mail_alias {
    const mail_span *targets; /* canonical addresses, or local parts */
    size_t count;
} mail_alias;

/** Ownership: lends until the aliases are destroyed. */
MAIL_API const mail_alias *mail_aliases_find(const mail_aliases *aliases, const mail_path *address);

#ifdef __cplusplus
}
#endif

#endif
