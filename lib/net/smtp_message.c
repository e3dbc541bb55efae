/* SPDX-License-Identifier: MIT */
/*
 * A message on its way from the engine into the policy's sink: no more is fed than the sink has
 * room for, and what becomes of the sink is the answer to the end of the message.
 */
#include "net/smtp_session.h"

#include <assert.h>

#include "base/mem.h"

static const mail_reply NO_MEMORY = {451, {4, 3, 0}, {"Out of memory, try again later", 30}};

void smtp_message_drop(smtp_session *ss)
{
    mail_sink *sink = ss->sink;

    ss->sink = NULL;
    buffer_clear(&ss->spill, 0);
    if (sink != NULL) {
        mail_sink_abort(sink);
    }
}

static void fail_sink(smtp_session *ss, int code)
{
    ss->failure = code;
    smtp_message_drop(ss);
}

/* Writes as much of `bytes` as there is room for; what is left comes back. */
static mail_span put(smtp_session *ss, mail_span bytes)
{
    while (bytes.length > 0 && ss->sink != NULL) {
        size_t room = mail_sink_room(ss->sink);
        size_t n = bytes.length < room ? bytes.length : room;
        int code;

        if (n == 0) {
            break;
        }
        code = mail_sink_write(ss->sink, mail_span_first(bytes, n));
        if (code != MAIL_OK) {
            fail_sink(ss, code);
        }
        bytes = mail_span_from(bytes, n);
    }
    return bytes;
}

void smtp_message_put(smtp_session *ss, mail_span body)
{
    mail_span rest = put(ss, body);

    if (ss->sink != NULL && buffer_append(&ss->spill, rest) != MAIL_OK) {
        fail_sink(ss, MAIL_ENOMEM);
    }
}

/*
 * How much may be fed: no more than the sink has room for, but enough that a command
 * between two chunks is seen whole. What that brings too much waits in `spill`; while
 * anything is there, nothing is fed.
 */
size_t smtp_message_limit(smtp_session *ss, size_t length)
{
    size_t room;

    if (ss->sink == NULL) {
        return length;
    }
    if (buffer_length(&ss->spill) > 0) {
        mail_span rest = put(ss, buffer_bytes(&ss->spill));

        buffer_consume(&ss->spill, ss->sink != NULL ? buffer_length(&ss->spill) - rest.length : 0);
        if (rest.length > 0 && ss->sink != NULL) {
            return 0;
        }
        buffer_clear(&ss->spill, 0);
    }
    room = ss->sink != NULL ? mail_sink_room(ss->sink) : length;
    if (room == 0) {
        return 0;
    }
    room = room > MAIL_SMTP_LINE_MAX ? room - 2 : MAIL_SMTP_LINE_MAX;
    return length < room ? length : room;
}

bool smtp_message_is_stalled(const smtp_session *ss)
{
    return ss->sink != NULL && (buffer_length(&ss->spill) > 0 || mail_sink_room(ss->sink) == 0);
}

static void on_room(void *arg)
{
    smtp_session *ss = arg;

    net_link_soon(&ss->link);
}

static const mail_reply *refusal_of(smtp_session *ss, int code)
{
    static const mail_reply no_space = {452, {4, 3, 1}, {"Not enough room, try again later", 32}};
    static const mail_reply too_big = {552, {5, 3, 4}, {"Message too big", 15}};
    static const mail_reply failed = {451, {4, 3, 0}, {"Could not store it, try again later", 35}};
    mail_smtp_service *service = ss->service;
    const mail_reply *reply = NULL;

    if (service->opts.refusal != NULL) {
        service->calling++;
        reply = service->opts.refusal(&ss->shown, code, service->opts.arg);
        service->calling--;
    }
    if (reply != NULL) {
        return reply;
    }
    return code == MAIL_ENOSPC ? &no_space : code == MAIL_ELIMIT ? &too_big : &failed;
}

/* Answers END by what has become of the sink. */
static void give_verdict(smtp_session *ss)
{
    mail_reply accepted = {250, {2, 0, 0}, {ss->accepted, ss->accepted_length}};

    ss->has_verdict = true;
    if (ss->accepted_length == 0) {
        accepted.text = MAIL_SPAN("OK");
    }
    smtp_session_answer(ss, ss->failure == MAIL_OK ? &accepted : refusal_of(ss, ss->failure));
}

static void on_finished(int code, void *arg)
{
    smtp_session *ss = arg;
    mail_smtp_service *service = ss->service;

    ss->finishing = false;
    if (ss->link.is_closed) { /* nobody waits for the answer any more */
        list_remove(&ss->orphan);
        smtp_session_free(ss);
        if (service != NULL) {
            smtp_service_check_drained(service);
        }
        return;
    }
    if (!ss->is_over) {
        ss->failure = code;
        give_verdict(ss);
    }
}

static void finish(smtp_session *ss)
{
    mail_sink *sink = ss->sink;
    int code;

    ss->sink = NULL;
    ss->finishing = true;
    code = mail_sink_finish(sink, on_finished, ss);
    if (code != MAIL_EAGAIN) {
        ss->finishing = false;
        ss->failure = code;
        give_verdict(ss);
    }
}

void smtp_message_begin(smtp_session *ss, const mail_smtp_event *ev)
{
    ss->taking = SMTP_TAKING_NOTHING;
    ss->failure = MAIL_OK;
    ss->has_verdict = false;
    smtp_session_ask(ss, ev);
}

void smtp_message_end(smtp_session *ss, const mail_smtp_event *ev)
{
    bool is_settled = ss->has_verdict || ss->failure != MAIL_OK;

    if (ss->taking == SMTP_TAKING_ALL && !is_settled) {
        ss->question = ev->type;
        finish(ss);
    } else if (ss->taking != SMTP_TAKING_NOTHING && is_settled) {
        ss->question = ev->type;
        give_verdict(ss);
    } else {
        ss->sink = NULL; /* the policy's again */
        smtp_session_ask(ss, ev);
    }
}

int smtp_message_take(smtp_session *ss, mail_sink *sink, smtp_taking taking, mail_span accepted)
{
    char *text = accepted.length > 0 ? mem_text(ss->mem, accepted) : NULL;

    assert(ss->question == MAIL_SMTP_EV_DATA);
    if (text == NULL && accepted.length > 0) {
        mail_sink_abort(sink);
        smtp_session_answer(ss, &NO_MEMORY);
        return MAIL_ENOMEM;
    }
    mem_free(ss->mem, ss->accepted, ss->accepted_length + 1);
    ss->accepted = text;
    ss->accepted_length = accepted.length;
    ss->sink = sink;
    ss->taking = taking;
    sink->on_room = on_room;
    sink->on_room_arg = ss;
    if (smtp_session_answer(ss, NULL) != MAIL_OK) {
        smtp_message_drop(ss);
        return MAIL_ENOMEM;
    }
    return MAIL_OK;
}
