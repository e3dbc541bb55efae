/* SPDX-License-Identifier: MIT */
#include "mta/credentials.h"

#include <mail/route.h>
#include <mail/sasl.h>

#include "base/list.h"
#include "base/mem.h"

/* A rule; `shown` lends from the rest. */
typedef struct entry {
    list link;
    credential shown;
    char *user;
    char *place;
    char name[MAIL_DOMAIN_SIZE]; /* of the host, as routes have it */
    uint16_t port;
} entry;

struct mail_credentials_table {
    const mail_mem *mem;
    list entries;
};

int mail_credentials_table_create(mail_credentials_table **out, const mail_mem *mem)
{
    mail_credentials_table *table = mem_alloc(mem, sizeof(*table));

    if (table == NULL) {
        return MAIL_ENOMEM;
    }
    table->mem = mem;
    list_init(&table->entries);
    *out = table;
    return MAIL_OK;
}

static void free_text(const mail_mem *mem, char *text)
{
    if (text != NULL) {
        size_t size = strlen(text) + 1;

        explicit_bzero(text, size);
        mem_free(mem, text, size);
    }
}

static void free_entry(const mail_mem *mem, entry *en)
{
    free_text(mem, en->user);
    free_text(mem, en->place);
    mem_free(mem, en, sizeof(*en));
}

void mail_credentials_table_destroy(mail_credentials_table *table)
{
    list *link;

    if (table == NULL) {
        return;
    }
    while ((link = list_pop_front(&table->entries)) != NULL) {
        free_entry(table->mem, LIST_OWNER(link, entry, link));
    }
    mem_free(table->mem, table, sizeof(*table));
}

/* As routes read it, so that both come to the same name. */
static int set_nexthop(entry *en, mail_span nexthop, const mail_mem *mem, mail_error *err)
{
    char rule[MAIL_DOMAIN_SIZE + 16] = "*=";
    mail_route_table *routes;
    const mail_nexthop *hop;
    int code;

    if (nexthop.length > sizeof(rule) - 3) {
        return mail_error_set(err, MAIL_EINVAL, "the next hop is too long");
    }
    memcpy(rule + 2, nexthop.data, nexthop.length);
    code = mail_route_table_create(&routes, mem);
    if (code != MAIL_OK) {
        return mail_error_set(err, code, "%s", mail_strerror(code));
    }
    code = mail_route_table_add(routes, mail_span_of(rule, nexthop.length + 2), err);
    if (code == MAIL_OK) {
        hop = mail_route_table_find(routes, MAIL_SPAN(""));
        if (hop->kind != MAIL_NEXTHOP_SMTP || hop->host_count != 1) {
            code = mail_error_set(err, MAIL_EINVAL, "the next hop is not HOST:PORT");
        } else {
            en->port = hop->hosts[0].port;
            memcpy(en->name, hop->hosts[0].name, strlen(hop->hosts[0].name) + 1);
        }
    }
    mail_route_table_destroy(routes);
    return code;
}

/* Cuts the text before the first `end` off `text`; false: there is no such end. */
static bool take(mail_span *text, char end, mail_span *out)
{
    const char *at = text->length > 0 ? memchr(text->data, end, text->length) : NULL;

    if (at == NULL) {
        return false;
    }
    *out = mail_span_first(*text, (size_t)(at - text->data));
    *text = mail_span_from(*text, out->length + 1);
    return true;
}

static bool skip(mail_span *text, mail_span prefix)
{
    if (text->length < prefix.length ||
        !mail_span_equal(mail_span_first(*text, prefix.length), prefix)) {
        return false;
    }
    *text = mail_span_from(*text, prefix.length);
    return true;
}

/* Nobody is told anything but what TLS has shown already. */
static int set_certificate(credential *shown, mail_span *source, mail_error *err)
{
    shown->is_certificate = true;
    source->length = 0;
    return shown->needs != MAIL_TLS_LEVEL_NONE
               ? MAIL_OK
               : mail_error_set(err, MAIL_EINVAL, "a certificate is shown in TLS alone");
}

/* What follows USER: a word that asks for less, and where the secret is. */
static int set_source(credential *shown, mail_span *source, mail_error *err)
{
    shown->needs = MAIL_TLS_LEVEL_VERIFY;
    if (skip(source, MAIL_SPAN("unverified,"))) {
        shown->needs = MAIL_TLS_LEVEL_REQUIRE;
    } else if (skip(source, MAIL_SPAN("clear,"))) {
        shown->needs = MAIL_TLS_LEVEL_NONE;
    }
    if (mail_span_equal(*source, MAIL_SPAN("certificate"))) {
        return set_certificate(shown, source, err);
    }
    shown->is_token = skip(source, MAIL_SPAN("token-"));
    if (skip(source, MAIL_SPAN("file:"))) {
        shown->place.kind = SECRET_FILE;
    } else if (skip(source, MAIL_SPAN("command:"))) {
        shown->place.kind = SECRET_COMMAND;
    } else {
        return mail_error_set(err, MAIL_EINVAL,
                              "the secret must come from file:PATH, command:COMMAND, "
                              "token-file:PATH, token-command:COMMAND or certificate");
    }
    return source->length > 0
               ? MAIL_OK
               : mail_error_set(err, MAIL_EINVAL, "it is not said where the secret is");
}

static bool has_nul(mail_span text)
{
    return text.length > 0 && memchr(text.data, '\0', text.length) != NULL;
}

/* Keeps the texts, and the entry in the table. */
static int append(mail_credentials_table *table, entry *en, mail_span user, mail_span place,
                  mail_error *err)
{
    bool is_missing = user.length == 0 && !en->shown.is_certificate;

    if (is_missing || user.length > MAIL_SASL_NAME_MAX || has_nul(user) || has_nul(place)) {
        return mail_error_set(err, MAIL_EINVAL, "the user's name is missing, too long or odd");
    }
    en->user = mem_text(table->mem, user);
    en->place = mem_text(table->mem, place);
    if (en->user == NULL || en->place == NULL) {
        return mail_error_set(err, MAIL_ENOMEM, "%s", mail_strerror(MAIL_ENOMEM));
    }
    en->shown.user = en->user;
    en->shown.place.text = en->place;
    list_push_back(&table->entries, &en->link);
    return MAIL_OK;
}

static int read_rule(mail_credentials_table *table, entry *en, mail_span rule, mail_error *err)
{
    mail_span nexthop;
    mail_span user;
    int code;

    if (!take(&rule, '=', &nexthop) || !take(&rule, ',', &user)) {
        return mail_error_set(err, MAIL_EINVAL, "credentials are HOST:PORT=USER,SOURCE");
    }
    code = set_nexthop(en, nexthop, table->mem, err);
    if (code == MAIL_OK) {
        code = set_source(&en->shown, &rule, err);
    }
    return code == MAIL_OK ? append(table, en, user, rule, err) : code;
}

int mail_credentials_table_add(mail_credentials_table *table, mail_span rule, mail_error *err)
{
    entry *en = mem_alloc(table->mem, sizeof(*en));
    int code;

    if (en == NULL) {
        return mail_error_set(err, MAIL_ENOMEM, "%s", mail_strerror(MAIL_ENOMEM));
    }
    code = read_rule(table, en, rule, err);
    if (code != MAIL_OK) {
        free_entry(table->mem, en);
    }
    return code;
}

int mail_credentials_table_add_password(mail_credentials_table *table, mail_span nexthop,
                                        mail_span user, mail_span password, mail_error *err)
{
    entry *en = mem_alloc(table->mem, sizeof(*en));
    int code;

    if (en == NULL) {
        return mail_error_set(err, MAIL_ENOMEM, "%s", mail_strerror(MAIL_ENOMEM));
    }
    en->shown.needs = MAIL_TLS_LEVEL_VERIFY;
    en->shown.place.kind = SECRET_GIVEN;
    code = set_nexthop(en, nexthop, table->mem, err);
    if (code == MAIL_OK) {
        code = append(table, en, user, password, err);
    }
    if (code != MAIL_OK) {
        free_entry(table->mem, en);
    }
    return code;
}

bool mail_credentials_table_needs_certificate(const mail_credentials_table *table)
{
    for (const list *link = table->entries.next; link != &table->entries; link = link->next) {
        if (LIST_OWNER(link, entry, link)->shown.is_certificate) {
            return true;
        }
    }
    return false;
}

const credential *credentials_find(const mail_credentials_table *table, const char *name,
                                   uint16_t port)
{
    if (table == NULL) {
        return NULL;
    }
    for (const list *link = table->entries.next; link != &table->entries; link = link->next) {
        const entry *en = LIST_OWNER(link, entry, link);

        if (en->port == port && strcmp(en->name, name) == 0) {
            return &en->shown;
        }
    }
    return NULL;
}
