/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <stdlib.h>
#include <sysexits.h>

#include <mail/version.h>

static int add_listener(pop3d_listeners *listeners, const char *value, bool is_tls, mail_error *err)
{
    pop3d_listener listener = {.is_tls = is_tls};
    pop3d_listener *items;

    if (mail_endpoint_parse(mail_span_text(value), &listener.at) != MAIL_OK) {
        return mail_error_set(err, MAIL_EINVAL,
                              "\"%s\" is no address such as 127.0.0.1:2110 or [::1]:2110", value);
    }
    items = realloc(listeners->items, (listeners->count + 1) * sizeof(*items));
    if (items == NULL) {
        return mail_error_set(err, MAIL_ENOMEM, "%s", mail_strerror(MAIL_ENOMEM));
    }
    listeners->items = items;
    listeners->items[listeners->count++] = listener;
    return MAIL_OK;
}

static int set_listen(void *field, const char *value, mail_error *err)
{
    return add_listener(field, value, false, err);
}

static int set_pop3s(void *field, const char *value, mail_error *err)
{
    return add_listener(field, value, true, err);
}

#define FIELD(member) offsetof(pop3d_config, member)

static const option_row rows[] = {
    {"check", NULL, "read everything, say what is wrong, exit with 0 or 78", option_set_switch,
     FIELD(check), false},
    {"hostname", "NAME", "our name in the greeting (this host's)", option_set_hostname,
     FIELD(hostname), false},
    {"listen", "ADDR", "listen for POP3 (127.0.0.1:2110); repeatable", set_listen, FIELD(listeners),
     true},
    {"pop3s", "ADDR", "listen for POP3 in TLS from the first octet; repeatable", set_pop3s,
     FIELD(listeners), true},
    {"mail-dir", "DIR", "mailboxes at DIR/DOMAIN/LOCALPART (./mail)", option_set_text,
     FIELD(mail_dir), false},
    {"mailbox-format", "FORMAT", "of mailboxes: maildir", option_set_mailbox_format, 0, false},
    {"users", "FILE", "accounts, `NAME:SECRET[:MAILBOX]` a line; needed", option_set_text,
     FIELD(users), false},
    {"auth-insecure", NULL, "take passwords without TLS from everywhere, not only from loopback",
     option_set_switch, FIELD(auth_insecure), false},
    {"min-rate", "N", "octets a second that a client takes, after a minute (100)", option_set_count,
     FIELD(min_rate), false},
    {"idle", "SECONDS", "longest wait for a client (600)", option_set_duration, FIELD(idle), false},
};

/* As pop3d(8) has them. */
static const option_subject subjects[] = {
    {"Mailboxes and who may pick up", "users mail-dir mailbox-format"},
    {"Where it listens",
     "hostname listen pop3s tls-cert tls-key tls-client-ca auth-insecure proxy-from"},
    {"What clients may use",
     "max-sessions max-sessions-per-client max-sessions-per-network max-connections-per-client "
     "max-connections-per-network session-timeout min-rate limit-loopback idle"},
    {"Rights", "user no-sandbox"},
    {"The rest", "check log-level log-format metrics drain"},
};

static int complete(pop3d_config *config)
{
    if (config->hostname == NULL) {
        server_hostname(config->own_hostname);
        config->hostname = config->own_hostname;
    }
    config->listen_is_default = config->listeners.count == 0;
    return config->listeners.count > 0 ? MAIL_OK
                                       : set_listen(&config->listeners, "127.0.0.1:2110", NULL);
}

int pop3d_config_read(pop3d_config *config, int argc, char **argv)
{
    const option_table table = {
        .program = "pop3d",
        .version = MAIL_VERSION,
        .summary = "Lets users pick up their mail by POP3.",
        .groups = {{rows, MAIL_COUNT(rows), 0}, server_option_group(FIELD(server))},
        .subjects = subjects,
        .subject_count = MAIL_COUNT(subjects),
    };
    int code;

    *config = (pop3d_config){
        .mail_dir = "./mail",
        .idle = 600 * MAIL_SECOND,
        .server = SERVER_OPTIONS_INIT,
    };
    code = options_read(&table, argc, argv, config, &config->text, &config->path, stdout, stderr);
    if (code != OPTIONS_GO) {
        return code;
    }
    if (config->users == NULL) {
        fprintf(stderr, "pop3d: --users: it is needed, to say who may log in\n");
        return config->check ? EX_CONFIG : EX_USAGE;
    }
    if (complete(config) != MAIL_OK) {
        fprintf(stderr, "pop3d: %s\n", mail_strerror(MAIL_ENOMEM));
        return EX_OSERR;
    }
    return OPTIONS_GO;
}

void pop3d_config_deinit(pop3d_config *config)
{
    free(config->listeners.items);
    server_options_deinit(&config->server);
    free(config->text);
}
