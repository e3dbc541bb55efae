/* SPDX-License-Identifier: MIT */
#include "mta/receive.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include <mail/trace.h>

#include "base/mem.h"

static arrival *self_of(mail_sink *sink)
{
    return (arrival *)sink;
}

static void drop_front(arrival *av)
{
    mem_free(av->rcv->mem, av->front, av->front_length + 1);
    av->front = NULL;
    av->front_length = 0;
}

/* Our own field goes before the first octet of the message. */
static int put_front(arrival *av)
{
    int code = MAIL_OK;

    if (av->front != NULL) {
        code = mail_sink_write(av->inner, mail_span_of(av->front, av->front_length));
        drop_front(av);
    }
    return code;
}

static size_t arrival_room(mail_sink *sink)
{
    arrival *av = self_of(sink);
    size_t room = mail_sink_room(av->inner);

    return room > av->front_length ? room - av->front_length : 0;
}

/* What may be header: the scan needs no more, and a little more does it no harm. */
static mail_span header_of(mail_span bytes)
{
    static const char end[] = "\r\n\r\n";
    const char *at = bytes.length > 0 ? memmem(bytes.data, bytes.length, end, 4) : NULL;

    return at != NULL ? mail_span_first(bytes, (size_t)(at - bytes.data) + 4) : bytes;
}

/* RFC 5321, section 6.3: so many hops are a loop. */
static int arrival_write(mail_sink *sink, mail_span bytes)
{
    arrival *av = self_of(sink);
    int code = put_front(av);

    if (code != MAIL_OK) {
        return code;
    }
    if (!av->scan.in_body) {
        mail_scan_feed(&av->scan, header_of(bytes));
        if (av->scan.received > av->rcv->opts.max_received) {
            return MAIL_ELIMIT;
        }
    }
    av->octets += bytes.length;
    return mail_sink_write(av->inner, bytes);
}

static void log_end(const arrival *av, int code)
{
    const mail_log *log = av->rcv->log;
    mail_log_level level = code == MAIL_OK ? MAIL_LOG_INFO : MAIL_LOG_WARN;
    char number[24];
    char size[24];
    mail_log_field fields[9];
    size_t count = 0;

    if (log == NULL || level > log->level) {
        return;
    }
    snprintf(number, sizeof(number), "%zu", av->recipients);
    snprintf(size, sizeof(size), "%" PRIu64, av->octets);
    fields[count++] = (mail_log_field){"queue_id", mail_span_text(av->id)};
    fields[count++] = (mail_log_field){"from", mail_span_text(av->sender)};
    fields[count++] = (mail_log_field){"peer", mail_span_text(av->peer)};
    fields[count++] = (mail_log_field){"recipients", mail_span_text(number)};
    fields[count++] = (mail_log_field){"size", mail_span_text(size)};
    if (av->user[0] != '\0') {
        fields[count++] = (mail_log_field){"user", mail_span_text(av->user)};
    }
    if (av->uid[0] != '\0') {
        fields[count++] = (mail_log_field){"uid", mail_span_text(av->uid)};
    }
    if (av->tls[0] != '\0') {
        fields[count++] = (mail_log_field){"tls", mail_span_text(av->tls)};
    }
    if (code != MAIL_OK) {
        fields[count++] = (mail_log_field){"reason", mail_span_text(mail_strerror(code))};
    }
    mail_log_line(log, level, code == MAIL_OK ? "accepted" : "not accepted", fields, count);
}

static void tell_end(arrival *av, int code)
{
    const receive_measure *measure = &av->rcv->measure;

    if (code == MAIL_OK) {
        mail_metric_count(measure->accepted, 1);
        mail_metric_count(measure->octets, av->octets);
    } else {
        mail_metric_count(measure->failed, 1);
    }
    log_end(av, code);
    av->is_told = true;
}

static void free_arrival(arrival *av)
{
    drop_front(av);
    mem_free(av->rcv->mem, av, sizeof(*av));
}

static void on_finished(int code, void *arg)
{
    arrival *av = arg;

    av->is_finishing = false;
    tell_end(av, code);
    if (av->fn != NULL) {
        av->fn(code, av->arg);
    }
    if (av->is_orphan) {
        free_arrival(av);
    }
}

static int arrival_finish(mail_sink *sink, mail_finish_fn *fn, void *arg)
{
    arrival *av = self_of(sink);
    mail_sink *inner = av->inner;
    int code = put_front(av);

    av->inner = NULL;
    if (code != MAIL_OK) {
        mail_sink_abort(inner);
        return code;
    }
    av->fn = fn;
    av->arg = arg;
    code = mail_sink_finish(inner, on_finished, av);
    if (code == MAIL_EAGAIN) {
        av->is_finishing = true;
    } else {
        tell_end(av, code);
    }
    return code;
}

static void arrival_abort(mail_sink *sink)
{
    arrival *av = self_of(sink);

    drop_front(av);
    if (av->inner != NULL) {
        mail_sink_abort(av->inner);
        av->inner = NULL;
    }
}

static void on_room(void *arg)
{
    arrival *av = arg;

    if (av->sink.on_room != NULL) {
        av->sink.on_room(av->sink.on_room_arg);
    }
}

arrival *arrival_create(mail_receive *rcv)
{
    static const mail_sink_ops ops = {arrival_room, arrival_write, arrival_finish, arrival_abort};
    arrival *av = mem_alloc(rcv->mem, sizeof(*av));

    if (av != NULL) {
        av->sink.ops = &ops;
        av->rcv = rcv;
    }
    return av;
}

void arrival_destroy(arrival *av)
{
    if (av == NULL) {
        return;
    }
    if (av->is_finishing) {
        av->is_orphan = true;
    } else {
        arrival_abort(&av->sink);
        free_arrival(av);
    }
}

mail_wall receive_wall(const mail_receive *rcv)
{
    return rcv->opts.wall != NULL ? rcv->opts.wall(rcv->opts.wall_arg) : (mail_wall)time(NULL);
}

/*
 * SS-034: the recipient is named only if it is the only one, for the sake of the others, and not
 * if its sender knows it by another address.
 */
static int make_front(arrival *av, const mail_envelope *envelope, const origin *from)
{
    char field[MAIL_TRACE_SIZE];
    mail_received received = {
        .helo = from->helo,
        .peer = from->peer,
        .by = mail_span_text(av->rcv->hostname),
        .with = from->with | (envelope->smtputf8 ? MAIL_WITH_UTF8 : 0U),
        .id = mail_span_text(av->id),
        .when = receive_wall(av->rcv),
    };
    size_t length;

    if (mail_envelope_count(envelope) == 1 &&
        mail_envelope_recipient(envelope, 0).role != MAIL_RECIPIENT_HIDDEN) {
        received.address = mail_envelope_recipient(envelope, 0).address;
    }
    length = mail_received_write(&received, field);
    av->front = mem_text(av->rcv->mem, mail_span_of(field, length));
    av->front_length = av->front != NULL ? length : 0;
    return av->front != NULL ? MAIL_OK : MAIL_ENOMEM;
}

/* As much of `text` as fits. */
static void keep(char *to, size_t size, mail_span text)
{
    size_t length = text.length < size ? text.length : size - 1;

    if (length > 0) {
        memcpy(to, text.data, length);
    }
    to[length] = '\0';
}

static void remember(arrival *av, const mail_envelope *envelope, const origin *from)
{
    if (from->peer.family != 0) {
        av->peer[mail_ip_print(&from->peer, av->peer)] = '\0';
    } else {
        keep(av->peer, sizeof(av->peer), MAIL_SPAN("local"));
    }
    keep(av->sender, sizeof(av->sender), mail_envelope_sender(envelope));
    keep(av->tls, sizeof(av->tls), mail_span_text(from->tls != NULL ? from->tls : ""));
    keep(av->user, sizeof(av->user), from->user);
    av->uid[0] = '\0';
    if (from->was_dropped) {
        snprintf(av->uid, sizeof(av->uid), "%" PRIu32, from->uid);
    }
    av->recipients = mail_envelope_count(envelope);
    av->octets = 0;
}

int arrival_begin(arrival *av, const mail_envelope *envelope, const origin *from, uint64_t expected)
{
    int code;

    code = mail_intake_begin(av->rcv->intake, envelope, expected, av->id, &av->inner);
    if (code != MAIL_OK) {
        av->inner = NULL;
        return code;
    }
    code = make_front(av, envelope, from);
    if (code != MAIL_OK) {
        arrival_abort(&av->sink);
        return code;
    }
    remember(av, envelope, from);
    av->is_told = false;
    mail_scan_init(&av->scan);
    av->inner->on_room = on_room;
    av->inner->on_room_arg = av;
    av->sink.on_room = NULL;
    /* Mostly there is room at once, and no copy has to be kept. */
    return mail_sink_room(av->inner) > av->front_length ? put_front(av) : MAIL_OK;
}
