/* SPDX-License-Identifier: MIT */
/* How long the peer may take, and how time stands still while we do. */
#include "smtp/server.h"

#define HANDSHAKE_TIMEOUT MAIL_MINUTE

void mail_smtp_server_pause(mail_smtp_server *srv, mail_time now)
{
    if (srv->paused_at == MAIL_NEVER) {
        srv->paused_at = now;
    }
}

void smtp_server_resume(mail_smtp_server *srv)
{
    if (srv->paused_at != MAIL_NEVER) {
        mail_duration pause = srv->now - srv->paused_at;

        srv->since += pause;
        srv->begun_at += pause;
        srv->data_since += pause;
        srv->data_last += pause;
        srv->paused_at = MAIL_NEVER;
    }
}

/* MAIL_NEVER as a time-out is never. */
static mail_time after(mail_time since, mail_duration by)
{
    return since > MAIL_NEVER - by ? MAIL_NEVER : since + by;
}

/*
 * A message may come slowly but not for ever: after a minute it must have come at
 * the least rate from its first octet on. Chunks are measured the same, with the
 * commands between them.
 */
static mail_time rate_deadline(const mail_smtp_server *srv)
{
    uint64_t seconds = srv->message_size / srv->opts.min_data_rate;

    if (seconds > (uint64_t)(INT64_MAX / MAIL_SECOND)) {
        return MAIL_NEVER;
    }
    return after(srv->data_since + MAIL_MINUTE, (mail_duration)seconds * MAIL_SECOND);
}

static mail_time session_end(const mail_smtp_server *srv)
{
    return after(srv->begun_at, srv->opts.session_timeout);
}

bool smtp_server_is_old(const mail_smtp_server *srv)
{
    return srv->now >= session_end(srv);
}

static mail_time earlier(mail_time a, mail_time b)
{
    return a < b ? a : b;
}

/* RFC 5321, section 4.5.3.2: a command as a whole has its time, however its octets drip. */
static mail_time end_of_command(const mail_smtp_server *srv)
{
    bool shakes_hands = srv->state == SMTP_EXPECT_TLS;
    mail_duration time = srv->opts.command_timeout;

    return after(srv->since, shakes_hands && time > HANDSHAKE_TIMEOUT ? HANDSHAKE_TIMEOUT : time);
}

mail_time mail_smtp_server_deadline(const mail_smtp_server *srv)
{
    mail_time command_end = end_of_command(srv);
    mail_time late_end = after(session_end(srv), srv->opts.session_timeout);

    if (srv->question != MAIL_SMTP_EV_NONE || srv->state >= SMTP_CLOSING ||
        srv->paused_at != MAIL_NEVER) {
        return MAIL_NEVER;
    }
    if (srv->discards) {
        return earlier(command_end, late_end);
    }
    if (srv->held > 0) {
        return srv->release_at;
    }
    if (srv->state == SMTP_EXPECT_DOT || srv->state == SMTP_EXPECT_OCTETS) {
        return earlier(late_end,
                       earlier(after(srv->data_last, srv->opts.data_timeout), rate_deadline(srv)));
    }
    if (srv->state == SMTP_EXPECT_CHUNK) {
        return earlier(late_end, earlier(command_end, rate_deadline(srv)));
    }
    return earlier(command_end, session_end(srv));
}
