/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_RELAY_CONFIG_H
#define EXAMPLES_RELAY_CONFIG_H

#include <stdio.h>

#include <mail/accounts.h>
#include <mail/aliases.h>
#include <mail/credentials.h>
#include <mail/receive.h>
#include <mail/route.h>
#include <mail/tls_policy.h>

#include "common/options.h"
#include "common/server_options.h"

/* One of --listen, --submission, --submissions and --lmtp, in the order given. */
typedef struct relay_listener {
    mail_receive_kind kind;
    mail_endpoint at;
    const char *path; /* of a unix socket; NULL: `at` */
    int fd;           /* once it is open */
} relay_listener;

typedef struct relay_listeners {
    relay_listener *items;
    size_t count;
    bool is_default; /* none was asked for */
} relay_listeners;

typedef struct relay_networks {
    option_networks list;
    bool nobody;
} relay_networks;

/* All that can be set; a member an option. */
typedef struct relay_config {
    char *text;       /* of the file, to which the others point */
    const char *path; /* of the file; NULL: none */
    bool check;
    const char *hostname;
    char own_hostname[MAIL_DOMAIN_SIZE];
    relay_listeners listeners;
    const char *spool;
    option_texts local;
    const char *mail_dir;
    const char *users;
    const char *aliases;
    option_texts routes;
    option_endpoints resolvers;
    uint16_t smtp_port;
    bool allow_private_mx;
    relay_networks relay_from;
    bool auth_insecure;
    tls_files tls_outgoing;
    mail_tls_level tls_out;
    option_texts tls_policies;
    option_texts auth_out;
    mail_bare_newline bare_newline;
    uint64_t max_message_size;
    uint32_t max_recipients;
    bool allow_early_talk;
    uint32_t max_errors;
    uint32_t max_unknown_recipients;
    uint32_t min_rate;
    uint32_t max_out_per_destination;
    mail_duration idle;
    mail_duration out_timeout;
    option_durations retry;
    mail_duration give_up;
    mail_duration warn_after;
    bool capture;
    server_options server;
} relay_config;

/* Reads the command line and the file it names: OPTIONS_GO or the exit code, with a line in `err`. */
int relay_config_read(relay_config *config, int argc, char **argv, FILE *err);
void relay_config_deinit(relay_config *config);

/* `smtp`, `submission` …: as the line says that tells where it listens. */
const char *relay_listener_name(mail_receive_kind kind);

/* One more listener. MAIL_ENOMEM. */
int relay_config_add_listener(relay_config *config, const relay_listener *listener);

/* What is read anew on SIGHUP. */
typedef struct relay_tables {
    mail_route_table *routes;
    mail_accounts *accounts;   /* NULL: every local part exists */
    mail_aliases *aliases;     /* NULL: there are none */
    mail_tls_context *tls;     /* NULL: no certificate */
    mail_tls_context *tls_out; /* NULL: mail goes in clear, where it may */
    mail_tls_policy_table *tls_policies;
    mail_credentials_table *credentials;
} relay_tables;

/* MAIL_OK, or a code with the reason in `err`. */
int relay_tables_read(relay_tables *tables, const relay_config *config, mail_error *err);
void relay_tables_deinit(relay_tables *tables);

/* The local domains as spans, to be free()d; the host's own name is the last. */
mail_span *relay_local_domains(const relay_config *config, size_t *count);

#endif
