/* SPDX-License-Identifier: MIT */
/* Aliases, routes, TLS policies and credentials, of which an operator may write anything. */
#include <stdlib.h>

#include <mail/aliases.h>
#include <mail/route.h>
#include <mail/tls_policy.h>

#include "mta/credentials.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

/* Every target is an address, and none twice. */
static void check_alias(const mail_aliases *aliases, mail_span name)
{
    const mail_alias *alias;
    mail_path path;

    if (mail_path_from_text(name, MAIL_PATH_UTF8 | MAIL_PATH_BARE, &path) != MAIL_OK) {
        return;
    }
    alias = mail_aliases_find(aliases, &path);
    for (size_t i = 0; alias != NULL && i < alias->count; i++) {
        mail_path target;

        require(mail_path_from_text(alias->targets[i], MAIL_PATH_UTF8 | MAIL_PATH_BARE, &target) ==
                MAIL_OK);
        for (size_t k = 0; k < i; k++) {
            require(!mail_span_equal(alias->targets[i], alias->targets[k]));
        }
    }
}

static void try_aliases(mail_span text)
{
    static const mail_span local[] = {{"example.org", 11}};
    mail_aliases *aliases;
    mail_error err;

    if (mail_aliases_read(&aliases, text, "", local, 1, NULL, &err) != MAIL_OK) {
        require(err.text[0] != '\0');
        return;
    }
    for (size_t from = 0; from < text.length;) {
        mail_span rest = mail_span_from(text, from);
        const char *colon = memchr(rest.data, ':', rest.length);
        size_t length = colon != NULL ? (size_t)(colon - rest.data) : rest.length;

        check_alias(aliases, mail_span_first(rest, length));
        from += length + 1;
    }
    mail_aliases_destroy(aliases);
}

static void try_route(mail_span rule)
{
    mail_route_table *table;
    mail_error err;

    require(mail_route_table_create(&table, NULL) == MAIL_OK);
    if (mail_route_table_add(table, rule, &err) != MAIL_OK) {
        require(err.text[0] != '\0');
        require(mail_route_table_find(table, MAIL_SPAN("example.org")) == NULL);
    } else {
        const mail_nexthop *hop = mail_route_table_find(table, rule);

        for (size_t i = 0; hop != NULL && i < hop->host_count; i++) {
            require(hop->hosts[i].name[0] != '\0');
        }
    }
    mail_route_table_destroy(table);
}

static void try_policy(mail_span rule)
{
    mail_tls_policy_table *table;
    mail_error err;

    require(mail_tls_policy_table_create(&table, NULL) == MAIL_OK);
    if (mail_tls_policy_table_add(table, rule, &err) != MAIL_OK) {
        require(err.text[0] != '\0');
        require(mail_tls_policy_table_find(table, rule) == MAIL_TLS_LEVEL_MAY);
    } else {
        require(mail_tls_level_name(mail_tls_policy_table_find(table, rule)) != NULL);
    }
    mail_tls_policy_table_destroy(table);
}

static void try_credentials(mail_span rule)
{
    mail_credentials_table *table;
    const credential *who;
    mail_error err;

    require(mail_credentials_table_create(&table, NULL) == MAIL_OK);
    if (mail_credentials_table_add(table, rule, &err) != MAIL_OK) {
        require(err.text[0] != '\0');
    }
    who = credentials_find(table, "a.example", 25);
    require(who == NULL || (who->user[0] != '\0' && who->place.text[0] != '\0'));
    mail_credentials_table_destroy(table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mail_span text = mail_span_of(data, size);

    try_aliases(text);
    try_route(text);
    try_policy(text);
    try_credentials(text);
    return 0;
}
