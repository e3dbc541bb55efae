/* SPDX-License-Identifier: MIT */
#ifndef TESTS_NET_POP3_KIT_H
#define TESTS_NET_POP3_KIT_H

#include "net/world.h"

#include <netinet/in.h>

#include <mail/pop3_service.h>

#define GREETING "+OK pop.example POP3 server ready\r\n"
#define USER_OK  "+OK send PASS\r\n"
#define LOGIN    "USER alice\r\nPASS secret\r\n"

/* A service on a loop, over a store in memory unless `store` is given. */
typedef struct fixture {
    world w;
    mail_tls_context *tls; /* NULL: none */
    const char *users;     /* NULL: alice and bob */
    mail_pop3_server_options engine;
    mail_store *store;
    mail_accounts *accounts;
    mail_pop3_service *service;
    mail_endpoint at;
    bool is_drained;
} fixture;

static inline void put(mail_store *store, const char *path, mail_span text)
{
    mail_sink *sink;

    assert_int_equal(mail_store_append(store, path, &sink, NULL), MAIL_OK);
    assert_int_equal(mail_sink_write(sink, text), MAIL_OK);
    assert_int_equal(mail_sink_finish(sink, NULL, NULL), MAIL_OK);
}

static inline size_t count_messages(mail_store *store, const char *path)
{
    mail_mailbox *box;
    size_t count;

    assert_int_equal(mail_mailbox_open(&box, store, path, NULL), MAIL_OK);
    count = box->count;
    mail_mailbox_close(box);
    return count;
}

static inline int open_service(fixture *fx, const mail_mem *mem,
                               const mail_pop3_service_options *how)
{
    mail_pop3_service_options opts = *how;
    int code;

    opts.size = sizeof(opts);
    opts.mem = mem;
    opts.store = fx->store;
    opts.accounts = fx->accounts;
    opts.mail_dir = "mail";
    opts.sockets = &fx->w.sockets;
    code = mail_pop3_service_create(&fx->service, fx->w.loop, &opts);
    if (code != MAIL_OK) {
        return code;
    }
    if (fx->tls != NULL) {
        mail_pop3_service_set_tls(fx->service, fx->tls);
    }
    fx->engine.size = sizeof(fx->engine);
    fx->engine.hostname = MAIL_SPAN("pop.example");
    return mail_pop3_service_listen(fx->service, &loopback, &fx->engine, &fx->at, NULL);
}

/* What `fx` says already of TLS, users and the engine counts. */
static inline void set_up_with(fixture *fx, int kind, const mail_pop3_service_options *how)
{
    const char *users =
        fx->users != NULL ? fx->users : "alice:{PLAIN}secret\nbob:{PLAIN}geheim:box of bob\n";

    fx->store = how->store;
    assert_int_equal(world_open(&fx->w, kind, NULL), MAIL_OK);
    if (fx->store == NULL) {
        assert_int_equal(mail_memory_store_create(&fx->store, NULL), MAIL_OK);
    }
    assert_int_equal(mail_accounts_parse(&fx->accounts, mail_span_text(users), "users", NULL, NULL),
                     MAIL_OK);
    assert_int_equal(open_service(fx, NULL, how), MAIL_OK);
}

static inline void set_up(fixture *fx, int kind, const mail_pop3_service_options *how)
{
    *fx = (fixture){.store = NULL};
    set_up_with(fx, kind, how);
}

static inline void on_drained(void *arg)
{
    ((fixture *)arg)->is_drained = true;
}

static inline void tear_down(fixture *fx)
{
    if (!fx->is_drained) {
        mail_pop3_service_drain(fx->service, on_drained, fx);
        mail_pop3_service_cut(fx->service);
        world_until(&fx->w, fx->is_drained);
    }
    assert_int_equal(mail_pop3_service_sessions(fx->service), 0);
    mail_pop3_service_destroy(fx->service);
    mail_accounts_unref(fx->accounts);
    mail_store_destroy(fx->store);
    world_close(&fx->w);
}

static inline int dial(fixture *fx)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(fx->at.port),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static inline void say(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

/* The next that the server says must be `text`. */
static inline void expect(fixture *fx, int fd, const char *text)
{
    char heard[4096];
    size_t length = strlen(text);

    assert_true(length <= sizeof(heard));
    world_hear(&fx->w, fd, length, heard, sizeof(heard));
    assert_span_equal(mail_span_of(heard, length), text);
}

static inline bool is_at_end(int fd)
{
    char octet;

    return read(fd, &octet, 1) == 0;
}

static inline void expect_end(fixture *fx, int fd)
{
    world_until(&fx->w, is_at_end(fd));
    close(fd);
}

#endif
