/* SPDX-License-Identifier: MIT */
#include <mail/listen.h>

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "net/socket.h"

/* `result` is what the network gave: a listening socket, or -errno. */
static int give(int *fd, int result, const char *where, mail_error *err)
{
    if (result < 0) {
        return mail_error_set(err, mail_error_from_errno(-result), "%s: cannot listen there: %s",
                              where, strerror(-result));
    }
    *fd = result;
    return MAIL_OK;
}

int mail_listen_open(int *fd, const mail_endpoint *endpoint, mail_endpoint *bound, mail_error *err)
{
    const mail_sockets *net = &net_system_sockets;
    char where[MAIL_IP_TEXT_SIZE];

    mail_endpoint_print(endpoint, where);
    return give(fd, net->ops->listen_tcp(net, endpoint, 0, bound), where, err);
}

int mail_listen_open_unix(int *fd, const char *path, mail_error *err)
{
    const mail_sockets *net = &net_system_sockets;

    return give(fd, net->ops->listen_unix(net, path, 0), path, err);
}

static bool is(int fd, int option, int want)
{
    socklen_t length = sizeof(int);
    int value = -1;

    return getsockopt(fd, SOL_SOCKET, option, &value, &length) == 0 && value == want;
}

int mail_listen_check(int fd, mail_endpoint *bound)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || !is(fd, SO_TYPE, SOCK_STREAM) || !is(fd, SO_ACCEPTCONN, 1) ||
        fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
        return MAIL_EINVAL;
    }
    *bound = net_socket_own(fd);
    return MAIL_OK;
}
