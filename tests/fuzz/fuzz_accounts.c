/* SPDX-License-Identifier: MIT */
/* A file of accounts. Whatever it takes can be found again; whatever it refuses has a reason. */
#include <mail/accounts.h>

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mail_span text = mail_span_of(data, size);
    mail_accounts *accounts;
    mail_path path;
    mail_error err = {0};
    int code = mail_accounts_parse(&accounts, text, "users", NULL, &err);

    if (code != MAIL_OK) {
        if (code != MAIL_EINVAL || err.text[0] == '\0') {
            abort();
        }
        return 0;
    }
    if (mail_path_from_text(text, MAIL_PATH_UTF8 | MAIL_PATH_BARE, &path) == MAIL_OK) {
        const mail_account *account = mail_accounts_find(accounts, &path);
        char mailbox[MAIL_MAILBOX_PATH_SIZE];

        if (account != NULL && mail_account_mailbox(account, "mail", mailbox) > 0) {
            abort();
        }
    }
    mail_accounts_unref(accounts);
    return 0;
}
