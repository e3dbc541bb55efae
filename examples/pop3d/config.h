/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_POP3D_CONFIG_H
#define EXAMPLES_POP3D_CONFIG_H

#include "common/options.h"
#include "common/server.h"
#include "common/server_options.h"

/* One of --listen and --pop3s, in the order given. */
typedef struct pop3d_listener {
    mail_endpoint at;
    bool is_tls; /* from the first octet */
} pop3d_listener;

typedef struct pop3d_listeners {
    pop3d_listener *items;
    size_t count;
} pop3d_listeners;

/* What the command line and the file of --config say. */
typedef struct pop3d_config {
    bool check;
    const char *hostname;
    pop3d_listeners listeners;
    bool listen_is_default; /* none was asked for */
    const char *mail_dir;
    const char *users;
    bool auth_insecure;
    uint32_t min_rate;
    mail_duration idle;
    server_options server;
    char own_hostname[SERVER_HOSTNAME_SIZE];
    char *text;       /* of the file */
    const char *path; /* of the file; NULL: none */
} pop3d_config;

/* OPTIONS_GO or the exit code, as options_read. */
int pop3d_config_read(pop3d_config *config, int argc, char **argv);
void pop3d_config_deinit(pop3d_config *config);

#endif
