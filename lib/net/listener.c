/* SPDX-License-Identifier: MIT */
#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Connections accepted before others in the round get their turn. */
#define TURN_ACCEPTS 16

/* How long to leave the listener alone when even the spare descriptor does not help. */
#define PAUSE (100 * MAIL_MILLISECOND)

static void take_spare(net_listener *ls)
{
    if (ls->spare < 0) {
        ls->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
}

static void give_spare(net_listener *ls)
{
    if (ls->spare >= 0) {
        close(ls->spare);
        ls->spare = -1;
    }
}

static bool is_exhausted(int result)
{
    return result == -EMFILE || result == -ENFILE || result == -ENOBUFS || result == -ENOMEM;
}

/* A listener that can't accept would be readable for ever. */
static void pause_for_a_while(net_listener *ls)
{
    ls->loop->ops->watch_set(ls->watch, 0);
    ls->loop->ops->timer_set(ls->pause, mail_loop_now(ls->loop) + PAUSE);
}

static void on_pause(void *arg)
{
    net_listener *ls = arg;

    take_spare(ls);
    ls->loop->ops->watch_set(ls->watch, MAIL_READABLE);
}

/*
 * With no descriptor left the waiting client would hang without a word. The spare one
 * lets it be accepted and told.
 */
static int accept_on_spare(net_listener *ls, mail_endpoint *peer)
{
    int fd;

    if (ls->spare < 0) {
        return -EMFILE;
    }
    give_spare(ls);
    fd = ls->net->ops->accept(ls->net, ls->fd, peer);
    if (fd < 0) { /* nobody waits: without a descriptor the system does not even look */
        take_spare(ls);
    }
    return fd;
}

static void on_readable(unsigned events, void *arg)
{
    net_listener *ls = arg;

    (void)events;
    for (int i = 0; i < TURN_ACCEPTS && ls->watch != NULL; i++) {
        mail_endpoint peer = {{0}, 0};
        int fd = ls->net->ops->accept(ls->net, ls->fd, &peer);
        bool is_last = is_exhausted(fd);

        if (is_last) {
            fd = accept_on_spare(ls, &peer);
        }
        if (fd == -EAGAIN) {
            break;
        }
        if (fd < 0) {
            pause_for_a_while(ls);
            break;
        }
        ls->fn(fd, &peer, is_last, ls->arg);
        if (is_last && ls->watch != NULL) {
            take_spare(ls);
        }
    }
}

int net_listener_init(net_listener *ls, const mail_sockets *net, mail_loop *loop, int fd,
                      net_accept_fn *fn, void *arg)
{
    int code;

    *ls = (net_listener){.net = net != NULL ? net : &net_system_sockets,
                         .loop = loop,
                         .fn = fn,
                         .arg = arg,
                         .fd = fd,
                         .spare = -1};
    code = loop->ops->watch(loop, fd, on_readable, ls, &ls->watch);
    if (code == MAIL_OK) {
        code = loop->ops->timer(loop, on_pause, ls, &ls->pause);
    }
    if (code != MAIL_OK) {
        loop->ops->unwatch(ls->watch);
        *ls = (net_listener){.fd = -1};
        return code;
    }
    take_spare(ls);
    loop->ops->watch_set(ls->watch, MAIL_READABLE);
    return MAIL_OK;
}

void net_listener_deinit(net_listener *ls)
{
    if (ls->watch == NULL) {
        return;
    }
    ls->loop->ops->unwatch(ls->watch);
    ls->loop->ops->untimer(ls->pause);
    if (ls->net->ops->remove_unix != NULL) { /* while it is sure whose it is */
        ls->net->ops->remove_unix(ls->net, ls->fd);
    }
    ls->net->ops->close(ls->net, ls->fd);
    give_spare(ls);
    *ls = (net_listener){.fd = -1};
}
