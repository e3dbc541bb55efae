/* SPDX-License-Identifier: MIT */
/*
 * The bare limit of a machine: the least server that speaks just enough SMTP. It
 * appends messages to a file and shares one fdatasync among all that wait; it
 * checks nothing. Without --log it only counts: the sink of relay benchmarks.
 *
 *   bare --listen HOST:PORT [--log FILE] [--count FILE]
 *
 * Prints "ready HOST:PORT". --count names a file whose first eight octets always hold the number
 * of messages taken, for others to map.
 */
#include "common.h"

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <sys/mman.h>

/* The log is one file of this size, written again from its start when full. */
#define LOG_BYTES (256L << 20)

typedef struct client {
    int fd;
    bool in_data;
    unsigned matched; /* octets of CRLF.CRLF seen */
    unsigned pending; /* octets of a command line begun */
    char verb;        /* its first octet */
    bool wants_reply; /* a message of this round waits for the sync */
    bool closing;     /* after that reply */
    size_t out_length;
    char out[512];
    struct client *next_waiting;
} client;

static struct {
    int epoll;
    int log;
    off_t at;
    char *batch;
    size_t batch_length;
    size_t batch_capacity;
    client *waiting;
    volatile uint64_t *count;
} srv = {.log = -1};

static void reply(client *cl, const char *text)
{
    size_t length = strlen(text);

    if (cl->out_length + length <= sizeof(cl->out)) {
        memcpy(cl->out + cl->out_length, text, length);
        cl->out_length += length;
    }
}

static void flush(client *cl)
{
    if (cl->out_length > 0 && send(cl->fd, cl->out, cl->out_length, MSG_NOSIGNAL) < 0) {
        perror("send");
    }
    cl->out_length = 0;
}

static void close_client(client *cl)
{
    if (cl->wants_reply) {
        cl->closing = true;
        return;
    }
    close(cl->fd);
    free(cl);
}

static void keep(const char *data, size_t length)
{
    if (srv.log < 0) {
        return;
    }
    if (srv.batch_length + length > srv.batch_capacity) {
        srv.batch_capacity = (srv.batch_length + length) * 2;
        srv.batch = need(realloc(srv.batch, srv.batch_capacity));
    }
    memcpy(srv.batch + srv.batch_length, data, length);
    srv.batch_length += length;
}

static void message_done(client *cl)
{
    cl->in_data = false;
    ++*srv.count;
    cl->wants_reply = true;
    cl->next_waiting = srv.waiting;
    srv.waiting = cl;
}

/* Returns how much of `data` belongs to the message; ends it at CRLF.CRLF. */
static size_t take_body(client *cl, const char *data, size_t length)
{
    static const char end[] = "\r\n.\r\n";
    size_t i = 0;

    while (i < length) {
        if (cl->matched == 0) {
            const char *cr = memchr(data + i, '\r', length - i);

            if (cr == NULL) {
                i = length;
                break;
            }
            i = (size_t)(cr - data) + 1;
            cl->matched = 1;
            continue;
        }
        if (data[i] == end[cl->matched]) {
            i++;
            if (++cl->matched == 5) {
                keep(data, i);
                message_done(cl);
                return i;
            }
        } else {
            cl->matched = 0;
        }
    }
    keep(data, length);
    return length;
}

static bool on_command(client *cl)
{
    switch (cl->verb) {
    case 'E':
        reply(cl, "250-bare\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 100000000\r\n");
        return true;
    case 'D':
        cl->in_data = true;
        cl->matched = 2; /* the line before has ended */
        reply(cl, "354 go on\r\n");
        return true;
    case 'Q':
        if (!cl->wants_reply) {
            reply(cl, "221 bye\r\n");
        }
        return false;
    default:
        reply(cl, "250 ok\r\n");
        return true;
    }
}

static void on_input(client *cl)
{
    static char in[65536];
    ssize_t n = recv(cl->fd, in, sizeof(in), 0);
    size_t length = n > 0 ? (size_t)n : 0;
    size_t i = 0;

    if (n < 0 && errno == EAGAIN) {
        return;
    }
    if (n <= 0) {
        close_client(cl);
        return;
    }
    while (i < length) {
        if (cl->in_data) {
            i += take_body(cl, in + i, length - i);
            continue;
        }
        if (cl->pending++ == 0) {
            cl->verb = in[i];
        }
        if (in[i++] == '\n') {
            cl->pending = 0;
            if (!on_command(cl)) {
                if (!cl->wants_reply) {
                    flush(cl);
                }
                close_client(cl);
                return;
            }
        }
    }
    if (!cl->wants_reply) {
        flush(cl);
    }
}

/* One write and one sync for all messages of this round; then their replies. */
static void commit(void)
{
    if (srv.batch_length > 0) {
        if (srv.at + (off_t)srv.batch_length > LOG_BYTES) {
            srv.at = 0;
        }
        if (pwrite(srv.log, srv.batch, srv.batch_length, srv.at) != (ssize_t)srv.batch_length) {
            die("pwrite");
        }
        srv.at += (off_t)srv.batch_length;
        srv.batch_length = 0;
    }
    if (srv.waiting != NULL && srv.log >= 0 && fdatasync(srv.log) < 0) {
        die("fdatasync");
    }
    while (srv.waiting != NULL) {
        client *cl = srv.waiting;

        srv.waiting = cl->next_waiting;
        cl->wants_reply = false;
        reply(cl, cl->closing ? "250 taken\r\n221 bye\r\n" : "250 taken\r\n");
        flush(cl);
        if (cl->closing) {
            close_client(cl);
        }
    }
}

static void on_connection(int listener)
{
    for (;;) {
        struct epoll_event event = {.events = EPOLLIN};
        client *cl;
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0) {
            return;
        }
        no_delay(fd);
        cl = need(calloc(1, sizeof(*cl)));
        cl->fd = fd;
        event.data.ptr = cl;
        epoll_ctl(srv.epoll, EPOLL_CTL_ADD, fd, &event);
        reply(cl, "220 bare ESMTP\r\n");
        flush(cl);
    }
}

static void open_log(const char *path)
{
    char *zeros = need(calloc(1, 1 << 20));

    srv.log = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (srv.log < 0) {
        die(path);
    }
    for (off_t at = 0; at < LOG_BYTES; at += 1 << 20) {
        if (pwrite(srv.log, zeros, 1 << 20, at) < 0) {
            die("pwrite");
        }
    }
    free(zeros);
    if (fsync(srv.log) < 0) {
        die("fsync");
    }
}

static void map_count(const char *path)
{
    static uint64_t own;
    int fd;

    srv.count = &own;
    if (path == NULL) {
        return;
    }
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || ftruncate(fd, 8) < 0) {
        die(path);
    }
    srv.count = mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (srv.count == MAP_FAILED) {
        die("mmap");
    }
    close(fd);
}

static int listen_at(const char *text)
{
    struct sockaddr_in address = parse_address(text);
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1024) < 0) {
        die("listen");
    }
    getsockname(fd, (struct sockaddr *)&address, &length);
    printf("ready %s:%u\n", inet_ntoa(address.sin_addr), ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"listen", required_argument, NULL, 'l'},
        {"log", required_argument, NULL, 'f'},
        {"count", required_argument, NULL, 'c'},
        {NULL, 0, NULL, 0},
    };
    struct epoll_event events[256];
    const char *at = "127.0.0.1:0";
    const char *count = NULL;
    int listener;
    int o;

    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (o) {
        case 'l':
            at = optarg;
            break;
        case 'f':
            open_log(optarg);
            break;
        case 'c':
            count = optarg;
            break;
        default:
            return 64;
        }
    }
    signal(SIGPIPE, SIG_IGN);
    raise_file_limit();
    map_count(count);
    srv.epoll = epoll_create1(EPOLL_CLOEXEC);
    listener = listen_at(at);
    epoll_ctl(srv.epoll, EPOLL_CTL_ADD, listener, &(struct epoll_event){.events = EPOLLIN});
    for (;;) {
        int n = epoll_wait(srv.epoll, events, 256, -1);

        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL) {
                on_connection(listener);
            } else {
                on_input(events[i].data.ptr);
            }
        }
        commit();
    }
}
