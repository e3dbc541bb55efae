/* SPDX-License-Identifier: MIT */
#include <mail/store.h>

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#include "base/list.h"
#include "base/mem.h"

typedef struct memory_store {
    mail_store store;
    const mail_mem *mem;
    pthread_mutex_t mutex; /* guards all that hangs on this, but for the bytes of messages */
    list mailboxes;
    uint64_t serial; /* of the message made last */
} memory_store;

typedef struct mailbox {
    list link;
    list messages;
    size_t count;
    bool is_open;
    char *path;
} mailbox;

/* A message lives as long as its mailbox lists it or a session or a source holds it. */
typedef struct message {
    list link;
    size_t holders;
    char id[24];
    mail_sink_memory content;
} message;

typedef struct append_sink {
    mail_sink sink;
    memory_store *ms;
    mailbox *to;
    message *msg;
} append_sink;

typedef struct session {
    mail_mailbox box;
    memory_store *ms;
    mailbox *of;
    message **held;
    mail_maildrop_message *shown;
} session;

typedef struct message_source {
    mail_source source;
    memory_store *ms;
    message *msg;
    mail_span rest;
} message_source;

static void lock(memory_store *ms)
{
    pthread_mutex_lock(&ms->mutex);
}

static void unlock(memory_store *ms)
{
    pthread_mutex_unlock(&ms->mutex);
}

static void free_message(memory_store *ms, message *msg)
{
    mail_sink_memory_deinit(&msg->content);
    mem_free(ms->mem, msg, sizeof(*msg));
}

/* Under the lock. */
static void let_go(memory_store *ms, message *msg)
{
    assert(msg->holders > 0);
    if (--msg->holders == 0) {
        free_message(ms, msg);
    }
}

static void unlist(memory_store *ms, mailbox *mb, message *msg)
{
    list_remove(&msg->link);
    mb->count--;
    let_go(ms, msg);
}

static mailbox *find(memory_store *ms, const char *path)
{
    for (list *link = ms->mailboxes.next; link != &ms->mailboxes; link = link->next) {
        mailbox *mb = LIST_OWNER(link, mailbox, link);

        if (strcmp(mb->path, path) == 0) {
            return mb;
        }
    }
    return NULL;
}

static void free_mailbox(memory_store *ms, mailbox *mb)
{
    while (!list_is_empty(&mb->messages)) {
        unlist(ms, mb, LIST_OWNER(mb->messages.next, message, link));
    }
    list_remove(&mb->link);
    mem_free(ms->mem, mb->path, strlen(mb->path) + 1);
    mem_free(ms->mem, mb, sizeof(*mb));
}

/* The mailbox at `path`, made if it is missing; NULL: no memory. Under the lock. */
static mailbox *find_or_make(memory_store *ms, const char *path)
{
    mailbox *mb = find(ms, path);

    if (mb != NULL) {
        return mb;
    }
    mb = mem_alloc(ms->mem, sizeof(*mb));
    if (mb == NULL) {
        return NULL;
    }
    mb->path = mem_text(ms->mem, mail_span_text(path));
    if (mb->path == NULL) {
        mem_free(ms->mem, mb, sizeof(*mb));
        return NULL;
    }
    list_init(&mb->messages);
    list_push_back(&ms->mailboxes, &mb->link);
    return mb;
}

static size_t append_room(mail_sink *sink)
{
    return mail_sink_room(&((append_sink *)sink)->msg->content.sink);
}

static int append_write(mail_sink *sink, mail_span bytes)
{
    return mail_sink_write(&((append_sink *)sink)->msg->content.sink, bytes);
}

static void append_abort(mail_sink *sink)
{
    append_sink *as = (append_sink *)sink;

    free_message(as->ms, as->msg);
    mem_free(as->ms->mem, as, sizeof(*as));
}

/* What the last line lacks to end in CRLF. */
static mail_span missing_end(mail_span content)
{
    if (content.length == 0 || content.data[content.length - 1] == '\n') {
        return MAIL_SPAN("");
    }
    return content.data[content.length - 1] == '\r' ? MAIL_SPAN("\n") : MAIL_SPAN("\r\n");
}

static int append_finish(mail_sink *sink, mail_finish_fn *fn, void *arg)
{
    append_sink *as = (append_sink *)sink;
    memory_store *ms = as->ms;
    message *msg = as->msg;
    int code = append_write(sink, missing_end(mail_sink_memory_bytes(&msg->content)));

    (void)fn;
    (void)arg;
    if (code != MAIL_OK) {
        append_abort(sink);
        return code;
    }
    lock(ms);
    snprintf(msg->id, sizeof(msg->id), "%" PRIu64, ++ms->serial);
    list_push_back(&as->to->messages, &msg->link);
    as->to->count++;
    unlock(ms);
    mem_free(ms->mem, as, sizeof(*as));
    return MAIL_OK;
}

static int memory_append(mail_store *store, const char *path, mail_sink **out, mail_error *err)
{
    static const mail_sink_ops ops = {append_room, append_write, append_finish, append_abort};
    memory_store *ms = (memory_store *)store;
    append_sink *as = mem_alloc(ms->mem, sizeof(*as));
    message *msg = mem_alloc(ms->mem, sizeof(*msg));
    mailbox *to;

    lock(ms);
    to = as != NULL && msg != NULL ? find_or_make(ms, path) : NULL;
    unlock(ms);
    if (to == NULL) {
        mem_free(ms->mem, msg, sizeof(*msg));
        mem_free(ms->mem, as, sizeof(*as));
        return mail_error_set(err, MAIL_ENOMEM, "%s: %s", path, mail_strerror(MAIL_ENOMEM));
    }
    list_init(&msg->link);
    msg->holders = 1;
    mail_sink_memory_init(&msg->content, ms->mem, SIZE_MAX);
    *as = (append_sink){.sink = {.ops = &ops}, .ms = ms, .to = to, .msg = msg};
    *out = &as->sink;
    return MAIL_OK;
}

static int source_peek(mail_source *source, mail_span *out)
{
    *out = ((message_source *)source)->rest;
    return MAIL_OK;
}

static void source_drop(mail_source *source, size_t n)
{
    message_source *src = (message_source *)source;

    assert(n <= src->rest.length);
    src->rest = mail_span_from(src->rest, n);
}

static void source_close(mail_source *source)
{
    message_source *src = (message_source *)source;
    memory_store *ms = src->ms;

    lock(ms);
    let_go(ms, src->msg);
    unlock(ms);
    mem_free(ms->mem, src, sizeof(*src));
}

static int session_read(mail_mailbox *box, size_t index, mail_source **out)
{
    static const mail_source_ops ops = {source_peek, source_drop, source_close};
    session *ss = (session *)box;
    message *msg = ss->held[index];
    message_source *src = mem_alloc(ss->ms->mem, sizeof(*src));

    if (src == NULL) {
        return MAIL_ENOMEM;
    }
    lock(ss->ms);
    msg->holders++;
    unlock(ss->ms);
    *src = (message_source){{.ops = &ops}, ss->ms, msg, mail_sink_memory_bytes(&msg->content)};
    *out = &src->source;
    return MAIL_OK;
}

static int session_remove(mail_mailbox *box, const uint8_t *marks)
{
    session *ss = (session *)box;

    lock(ss->ms);
    for (size_t i = 0; i < box->count; i++) {
        /* A message that is in no ring but its own was removed before. */
        if (mail_mark_is_set(marks, i) && !list_is_empty(&ss->held[i]->link)) {
            unlist(ss->ms, ss->of, ss->held[i]);
        }
    }
    unlock(ss->ms);
    return MAIL_OK;
}

static void free_session(session *ss)
{
    const mail_mem *mem = ss->ms->mem;

    mem_free(mem, ss->held, ss->box.count * sizeof(*ss->held));
    mem_free(mem, ss->shown, ss->box.count * sizeof(*ss->shown));
    mem_free(mem, ss, sizeof(*ss));
}

static void session_close(mail_mailbox *box)
{
    session *ss = (session *)box;

    lock(ss->ms);
    for (size_t i = 0; i < box->count; i++) {
        let_go(ss->ms, ss->held[i]);
    }
    ss->of->is_open = false;
    unlock(ss->ms);
    free_session(ss);
}

/* Holds and shows all that is there now. Under the lock. */
static int freeze(session *ss)
{
    const mail_mem *mem = ss->ms->mem;
    size_t i = 0;

    ss->box.count = ss->of->count;
    if (ss->box.count == 0) {
        return MAIL_OK;
    }
    ss->held = mem_alloc(mem, ss->box.count * sizeof(*ss->held));
    ss->shown = mem_alloc(mem, ss->box.count * sizeof(*ss->shown));
    if (ss->held == NULL || ss->shown == NULL) {
        return MAIL_ENOMEM;
    }
    for (list *link = ss->of->messages.next; link != &ss->of->messages; link = link->next) {
        message *msg = LIST_OWNER(link, message, link);

        msg->holders++;
        ss->held[i] = msg;
        ss->shown[i++] =
            (mail_maildrop_message){mail_sink_memory_bytes(&msg->content).length, msg->id};
    }
    ss->box.messages = ss->shown;
    return MAIL_OK;
}

/* Under the lock. */
static int open_session(session *ss, const char *path)
{
    int code;

    ss->of = find_or_make(ss->ms, path);
    if (ss->of == NULL) {
        return MAIL_ENOMEM;
    }
    if (ss->of->is_open) {
        return MAIL_EBUSY;
    }
    code = freeze(ss);
    ss->of->is_open = code == MAIL_OK;
    return code;
}

static int memory_open(mail_store *store, const char *path, mail_mailbox **out, mail_error *err)
{
    static const mail_mailbox_ops ops = {session_read, session_remove, session_close};
    memory_store *ms = (memory_store *)store;
    session *ss = mem_alloc(ms->mem, sizeof(*ss));
    int code;

    if (ss == NULL) {
        return mail_error_set(err, MAIL_ENOMEM, "%s: %s", path, mail_strerror(MAIL_ENOMEM));
    }
    *ss = (session){.box = {.ops = &ops}, .ms = ms};
    lock(ms);
    code = open_session(ss, path);
    unlock(ms);
    if (code != MAIL_OK) {
        free_session(ss);
        return mail_error_set(err, code, "%s: %s", path, mail_strerror(code));
    }
    *out = &ss->box;
    return MAIL_OK;
}

static void memory_destroy(mail_store *store)
{
    memory_store *ms = (memory_store *)store;

    while (!list_is_empty(&ms->mailboxes)) {
        free_mailbox(ms, LIST_OWNER(ms->mailboxes.next, mailbox, link));
    }
    pthread_mutex_destroy(&ms->mutex);
    mem_free(ms->mem, ms, sizeof(*ms));
}

int mail_memory_store_create(mail_store **out, const mail_mem *mem)
{
    static const mail_store_ops ops = {
        .append = memory_append,
        .open = memory_open,
        .destroy = memory_destroy,
    };
    memory_store *ms = mem_alloc(mem, sizeof(*ms));

    if (ms == NULL) {
        return MAIL_ENOMEM;
    }
    ms->store.ops = &ops;
    ms->mem = mem;
    list_init(&ms->mailboxes);
    pthread_mutex_init(&ms->mutex, NULL);
    *out = &ms->store;
    return MAIL_OK;
}
