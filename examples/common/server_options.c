/* SPDX-License-Identifier: MIT */
#include "server_options.h"

#include <stddef.h>

#define FIELD(member) offsetof(server_options, member)

static const option_row rows[] = {
    {"tls-cert", "FILE",
     "a certificate and its chain, PEM; repeatable, chosen by the name that a client asks for, the "
     "first for all other names",
     option_set_texts, FIELD(tls.certificates), true},
    {"tls-key", "FILE", "the key of each --tls-cert, in the same order", option_set_texts,
     FIELD(tls.keys), true},
    {"tls-client-ca", "FILE",
     "whose certificates, PEM, let clients log in as the e-mail address in them (nobody's)",
     option_set_text, FIELD(tls.trust), false},
    {"proxy-from", "CIDR", "proxies that must say for whom they speak (PROXY protocol); repeatable",
     option_set_networks, FIELD(proxy_from), true},
    {"max-sessions", "N", "(10000)", option_set_count, FIELD(limits.sessions), false},
    {"max-sessions-per-client", "N", "(200; from loopback unlimited)", option_set_count,
     FIELD(limits.sessions_per_client), false},
    {"max-sessions-per-network", "N", "of one IPv4 /24 or IPv6 /48 (1000)", option_set_count,
     FIELD(limits.sessions_per_network), false},
    {"max-connections-per-client", "N/TIME", "or none (1200/1m)", option_set_rate,
     FIELD(limits.client_connections), false},
    {"max-connections-per-network", "N/TIME", "or none (6000/1m)", option_set_rate,
     FIELD(limits.network_connections), false},
    {"limit-loopback", NULL, "hold clients on loopback to these limits too", option_set_switch,
     FIELD(limits.includes_loopback), false},
    {"session-timeout", "TIME", "longest session (6h)", option_set_duration, FIELD(session_timeout),
     false},
    {"user", "NAME", "become this user once the ports are open, when started as root",
     option_set_text, FIELD(confine.user), false},
    {"no-sandbox", NULL, "see all files that the user may see, and leave core files: for debugging",
     option_set_switch, FIELD(confine.no_sandbox), false},
    {"log-level", "LEVEL", "error, warn, info or debug (info)", option_set_log_level,
     FIELD(log_level), false},
    {"log-format", "FORMAT", "text or json (text)", option_set_log_format, FIELD(log_format),
     false},
    {"metrics", "ADDR", "show numbers by HTTP at /metrics; repeatable", option_set_endpoints,
     FIELD(metrics), true},
    {"drain", "SECONDS", "longest wait for what is under way at the end (10)", option_set_duration,
     FIELD(drain), false},
};

option_group server_option_group(size_t at)
{
    return (option_group){rows, MAIL_COUNT(rows), at};
}

void server_options_deinit(server_options *options)
{
    tls_files_deinit(&options->tls);
    option_networks_deinit(&options->proxy_from);
    option_endpoints_deinit(&options->metrics);
}
