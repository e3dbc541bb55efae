/* SPDX-License-Identifier: MIT */
/* Who may say that a message is from whom. */
#include "mta/receive.h"

/* A bare login name has an address in every local domain, any other name is one. */
static bool is_account(const mail_receive *rcv, const mail_path *user, const mail_path *address)
{
    const mail_account *account = mail_accounts_find(rcv->accounts, user);

    return account != NULL && mail_accounts_find(rcv->accounts, address) == account &&
           (mail_path_domain(&account->name).length > 0 || recipient_is_local(rcv, address));
}

/* Where there are no accounts of ours, the name under which somebody has logged in must do. */
static bool is_name(const mail_receive *rcv, const mail_path *user, const mail_path *address)
{
    if (mail_path_domain(user).length > 0) {
        return mail_path_equal(user, address);
    }
    return mail_span_equal(mail_path_local(user), mail_path_local(address)) &&
           recipient_is_local(rcv, address);
}

static bool is_own(const mail_receive *rcv, const mail_path *user, const mail_path *address)
{
    return rcv->accounts != NULL ? is_account(rcv, user, address) : is_name(rcv, user, address);
}

/* An alias may be used by everybody to whom it leads. */
static bool leads_to(const mail_receive *rcv, const mail_path *address, const mail_path *user)
{
    const mail_alias *alias =
        rcv->aliases != NULL ? mail_aliases_find(rcv->aliases, address) : NULL;

    for (size_t i = 0; alias != NULL && i < alias->count; i++) {
        mail_path target;

        if (recipient_of_target(address, alias->targets[i], &target) &&
            is_own(rcv, user, &target)) {
            return true;
        }
    }
    return false;
}

bool sender_is_allowed(const mail_receive *rcv, mail_span name, const mail_path *address)
{
    mail_path whole;
    mail_path user;

    recipient_complete(rcv, mail_path_text(address), &whole);
    if (whole.length == 0 ||
        mail_path_from_text(name, MAIL_PATH_UTF8 | MAIL_PATH_BARE, &user) != MAIL_OK) {
        return false;
    }
    return is_own(rcv, &user, &whole) || leads_to(rcv, &whole, &user);
}
