/* SPDX-License-Identifier: MIT */
#include "sim/sender.h"

#include <stdlib.h>

#include <mail/smtp_connection.h>

#include "support/support.h"

struct sim_sender {
    sim_sender_options opts;
    sim_world *world;
    mail_envelope all;
    bool *decided;          /* of all: taken, or refused for good */
    mail_envelope envelope; /* of this try: the others */
    size_t *asked;          /* which of all they are */
    mail_smtp_connection *conn;
    mail_source_span body;
    bool has_sent;
    sim_event again;
};

void sim_sender_stop(sim_sender *sender)
{
    mail_smtp_connection_destroy(sender->conn);
    sim_event_unset(sender->world, &sender->again);
    mail_envelope_deinit(&sender->envelope);
    mail_envelope_deinit(&sender->all);
    free(sender->asked);
    free(sender->decided);
    free(sender);
}

static void fill_envelope(sim_sender *sender)
{
    mail_envelope_reset(&sender->envelope);
    assert_int_equal(mail_envelope_set_sender(&sender->envelope, mail_envelope_sender(&sender->all),
                                              mail_envelope_envid(&sender->all)),
                     MAIL_OK);
    sender->envelope.smtputf8 = sender->all.smtputf8;
    for (size_t i = 0; i < mail_envelope_count(&sender->all); i++) {
        mail_recipient rcpt = mail_envelope_recipient(&sender->all, i);

        if (!sender->decided[i]) {
            sender->asked[mail_envelope_count(&sender->envelope)] = i;
            assert_int_equal(mail_envelope_add(&sender->envelope, &rcpt), MAIL_OK);
        }
    }
}

static void on_ready(mail_smtp_connection *conn, void *arg)
{
    sim_sender *sender = arg;
    const mail_smtp_content content = {
        .size = sender->opts.content.length,
        .has_8bit = sender->opts.has_utf8,
        .has_utf8_header = sender->opts.has_utf8,
    };

    if (sender->has_sent) {
        mail_smtp_connection_quit(conn);
        return;
    }
    sender->has_sent = true;
    mail_source_span_init(&sender->body, sender->opts.content);
    assert_int_equal(
        mail_smtp_connection_send(conn, &sender->envelope, &content, &sender->body.source),
        MAIL_OK);
}

static void on_done(mail_smtp_connection *conn, void *arg)
{
    sim_sender *sender = arg;

    for (size_t i = 0; i < mail_envelope_count(&sender->envelope); i++) {
        mail_outcome outcome = mail_smtp_connection_outcome(conn, i);
        size_t index = sender->asked[i];

        sender->decided[index] =
            outcome.kind == MAIL_OUTCOME_ACCEPTED || outcome.kind == MAIL_OUTCOME_PERMANENT;
        sender->opts.on_outcome(index, &outcome, sender->opts.arg);
    }
}

static void on_closed(mail_smtp_connection *conn, void *arg)
{
    sim_sender *sender = arg;
    sim_world *world = sender->world;
    mail_reply why = mail_smtp_connection_failure(conn);

    if (!sender->has_sent && why.code != 0 && sender->opts.on_lost != NULL) {
        sender->opts.on_lost(&why, sender->opts.arg);
    }
    mail_smtp_connection_destroy(conn);
    sender->conn = NULL;
    sim_event_set(world, &sender->again,
                  world->now + MAIL_MINUTE + (mail_duration)sim_below(world, 9 * MAIL_MINUTE));
}

static void try_to_send(void *arg)
{
    static const mail_smtp_connection_ops ops = {
        .on_ready = on_ready, .on_done = on_done, .on_closed = on_closed};
    sim_sender *sender = arg;
    const sim_sender_options so = sender->opts;
    mail_smtp_connection_options opts = MAIL_SMTP_CONNECTION_OPTIONS_INIT;

    fill_envelope(sender);
    if (mail_envelope_count(&sender->envelope) == 0) {
        sim_sender_stop(sender);
        so.on_over(so.arg);
        return;
    }
    sender->has_sent = false;
    opts.client.lmtp = so.lmtp;
    opts.client.hostname = mail_span_text(so.from->name);
    opts.ops = &ops;
    opts.arg = sender;
    opts.sockets = &so.from->sockets;
    assert_int_equal(mail_smtp_connection_open(&sender->conn, &so.loop->loop, &so.to, &opts),
                     MAIL_OK);
}

sim_sender *sim_sender_start(const sim_sender_options *opts)
{
    sim_sender *sender = calloc(1, sizeof(*sender));
    size_t count = mail_envelope_count(opts->envelope);

    assert_non_null(sender);
    sender->opts = *opts;
    sender->world = opts->loop->world;
    sender->decided = calloc(count, sizeof(*sender->decided));
    sender->asked = calloc(count, sizeof(*sender->asked));
    assert_true(sender->decided != NULL && sender->asked != NULL);
    mail_envelope_init(&sender->all, NULL);
    mail_envelope_init(&sender->envelope, NULL);
    assert_int_equal(mail_envelope_copy(&sender->all, opts->envelope), MAIL_OK);
    sender->again = (sim_event){.fn = try_to_send, .arg = sender};
    try_to_send(sender);
    return sender;
}
