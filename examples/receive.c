/* SPDX-License-Identifier: MIT */
/*
 * Receives mail and prints it:  receive [HOST:PORT]
 * Ends after the first message when the environment holds ONCE.
 */
#include <stdio.h>
#include <stdlib.h>

#include <mail/loop_poll.h>
#include <mail/serve.h>

static int on_message(const mail_incoming *message, void *arg)
{
    mail_span sender = mail_envelope_sender(message->envelope);

    printf("from <%.*s>\n", (int)sender.length, sender.data);
    for (size_t i = 0; i < mail_envelope_count(message->envelope); i++) {
        mail_recipient to = mail_envelope_recipient(message->envelope, i);

        printf("to <%.*s>\n", (int)to.address.length, to.address.data);
    }
    fwrite(message->content.data, 1, message->content.length, stdout);
    fflush(stdout);
    if (getenv("ONCE") != NULL) {
        mail_loop_poll_stop(arg);
    }
    return MAIL_OK; /* it is ours now: the peer gets its 250 */
}

int main(int argc, char **argv)
{
    mail_serve_options opts = MAIL_SERVE_OPTIONS_INIT;
    char where[MAIL_IP_TEXT_SIZE];
    mail_endpoint at;
    mail_loop_poll *loop;
    mail_server *server;
    mail_error err;

    if (mail_loop_poll_create(&loop, NULL) != MAIL_OK) {
        return 1;
    }
    opts.listen = argc > 1 ? argv[1] : "127.0.0.1:2525";
    opts.on_message = on_message;
    opts.arg = loop;
    if (mail_serve(&server, mail_loop_poll_loop(loop), &opts, &err) != MAIL_OK) {
        fprintf(stderr, "receive: %s\n", err.text);
        return 1;
    }
    at = mail_server_endpoint(server);
    mail_endpoint_print(&at, where);
    printf("ready smtp=%s\n", where);
    fflush(stdout);
    mail_loop_poll_run(loop);
    mail_server_destroy(server);
    mail_loop_poll_destroy(loop);
    return 0;
}
