/* SPDX-License-Identifier: MIT */
#ifndef TESTS_NET_GUEST_H
#define TESTS_NET_GUEST_H

#include "net/world.h"

#include <mail/tls.h>

/* A client that types in TLS. */
typedef struct guest {
    world *w;
    int fd;
    mail_tls *tls;
    bool ready;
    bool ended;    /* the server has said close_notify */
    bool may_fail; /* a failure of TLS is as good as an end */
    char heard[8000];
    size_t length;
} guest;

static inline void guest_begin_tls(guest *g, world *w, int fd, mail_tls_context *context)
{
    mail_tls_options opts = MAIL_TLS_OPTIONS_INIT;

    *g = (guest){.w = w, .fd = fd};
    assert_int_equal(mail_tls_create(&g->tls, context, &opts), MAIL_OK);
}

static inline void guest_keeps(guest *g, mail_span plain)
{
    assert_true(g->length + plain.length < sizeof(g->heard));
    if (plain.length > 0) {
        memcpy(g->heard + g->length, plain.data, plain.length);
        g->length += plain.length;
        mail_tls_drop(g->tls, plain.length);
    }
}

/* Sends what there is and takes what has come; false: the server has closed. */
static inline bool guest_moves(guest *g)
{
    mail_span out = mail_tls_out(g->tls);
    char bytes[20000];
    mail_span in;
    ssize_t n;

    if (out.length > 0) {
        n = send(g->fd, out.data, out.length, MSG_NOSIGNAL);
        mail_tls_sent(g->tls, n > 0 ? (size_t)n : 0);
    }
    world_step(g->w);
    n = read(g->fd, bytes, sizeof(bytes));
    in = mail_span_of(bytes, n > 0 ? (size_t)n : 0);
    while (in.length > 0) {
        size_t used;
        mail_tls_event event = mail_tls_feed(g->tls, in, &used);

        in = mail_span_from(in, used);
        g->ready |= event == MAIL_TLS_READY;
        g->ended |= event == MAIL_TLS_END;
        if (event == MAIL_TLS_FAILED) {
            assert_true(g->may_fail);
            return false;
        }
        guest_keeps(g, mail_tls_plain(g->tls));
    }
    return n != 0;
}

static inline void guest_shakes_hands(guest *g)
{
    while (!g->ready) {
        assert_true(guest_moves(g));
    }
}

static inline void guest_says_in_tls(guest *g, const char *text)
{
    assert_int_equal(mail_tls_write(g->tls, mail_span_text(text)), MAIL_OK);
    guest_moves(g);
}

/* Hears one reply, whose last line begins as `want` does. */
static inline void guest_hears_in_tls(guest *g, const char *want)
{
    char line[1000];

    do {
        const char *lf;
        size_t length;

        while ((lf = memchr(g->heard, '\n', g->length)) == NULL) {
            assert_true(guest_moves(g));
        }
        length = (size_t)(lf - g->heard) + 1;
        snprintf(line, sizeof(line), "%.*s", (int)length, g->heard);
        memmove(g->heard, g->heard + length, g->length - length);
        g->length -= length;
    } while (line[3] == '-');
    if (strncmp(line, want, strlen(want)) != 0) {
        print_error("heard %s", line);
    }
    assert_int_equal(strncmp(line, want, strlen(want)), 0);
}

static inline void guest_asks_in_tls(guest *g, const char *text, const char *want)
{
    guest_says_in_tls(g, text);
    guest_hears_in_tls(g, want);
}

static inline void guest_hears_the_end_in_tls(guest *g)
{
    while (guest_moves(g)) {
    }
}

static inline void guest_close(guest *g)
{
    mail_tls_destroy(g->tls);
    close(g->fd);
}

#endif
