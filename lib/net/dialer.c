/* SPDX-License-Identifier: MIT */
#include "net/dialer.h"

#include <errno.h>

static void release(net_dialer *dl)
{
    dl->loop->ops->unwatch(dl->watch);
    dl->loop->ops->untimer(dl->timer);
    dl->watch = NULL;
    dl->timer = NULL;
}

/* Ends the dialing before it tells, so that `fn` may do with the dialer what it likes. */
static void tell(net_dialer *dl, int result)
{
    net_dial_fn *fn = dl->fn;
    void *arg = dl->arg;

    release(dl);
    if (result < 0 && dl->fd >= 0) {
        dl->net->ops->close(dl->net, dl->fd);
    }
    *dl = (net_dialer){.fd = -1};
    fn(result, arg);
}

static void on_connected(unsigned events, void *arg)
{
    net_dialer *dl = arg;
    int result = dl->net->ops->connect_result(dl->net, dl->fd);

    (void)events;
    tell(dl, result < 0 ? result : dl->fd);
}

static void on_timer(void *arg)
{
    net_dialer *dl = arg;

    tell(dl, dl->failure < 0 ? dl->failure : -ETIMEDOUT);
}

static int begin(net_dialer *dl, const mail_endpoint *to, const char *path)
{
    int code = dl->loop->ops->timer(dl->loop, on_timer, dl, &dl->timer);
    int fd;

    if (code != MAIL_OK) {
        return code;
    }
    fd = path != NULL ? dl->net->ops->connect_unix(dl->net, path)
                      : dl->net->ops->connect_tcp(dl->net, to);
    if (fd < 0) {
        dl->failure = fd;
        return MAIL_OK;
    }
    dl->fd = fd;
    return dl->loop->ops->watch(dl->loop, fd, on_connected, dl, &dl->watch);
}

int net_dialer_init(net_dialer *dl, const mail_sockets *net, mail_loop *loop,
                    const mail_endpoint *to, const char *path, mail_duration timeout,
                    net_dial_fn *fn, void *arg)
{
    mail_time now = mail_loop_now(loop);
    int code;

    *dl = (net_dialer){.net = net != NULL ? net : &net_system_sockets,
                       .loop = loop,
                       .fn = fn,
                       .arg = arg,
                       .fd = -1};
    code = begin(dl, to, path);
    if (code != MAIL_OK) {
        net_dialer_deinit(dl);
        return code;
    }
    if (dl->failure < 0) {
        loop->ops->timer_set(dl->timer, now);
        return MAIL_OK;
    }
    loop->ops->watch_set(dl->watch, MAIL_WRITABLE);
    loop->ops->timer_set(dl->timer, now + timeout);
    return MAIL_OK;
}

void net_dialer_deinit(net_dialer *dl)
{
    if (dl->loop == NULL) {
        return;
    }
    release(dl);
    if (dl->fd >= 0) {
        dl->net->ops->close(dl->net, dl->fd);
    }
    *dl = (net_dialer){.fd = -1};
}
