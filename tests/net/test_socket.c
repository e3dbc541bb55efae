/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/wait.h>

static const mail_sockets *net = &net_system_sockets;

static const mail_endpoint loopback6 = {
    .ip = {.family = 6, .bytes = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}}};

static int option_of(int fd, int level, int name)
{
    socklen_t length = sizeof(int);
    int value = -1;

    assert_int_equal(getsockopt(fd, level, name, &value, &length), 0);
    return value;
}

static void wait_for(int fd, short events)
{
    struct pollfd entry = {.fd = fd, .events = events};

    assert_int_equal(poll(&entry, 1, 60000), 1);
}

static bool is_private_and_ready(int fd)
{
    return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0 && (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
}

/* Both ends of a connection talk to each other; the server ends it. */
static void talk(int listener, int client)
{
    mail_endpoint peer;
    char byte = 0;
    int server;

    wait_for(listener, POLLIN);
    server = net->ops->accept(net, listener, &peer);
    assert_true(server >= 0);
    assert_true(is_private_and_ready(listener) && is_private_and_ready(server) &&
                is_private_and_ready(client));
    wait_for(client, POLLOUT);
    assert_int_equal(net->ops->connect_result(net, client), 0);
    assert_int_equal(net->ops->read(net, client, &byte, 1), -EAGAIN);
    assert_int_equal(net->ops->write(net, server, "x", 1), 1);
    wait_for(client, POLLIN);
    assert_int_equal(net->ops->read(net, client, &byte, 1), 1);
    assert_int_equal(byte, 'x');
    assert_int_equal(net->ops->shutdown_write(net, server), 0);
    wait_for(client, POLLIN);
    assert_int_equal(net->ops->read(net, client, &byte, 1), 0);
    net->ops->close(net, client);
    assert_int_equal(net->ops->accept(net, listener, &peer), -EAGAIN);
    net->ops->close(net, server);
}

static void connects_over_tcp(void **state)
{
    const mail_endpoint *const hosts[] = {&loopback, &loopback6};

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(hosts); i++) {
        mail_endpoint at;
        int listener = net->ops->listen_tcp(net, hosts[i], 0, &at);
        int client;

        mail_test_case(i == 0 ? "IPv4" : "IPv6");
        if (listener == -EADDRNOTAVAIL || listener == -EAFNOSUPPORT) {
            continue; /* a machine without IPv6 */
        }
        assert_true(listener >= 0);
        assert_int_not_equal(at.port, 0);
        assert_int_equal(at.ip.family, hosts[i]->ip.family);
        client = net->ops->connect_tcp(net, &at);
        assert_true(client >= 0);
        assert_int_equal(option_of(client, IPPROTO_TCP, TCP_NODELAY), 1);
        talk(listener, client);
        net->ops->close(net, listener);
    }
}

static void accepted_connections_do_not_wait_for_acknowledgements(void **state)
{
    mail_endpoint at;
    mail_endpoint peer;
    int listener = net->ops->listen_tcp(net, &loopback, 0, &at);
    int client = net->ops->connect_tcp(net, &at);
    int server;

    (void)state;
    wait_for(listener, POLLIN);
    server = net->ops->accept(net, listener, &peer);
    assert_int_equal(option_of(server, IPPROTO_TCP, TCP_NODELAY), 1);
    assert_int_equal(peer.ip.family, 4);
    assert_memory_equal(peer.ip.bytes, loopback.ip.bytes, 4);
    net->ops->close(net, server);
    net->ops->close(net, client);
    net->ops->close(net, listener);
}

static void a_port_in_use_is_refused_unless_shared(void **state)
{
    mail_endpoint at;
    int first = net->ops->listen_tcp(net, &loopback, 0, &at);
    int second;

    (void)state;
    assert_int_equal(net->ops->listen_tcp(net, &at, 0, NULL), -EADDRINUSE);
    assert_int_equal(net->ops->listen_tcp(net, &at, NET_SHARED_PORT, NULL), -EADDRINUSE);
    net->ops->close(net, first);
    first = net->ops->listen_tcp(net, &loopback, NET_SHARED_PORT, &at);
    second = net->ops->listen_tcp(net, &at, NET_SHARED_PORT, NULL);
    assert_true(first >= 0 && second >= 0);
    net->ops->close(net, first);
    net->ops->close(net, second);
}

static void a_refused_connection_says_so(void **state)
{
    mail_endpoint at = loopback;
    int held = mail_test_dead_port(&at.port);
    int client = net->ops->connect_tcp(net, &at);

    (void)state;
    if (client >= 0) {
        wait_for(client, POLLOUT);
        assert_int_equal(net->ops->connect_result(net, client), -ECONNREFUSED);
        net->ops->close(net, client);
    } else {
        assert_int_equal(client, -ECONNREFUSED);
    }
    close(held);
}

static void a_dead_unix_socket_is_replaced(void **state)
{
    char *dir = mail_test_make_dir();
    mail_endpoint peer = {.ip = {.family = 9}};
    char path[100];
    int listener;
    int client;
    FILE *file;

    (void)state;
    snprintf(path, sizeof(path), "%s/lmtp", dir);
    assert_int_equal(net->ops->connect_unix(net, path), -ENOENT);
    listener = net->ops->listen_unix(net, path, 0);
    assert_true(listener >= 0);
    assert_int_equal(net->ops->listen_unix(net, path, 0), -EADDRINUSE);
    while ((client = net->ops->accept(net, listener, &peer)) >= 0) {
        net->ops->close(net, client); /* of the question whether somebody listens */
    }
    net->ops->close(net, listener); /* the name stays behind */
    assert_int_equal(net->ops->connect_unix(net, path), -ECONNREFUSED);
    listener = net->ops->listen_unix(net, path, 0);
    assert_true(listener >= 0);
    client = net->ops->connect_unix(net, path);
    assert_true(client >= 0);
    talk(listener, client);
    client = net->ops->connect_unix(net, path);
    net->ops->close(net, net->ops->accept(net, listener, &peer));
    assert_int_equal(peer.ip.family, 0);
    net->ops->close(net, client);
    net->ops->close(net, listener);
    /* What is no socket is never removed. */
    unlink(path);
    file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(net->ops->listen_unix(net, path, 0), -EADDRINUSE);
    assert_int_equal(access(path, F_OK), 0);
    mail_test_remove_dir(dir);
}

/* As when the socket was made by a service manager. */
static void remove_in_another_process(int listener)
{
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0) {
        net->ops->remove_unix(net, listener);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void only_who_listens_removes_a_unix_socket(void **state)
{
    char *dir = mail_test_make_dir();
    char path[100];
    int listener;
    FILE *file;

    (void)state;
    snprintf(path, sizeof(path), "%s/lmtp", dir);
    listener = net->ops->listen_unix(net, path, 0);
    assert_true(listener >= 0);
    remove_in_another_process(listener);
    assert_int_equal(access(path, F_OK), 0);
    net->ops->remove_unix(net, listener);
    assert_int_equal(access(path, F_OK), -1);
    net->ops->remove_unix(net, listener); /* it is gone */
    file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    net->ops->remove_unix(net, listener); /* what is no socket is never removed */
    assert_int_equal(access(path, F_OK), 0);
    net->ops->close(net, listener);
    listener = net->ops->listen_tcp(net, &loopback, 0, NULL);
    net->ops->remove_unix(net, listener);
    net->ops->close(net, listener);
    mail_test_remove_dir(dir);
}

static void a_name_too_long_for_a_unix_socket_is_refused(void **state)
{
    char path[200];

    (void)state;
    memset(path, 'a', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(net->ops->listen_unix(net, path, 0), -ENAMETOOLONG);
    assert_int_equal(net->ops->connect_unix(net, path), -ENAMETOOLONG);
    assert_int_equal(net->ops->connect_unix(net, ""), -ENAMETOOLONG);
}

static uint16_t port_of(int fd)
{
    struct sockaddr_in own;
    socklen_t length = sizeof(own);

    assert_int_equal(getsockname(fd, (struct sockaddr *)&own, &length), 0);
    return ntohs(own.sin_port);
}

/* RFC 5452, section 9.2; MX-018: packets of others are dropped by the kernel already. */
static void udp_ports_are_drawn_at_random_and_hear_only_their_peer(void **state)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int server = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int stranger = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    mail_endpoint to = loopback;
    uint16_t ports[64];
    size_t below = 0;

    (void)state;
    assert_int_equal(bind(server, (struct sockaddr *)&at, sizeof(at)), 0);
    to.port = port_of(server);
    for (size_t i = 0; i < MAIL_COUNT(ports); i++) {
        int fd = net->ops->connect_udp(net, &to);
        char byte = 0;

        assert_true(fd >= 0 && is_private_and_ready(fd));
        ports[i] = port_of(fd);
        below += ports[i] < 32768 ? 1 : 0; /* where the system's own choice does not lie */
        at.sin_port = htons(ports[i]);
        sendto(stranger, "n", 1, 0, (struct sockaddr *)&at, sizeof(at));
        assert_int_equal(sendto(server, "y", 1, 0, (struct sockaddr *)&at, sizeof(at)), 1);
        wait_for(fd, POLLIN);
        assert_int_equal(net->ops->read(net, fd, &byte, 1), 1);
        assert_int_equal(byte, 'y');
        assert_int_equal(net->ops->read(net, fd, &byte, 1), -EAGAIN);
        net->ops->close(net, fd);
    }
    assert_true(below > 0);
    close(server);
    close(stranger);
}

/* A socket for both families, as a service manager may hand over: IPv4 is IPv4. */
static void a_mapped_address_is_the_one_that_was_mapped(void **state)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT};
    socklen_t length = sizeof(any);
    mail_endpoint to = loopback;
    mail_endpoint peer;
    int listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int off = 0;
    int client;
    int server;

    (void)state;
    if (listener < 0 || setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) != 0 ||
        bind(listener, (struct sockaddr *)&any, length) != 0) {
        close(listener);
        print_message("no IPv6 here\n");
        skip();
    }
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&any, &length), 0);
    to.port = ntohs(any.sin6_port);
    client = net->ops->connect_tcp(net, &to);
    assert_true(client >= 0);
    wait_for(listener, POLLIN);
    server = net->ops->accept(net, listener, &peer);
    assert_true(server >= 0);
    assert_int_equal(peer.ip.family, 4);
    assert_true(mail_ip_equal(&peer.ip, &loopback.ip) && peer.port != 0);
    close(server);
    close(client);
    close(listener);
}

static void a_broken_pipe_is_no_signal(void **state)
{
    int ours;
    int peer;

    (void)state;
    world_pair(&ours, &peer);
    close(peer);
    assert_int_equal(net->ops->write(net, ours, "x", 1), -EPIPE);
    close(ours);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connects_over_tcp),
        cmocka_unit_test(accepted_connections_do_not_wait_for_acknowledgements),
        cmocka_unit_test(a_port_in_use_is_refused_unless_shared),
        cmocka_unit_test(a_refused_connection_says_so),
        cmocka_unit_test(a_dead_unix_socket_is_replaced),
        cmocka_unit_test(only_who_listens_removes_a_unix_socket),
        cmocka_unit_test(a_name_too_long_for_a_unix_socket_is_refused),
        cmocka_unit_test(udp_ports_are_drawn_at_random_and_hear_only_their_peer),
        cmocka_unit_test(a_mapped_address_is_the_one_that_was_mapped),
        cmocka_unit_test(a_broken_pipe_is_no_signal),
    };

    return mail_test_run(tests);
}
