/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <mail/version.h>

#include "common/server.h"

static int no_memory(mail_error *err)
{
    return mail_error_set(err, MAIL_ENOMEM, "%s", mail_strerror(MAIL_ENOMEM));
}

static int add_listener(relay_listeners *listeners, const relay_listener *listener, mail_error *err)
{
    relay_listener *items =
        realloc(listeners->items, (listeners->count + 1) * sizeof(*listeners->items));

    if (items == NULL) {
        return no_memory(err);
    }
    listeners->items = items;
    listeners->items[listeners->count++] = *listener;
    return MAIL_OK;
}

static int set_listener(relay_listeners *listeners, const char *value, mail_receive_kind kind,
                        mail_error *err)
{
    relay_listener listener = {.kind = kind, .fd = -1};

    if (mail_endpoint_parse(mail_span_text(value), &listener.at) != MAIL_OK) {
        return mail_error_set(err, MAIL_EINVAL,
                              "\"%s\" is no address such as 127.0.0.1:2525 or [::1]:2525", value);
    }
    return add_listener(listeners, &listener, err);
}

static int set_smtp(void *field, const char *value, mail_error *err)
{
    return set_listener(field, value, MAIL_RECEIVE_SMTP, err);
}

static int set_submission(void *field, const char *value, mail_error *err)
{
    return set_listener(field, value, MAIL_RECEIVE_SUBMISSION, err);
}

static int set_submissions(void *field, const char *value, mail_error *err)
{
    return set_listener(field, value, MAIL_RECEIVE_SUBMISSIONS, err);
}

/* SX-039: RFC 2033, section 5. */
static bool is_smtp_port(const char *value)
{
    mail_endpoint at;

    return mail_endpoint_parse(mail_span_text(value), &at) == MAIL_OK && at.port == 25;
}

static int set_lmtp(void *field, const char *value, mail_error *err)
{
    const relay_listener by_path = {
        .kind = MAIL_RECEIVE_LMTP, .path = value + strlen("unix:"), .fd = -1};

    if (strncmp(value, "unix:", strlen("unix:")) == 0 && *by_path.path != '\0') {
        return add_listener(field, &by_path, err);
    }
    if (is_smtp_port(value)) {
        return mail_error_set(err, MAIL_EINVAL, "port 25 is for SMTP");
    }
    return set_listener(field, value, MAIL_RECEIVE_LMTP, err);
}

static int set_relay_from(void *field, const char *value, mail_error *err)
{
    relay_networks *networks = field;

    if (strcmp(value, "none") == 0) {
        networks->nobody = true;
        return MAIL_OK;
    }
    return option_set_networks(&networks->list, value, err);
}

static int set_local(void *field, const char *value, mail_error *err)
{
    char name[MAIL_DOMAIN_SIZE];
    mail_ip ip;

    if (mail_domain_to_ascii(mail_span_text(value), name) != MAIL_OK &&
        mail_ip_parse_literal(mail_span_text(value), &ip) != MAIL_OK) {
        return mail_error_set(err, MAIL_EINVAL, "\"%s\" is no domain", value);
    }
    return option_set_texts(field, value, err);
}

/* The rule is tried here, where a mistake can be told with its place, and used later. */
static int set_route(void *field, const char *value, mail_error *err)
{
    mail_route_table *trial;
    int code = mail_route_table_create(&trial, NULL);

    if (code != MAIL_OK) {
        return no_memory(err);
    }
    code = mail_route_table_add(trial, mail_span_text(value), err);
    mail_route_table_destroy(trial);
    return code == MAIL_OK ? option_set_texts(field, value, err) : code;
}

static int set_tls_out(void *field, const char *value, mail_error *err)
{
    int code = mail_tls_level_parse(mail_span_text(value), field);

    return code == MAIL_OK
               ? code
               : mail_error_set(err, code, "\"%s\" is no level: none, may, require or verify",
                                value);
}

/* Tried as a route is. */
static int set_tls_policy(void *field, const char *value, mail_error *err)
{
    mail_tls_policy_table *trial;
    int code = mail_tls_policy_table_create(&trial, NULL);

    if (code != MAIL_OK) {
        return no_memory(err);
    }
    code = mail_tls_policy_table_add(trial, mail_span_text(value), err);
    mail_tls_policy_table_destroy(trial);
    return code == MAIL_OK ? option_set_texts(field, value, err) : code;
}

static int set_auth_out(void *field, const char *value, mail_error *err)
{
    mail_credentials_table *trial;
    int code = mail_credentials_table_create(&trial, NULL);

    if (code != MAIL_OK) {
        return no_memory(err);
    }
    code = mail_credentials_table_add(trial, mail_span_text(value), err);
    mail_credentials_table_destroy(trial);
    return code == MAIL_OK ? option_set_texts(field, value, err) : code;
}

/* RFC 5321, section 4.5.3.1.8 */
#define RECIPIENTS_MIN 100

static int set_max_recipients(void *field, const char *value, mail_error *err)
{
    uint32_t count;
    int code = option_set_count(&count, value, err);

    if (code == MAIL_OK && count < RECIPIENTS_MIN) {
        return mail_error_set(err, MAIL_EINVAL, "%s is too few: %d at least", value,
                              RECIPIENTS_MIN);
    }
    *(uint32_t *)field = code == MAIL_OK ? count : 0;
    return code;
}

static int set_bare_newline(void *field, const char *value, mail_error *err)
{
    if (strcmp(value, "reject") != 0 && strcmp(value, "normalise") != 0) {
        return mail_error_set(err, MAIL_EINVAL, "\"%s\" is neither reject nor normalise", value);
    }
    *(mail_bare_newline *)field =
        *value == 'r' ? MAIL_BARE_NEWLINE_REJECT : MAIL_BARE_NEWLINE_NORMALISE;
    return MAIL_OK;
}

#define FIELD(member) offsetof(relay_config, member)

static const option_row rows[] = {
    {"check", NULL, "read everything, say what is wrong, exit with 0 or 78", option_set_switch,
     FIELD(check), false},
    {"hostname", "NAME", "our name in the greeting, EHLO and Received (this host's)",
     option_set_hostname, FIELD(hostname), false},
    {"listen", "ADDR", "listen for SMTP (127.0.0.1:2525); repeatable", set_smtp, FIELD(listeners),
     true},
    {"submission", "ADDR", "listen for users, who log in after STARTTLS; repeatable",
     set_submission, FIELD(listeners), true},
    {"submissions", "ADDR", "the same with TLS from the first octet; repeatable", set_submissions,
     FIELD(listeners), true},
    {"lmtp", "ADDR", "listen for LMTP, there or at unix:PATH; repeatable", set_lmtp,
     FIELD(listeners), true},
    {"spool", "DIR", "the queue (./spool); made if missing", option_set_text, FIELD(spool), false},
    {"local", "DOMAIN", "a domain whose mail is delivered here; repeatable", set_local,
     FIELD(local), true},
    {"mail-dir", "DIR", "mailboxes at DIR/DOMAIN/LOCALPART (./mail)", option_set_text,
     FIELD(mail_dir), false},
    {"mailbox-format", "FORMAT", "of mailboxes: maildir", option_set_mailbox_format, 0, false},
    {"users", "FILE", "accounts: who may log in, and which local addresses exist (all)",
     option_set_text, FIELD(users), false},
    {"aliases", "FILE", "`name: target[, target]` a line", option_set_text, FIELD(aliases), false},
    {"route", "PATTERN=NEXTHOP",
     "where mail goes, first match wins; repeatable. PATTERN: domain, .domain, *. NEXTHOP: mx, "
     "HOST:PORT[,HOST:PORT...], lmtp:HOST:PORT, lmtp:unix:PATH, local, discard, hold, "
     "error:CODE TEXT (*=mx)",
     set_route, FIELD(routes), true},
    {"resolver", "ADDR",
     "a DNS server, port 53 unless it says another; repeatable (those of /etc/resolv.conf)",
     option_set_resolvers, FIELD(resolvers), true},
    {"smtp-port", "N", "the port of MX hosts (25)", option_set_port, FIELD(smtp_port), false},
    {"allow-private-mx", NULL, "use MX hosts on loopback and private addresses", option_set_switch,
     FIELD(allow_private_mx), false},
    {"relay-from", "CIDR",
     "who may send to domains that are not local (127.0.0.0/8 and ::1); repeatable; none for "
     "nobody",
     set_relay_from, FIELD(relay_from), true},
    {"tls-ca", "FILE", "whom to trust for what goes out, PEM (the system's list)", option_set_text,
     FIELD(tls_outgoing.trust), false},
    {"tls-out-cert", "FILE", "our certificate and its chain, PEM, for next hops that ask for one",
     option_set_texts, FIELD(tls_outgoing.certificates), false},
    {"tls-out-key", "FILE", "the key of it", option_set_texts, FIELD(tls_outgoing.keys), false},
    {"tls-out", "LEVEL", "none, may, require or verify: TLS for what goes out (may)", set_tls_out,
     FIELD(tls_out), false},
    {"tls-policy", "PATTERN=LEVEL",
     "the same for a recipient domain, patterns as for routes, first match wins; repeatable",
     set_tls_policy, FIELD(tls_policies), true},
    {"auth-out", "HOST:PORT=USER,SOURCE",
     "who we are to a next hop; repeatable. SOURCE, whose first line is the secret: file:PATH, "
     "command:COMMAND, token-file:PATH, token-command:COMMAND; before it \"unverified,\" or "
     "\"clear,\" to show it with less than verified TLS; or certificate, that of --tls-out-cert",
     set_auth_out, FIELD(auth_out), true},
    {"auth-insecure", NULL, "let users log in without TLS", option_set_switch, FIELD(auth_insecure),
     false},
    {"bare-newline", "HOW", "reject or normalise lone CR and LF in messages (reject)",
     set_bare_newline, FIELD(bare_newline), false},
    {"max-message-size", "BYTES", "(52428800); suffixes k M G", option_set_size,
     FIELD(max_message_size), false},
    {"max-recipients", "N", "of a message, 100 at least (1000)", set_max_recipients,
     FIELD(max_recipients), false},
    {"max-messages-per-client", "N/TIME", "or none (30000/10m)", option_set_rate,
     FIELD(server.limits.client_messages), false},
    {"max-recipients-per-client", "N/TIME", "or none (100000/10m)", option_set_rate,
     FIELD(server.limits.client_recipients), false},
    {"max-messages-per-account", "N/TIME", "or none (3000/1h)", option_set_rate,
     FIELD(server.limits.account_messages), false},
    {"max-recipients-per-account", "N/TIME", "or none (10000/1h)", option_set_rate,
     FIELD(server.limits.account_recipients), false},
    {"max-errors", "N", "bad commands of a session without a message (20)", option_set_count,
     FIELD(max_errors), false},
    {"max-unknown-recipients", "N", "refused in a session without a message (100)",
     option_set_count, FIELD(max_unknown_recipients), false},
    {"min-rate", "N", "octets a second of a message, after a minute (100)", option_set_count,
     FIELD(min_rate), false},
    {"allow-early-talk", NULL, "bear clients that speak before the greeting", option_set_switch,
     FIELD(allow_early_talk), false},
    {"max-out-per-destination", "N", "parallel connections (20)", option_set_count,
     FIELD(max_out_per_destination), false},
    {"idle", "SECONDS", "longest wait for a client's next command or data (300)",
     option_set_duration, FIELD(idle), false},
    {"out-timeout", "SECONDS", "upper bound on every outgoing phase (120 to 600 by RFC 5321)",
     option_set_duration, FIELD(out_timeout), false},
    {"retry", "LIST", "delays between tries, the last repeats (5m,10m,20m,30m,1h,2h,4h)",
     option_set_durations, FIELD(retry), false},
    {"give-up", "TIME", "return what could not be delivered for so long (5d)", option_set_duration,
     FIELD(give_up), false},
    {"warn-after", "TIME", "tell senders of a delay (4h)", option_set_duration, FIELD(warn_after),
     false},
    {"capture", NULL, "deliver any recipient into --mail-dir and send nothing out",
     option_set_switch, FIELD(capture), false},
};

/* As relay(8) has them. */
static const option_subject subjects[] = {
    {"Where it listens and who may send",
     "hostname listen submission submissions lmtp relay-from tls-cert tls-key tls-client-ca "
     "proxy-from auth-insecure bare-newline max-message-size max-recipients"},
    {"What clients may use",
     "max-sessions max-sessions-per-client max-sessions-per-network max-connections-per-client "
     "max-connections-per-network max-messages-per-client max-recipients-per-client "
     "max-messages-per-account max-recipients-per-account max-errors max-unknown-recipients "
     "session-timeout idle min-rate limit-loopback allow-early-talk"},
    {"Where mail goes",
     "local users aliases mail-dir mailbox-format route tls-out tls-policy tls-ca tls-out-cert "
     "tls-out-key auth-out resolver smtp-port allow-private-mx capture"},
    {"The queue", "spool retry give-up warn-after max-out-per-destination out-timeout"},
    {"Rights", "user no-sandbox"},
    {"The rest", "check log-level log-format metrics drain"},
};

/* What stands in for options that were not given and whose default is not "nothing". */
static int complete(relay_config *config)
{
    static const mail_network loopback[] = {
        {{.family = 4, .bytes = {127}}, 8},
        {{.family = 6, .bytes = {[15] = 1}}, 128},
    };
    relay_networks *from = &config->relay_from;

    if (config->hostname == NULL) {
        server_hostname(config->own_hostname);
        config->hostname = config->own_hostname;
    }
    if (config->listeners.count == 0) {
        config->listeners.is_default = true;
        if (set_smtp(&config->listeners, "127.0.0.1:2525", NULL) != MAIL_OK) {
            return MAIL_ENOMEM;
        }
    }
    if (from->nobody) {
        from->list.count = 0;
    } else if (from->list.count == 0) {
        from->list.items = malloc(sizeof(loopback));
        if (from->list.items == NULL) {
            return MAIL_ENOMEM;
        }
        memcpy(from->list.items, loopback, sizeof(loopback));
        from->list.count = MAIL_COUNT(loopback);
    }
    return MAIL_OK;
}

/* What a listener for users lacks; NULL: nothing. */
static const char *missing_for(const relay_config *config, mail_receive_kind kind)
{
    bool submits = kind == MAIL_RECEIVE_SUBMISSION || kind == MAIL_RECEIVE_SUBMISSIONS;

    if (submits && config->users == NULL) {
        return "--users, to say who may log in";
    }
    if (submits && config->server.tls.certificates.count == 0 &&
        (kind == MAIL_RECEIVE_SUBMISSIONS || !config->auth_insecure)) {
        return "--tls-cert and --tls-key";
    }
    return NULL;
}

static int check_listeners(const relay_config *config, FILE *err)
{
    for (size_t i = 0; i < config->listeners.count; i++) {
        mail_receive_kind kind = config->listeners.items[i].kind;
        const char *missing = missing_for(config, kind);

        if (missing != NULL) {
            fprintf(err, "relay: --%s needs %s\n", relay_listener_name(kind), missing);
            return config->check ? 78 : 64;
        }
    }
    return OPTIONS_GO;
}

const char *relay_listener_name(mail_receive_kind kind)
{
    static const char *const names[] = {
        [MAIL_RECEIVE_SMTP] = "smtp",
        [MAIL_RECEIVE_LMTP] = "lmtp",
        [MAIL_RECEIVE_SUBMISSION] = "submission",
        [MAIL_RECEIVE_SUBMISSIONS] = "submissions",
    };

    return names[kind];
}

int relay_config_read(relay_config *config, int argc, char **argv, FILE *err)
{
    const option_table table = {
        .program = "relay",
        .version = MAIL_VERSION,
        .summary = "Takes mail by SMTP and LMTP, keeps it safe, and brings it where it belongs.",
        .groups = {{rows, MAIL_COUNT(rows), 0}, server_option_group(FIELD(server))},
        .subjects = subjects,
        .subject_count = MAIL_COUNT(subjects),
    };
    int code;

    *config = (relay_config){
        .spool = "./spool",
        .mail_dir = "./mail",
        .idle = 300 * MAIL_SECOND,
        .give_up = 5 * MAIL_DAY,
        .server = SERVER_OPTIONS_INIT,
    };
    code = options_read(&table, argc, argv, config, &config->text, &config->path, stdout, err);
    if (code == OPTIONS_GO && complete(config) != MAIL_OK) {
        fprintf(err, "relay: %s\n", mail_strerror(MAIL_ENOMEM));
        return 71;
    }
    return code == OPTIONS_GO ? check_listeners(config, err) : code;
}

int relay_config_add_listener(relay_config *config, const relay_listener *listener)
{
    return add_listener(&config->listeners, listener, NULL);
}

void relay_config_deinit(relay_config *config)
{
    option_texts_deinit(&config->local);
    option_texts_deinit(&config->routes);
    option_endpoints_deinit(&config->resolvers);
    server_options_deinit(&config->server);
    tls_files_deinit(&config->tls_outgoing);
    option_texts_deinit(&config->tls_policies);
    option_texts_deinit(&config->auth_out);
    free(config->listeners.items);
    option_networks_deinit(&config->relay_from.list);
    free(config->text);
}
