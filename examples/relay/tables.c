/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config_file.h"

mail_span *relay_local_domains(const relay_config *config, size_t *count)
{
    mail_span *domains = calloc(config->local.count + 1, sizeof(*domains));

    for (size_t i = 0; domains != NULL && i < config->local.count; i++) {
        domains[i] = mail_span_text(config->local.items[i]);
    }
    if (domains != NULL) {
        domains[config->local.count] = mail_span_text(config->hostname);
    }
    *count = config->local.count + 1;
    return domains;
}

static int add_local(mail_route_table *routes, const char *domain, mail_error *err)
{
    char rule[MAIL_DOMAIN_SIZE * 2];

    snprintf(rule, sizeof(rule), "%s=local", domain);
    return mail_route_table_add(routes, mail_span_text(rule), err);
}

/* Local domains stand before the first `*`: a rule that names one of them comes first. */
static int add_locals(mail_route_table *routes, const relay_config *config, mail_error *err)
{
    int code = add_local(routes, config->hostname, err);

    for (size_t i = 0; code == MAIL_OK && i < config->local.count; i++) {
        code = add_local(routes, config->local.items[i], err);
    }
    return code;
}

static int fill_routes(mail_route_table *routes, const relay_config *config, mail_error *err)
{
    bool has_locals = false;
    int code = MAIL_OK;

    if (config->capture) {
        return mail_route_table_add(routes, MAIL_SPAN("*=local"), err);
    }
    for (size_t i = 0; code == MAIL_OK && i < config->routes.count; i++) {
        const char *rule = config->routes.items[i];

        if (!has_locals && strncmp(rule, "*=", 2) == 0) {
            has_locals = true;
            code = add_locals(routes, config, err);
        }
        if (code == MAIL_OK) {
            code = mail_route_table_add(routes, mail_span_text(rule), err);
        }
    }
    if (code == MAIL_OK && !has_locals) {
        code = add_locals(routes, config, err);
    }
    return code;
}

static int read_aliases(mail_aliases **out, const relay_config *config, mail_error *err)
{
    mail_error why;
    mail_span *domains;
    size_t count;
    char *text;
    int code = config_file_load(config->aliases, &text, &why);

    if (code != MAIL_OK) {
        return mail_error_set(err, code, "%s: %s", config->aliases, why.text);
    }
    domains = relay_local_domains(config, &count);
    code = domains == NULL ? mail_error_set(err, MAIL_ENOMEM, "%s", mail_strerror(MAIL_ENOMEM))
                           : mail_aliases_read(out, mail_span_text(text), config->aliases, domains,
                                               count, NULL, err);
    free(domains);
    free(text);
    return code;
}

/*
 * A file is read now, so that what is wrong with it is told; the system's list once somebody is to be
 * verified. A machine that can do no TLS sends in clear what may go so.
 */
static int make_tls_out(relay_tables *tables, const relay_config *config, mail_error *err)
{
    const tls_files *files = &config->tls_outgoing;
    bool has_files = files->trust != NULL || files->certificates.count + files->keys.count > 0;
    int code = tls_files_load_client(files, &tables->tls_out, err);

    return has_files ? code : MAIL_OK;
}

static int check_certificate(const relay_tables *tables, const relay_config *config,
                             mail_error *err)
{
    return config->tls_outgoing.certificates.count == 0 &&
                   mail_credentials_table_needs_certificate(tables->credentials)
               ? mail_error_set(
                     err, MAIL_EINVAL,
                     "--auth-out with a certificate needs --tls-out-cert and --tls-out-key")
               : MAIL_OK;
}

/* What no policy is for has the level of --tls-out. */
static int fill_policies(mail_tls_policy_table *policies, const relay_config *config,
                         mail_error *err)
{
    char rest[32];
    int code = MAIL_OK;

    for (size_t i = 0; code == MAIL_OK && i < config->tls_policies.count; i++) {
        code =
            mail_tls_policy_table_add(policies, mail_span_text(config->tls_policies.items[i]), err);
    }
    snprintf(rest, sizeof(rest), "*=%s", mail_tls_level_name(config->tls_out));
    return code == MAIL_OK ? mail_tls_policy_table_add(policies, mail_span_text(rest), err) : code;
}

/* How mail goes out: in what TLS, and as whom. */
static int read_outgoing(relay_tables *tables, const relay_config *config, mail_error *err)
{
    int code = mail_tls_policy_table_create(&tables->tls_policies, NULL);

    if (code == MAIL_OK) {
        code = mail_credentials_table_create(&tables->credentials, NULL);
    }
    if (code != MAIL_OK) {
        return mail_error_set(err, code, "%s", mail_strerror(code));
    }
    code = fill_policies(tables->tls_policies, config, err);
    for (size_t i = 0; code == MAIL_OK && i < config->auth_out.count; i++) {
        code = mail_credentials_table_add(tables->credentials,
                                          mail_span_text(config->auth_out.items[i]), err);
    }
    if (code == MAIL_OK) {
        code = check_certificate(tables, config, err);
    }
    return code == MAIL_OK ? make_tls_out(tables, config, err) : code;
}

int relay_tables_read(relay_tables *tables, const relay_config *config, mail_error *err)
{
    int code;

    *tables = (relay_tables){.routes = NULL};
    code = mail_route_table_create(&tables->routes, NULL);
    if (code != MAIL_OK) {
        return mail_error_set(err, code, "%s", mail_strerror(code));
    }
    code = fill_routes(tables->routes, config, err);
    if (code == MAIL_OK && config->users != NULL) {
        code = mail_accounts_load(&tables->accounts, config->users, NULL, err);
    }
    if (code == MAIL_OK && config->aliases != NULL) {
        code = read_aliases(&tables->aliases, config, err);
    }
    if (code == MAIL_OK) {
        code = tls_files_load(&config->server.tls, &tables->tls, err);
    }
    if (code == MAIL_OK) {
        code = read_outgoing(tables, config, err);
    }
    if (code != MAIL_OK) {
        relay_tables_deinit(tables);
    }
    return code;
}

void relay_tables_deinit(relay_tables *tables)
{
    mail_route_table_destroy(tables->routes);
    mail_accounts_unref(tables->accounts);
    mail_aliases_destroy(tables->aliases);
    mail_tls_context_unref(tables->tls);
    mail_tls_context_unref(tables->tls_out);
    mail_tls_policy_table_destroy(tables->tls_policies);
    mail_credentials_table_destroy(tables->credentials);
    *tables = (relay_tables){.routes = NULL};
}
