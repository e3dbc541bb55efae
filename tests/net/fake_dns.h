/* SPDX-License-Identifier: MIT */
#ifndef TESTS_NET_FAKE_DNS_H
#define TESTS_NET_FAKE_DNS_H

#include "support/support.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mail/loop.h>

#include "dns/build.h"
#include "dns/fake_zone.h"
#include "dns/name.h"

/*
 * A DNS server for a fake zone, on a free port of loopback and on the loop of the
 * resolver under test. It can lie.
 */
enum {
    LIE_ID = 1,         /* first a forged answer with another id */
    LIE_NAME = 2,       /* … about another name */
    LIE_OWNER = 4,      /* … with records of another owner, which must not count */
    LIE_LOOP = 8,       /* … with a compression loop */
    LIE_CASE = 16,      /* the name comes back in lower case */
    LIE_TRUNCATE = 32,  /* UDP: cut short */
    LIE_SILENT = 64,    /* no answer */
    LIE_SERVFAIL = 128, /* no answer but SERVFAIL */
    LIE_NO_EDNS = 256,  /* FORMERR for what has an OPT record */
    LIE_HUGE = 512,     /* TCP: 65 kB of TXT beside the answer */
    LIE_CUT = 1024,     /* TCP: the connection ends within the answer */
    LIE_DRIP = 2048,    /* TCP: the answer comes octet by octet */
    LIE_JUNK = 4096     /* first some packets of no sense at all */
};

typedef struct fake_dns fake_dns;

typedef struct fake_client {
    fake_dns *dns;
    int fd;
    mail_watch *watch;
    size_t got;
    size_t sent;
    unsigned char query[512];
    built reply; /* with its length in front */
} fake_client;

struct fake_dns {
    mail_loop *loop;
    const char *zone;
    unsigned lies;
    mail_endpoint at;
    int udp;
    int tcp;
    mail_watch *udp_watch;
    mail_watch *tcp_watch;
    unsigned udp_questions;
    unsigned tcp_questions;
    fake_client *clients[64];
    size_t client_count;
};

static inline size_t query_end(mail_span query)
{
    size_t end;

    assert_true(dns_name_skip(query, DNS_HEADER_SIZE, &end));
    return end;
}

static inline void build_records(built *b, fake_answer *fake)
{
    const char *owner = "@";

    if (fake->answer.aliases > 0) {
        build_cname(b, "@", fake->answer.ttl, fake->name);
        owner = fake->name;
    }
    for (size_t i = 0; i < fake->answer.count; i++) {
        const mail_dns_record *record = &fake->records[i];

        if (fake->answer.type == MAIL_DNS_MX) {
            build_mx(b, owner, fake->answer.ttl, record->preference, record->host);
        } else {
            build_bytes(b, DNS_ANSWER, owner, fake->answer.type, fake->answer.ttl, record->ip.bytes,
                        record->ip.family == 4 ? 4 : 16);
        }
    }
    if (fake->answer.count == 0 && fake->answer.status != MAIL_DNS_ALIAS) {
        build_soa(b, ".", 60, 60);
    }
}

/* What the zone says; a name is found whatever its case. */
static inline void build_truth(const fake_dns *dns, built *b, mail_span query)
{
    static fake_answer fake;
    char name[MAIL_DOMAIN_SIZE];
    size_t end = query_end(query);

    assert_true(dns_name_text(query, DNS_HEADER_SIZE, name));
    fake_ask(&fake, dns->zone, name, (mail_dns_type)dns_packet_u16(query, end));
    build_reply(b, query, BUILT_ANSWER);
    if (fake.answer.status == MAIL_DNS_FAILED || (dns->lies & LIE_SERVFAIL) != 0) {
        set_u16(b, 2, BUILT_ANSWER | 2);
        return;
    }
    if (fake.answer.status == MAIL_DNS_NXDOMAIN) {
        set_u16(b, 2, BUILT_ANSWER | 3);
    }
    build_records(b, &fake);
    if ((dns->lies & LIE_CASE) != 0) {
        for (size_t i = DNS_HEADER_SIZE; i < end; i++) {
            b->data[i] |= b->data[i] >= 'A' && b->data[i] <= 'Z' ? 0x20 : 0;
        }
    }
    if ((dns->lies & LIE_NO_EDNS) != 0 && dns_packet_u16(query, 10) > 0) {
        build_reply(b, query, BUILT_ANSWER | 1);
    }
}

/* Forged records that lead to 6.6.6.6, or to evil.example. */
static inline void build_lie(built *b, mail_span query, unsigned lie)
{
    size_t end = query_end(query);
    const char *owner = lie == LIE_OWNER ? "other.example" : "@";

    build_reply(b, query, BUILT_ANSWER);
    if (lie == LIE_ID) {
        b->data[0] ^= 1;
    } else if (lie == LIE_NAME) {
        b->data[DNS_HEADER_SIZE + 1] ^= 1;
    } else if (lie == LIE_LOOP) {
        owner = "evil.example";
    }
    if (dns_packet_u16(query, end) == MAIL_DNS_MX) {
        build_mx(b, owner, 600, 1, "evil.example");
    } else {
        build_a(b, owner, 600, 0x06060606);
    }
    if (lie == LIE_LOOP) {
        set_u16(b, end + 4, 0xc000U | (unsigned)(end + 4));
    }
}

static inline void send_lies(const fake_dns *dns, mail_span query, const struct sockaddr_in *to)
{
    static const unsigned lies[] = {LIE_ID, LIE_NAME, LIE_LOOP};
    static built b;

    for (size_t i = 0; i < MAIL_COUNT(lies); i++) {
        if ((dns->lies & lies[i]) != 0) {
            build_lie(&b, query, lies[i]);
            sendto(dns->udp, b.data, b.length, 0, (const struct sockaddr *)to, sizeof(*to));
        }
    }
    for (unsigned i = 0; (dns->lies & LIE_JUNK) != 0 && i < 40; i++) {
        sendto(dns->udp, "junk junk junk junk", i % 19, 0, (const struct sockaddr *)to,
               sizeof(*to));
    }
}

static inline void on_udp(unsigned events, void *arg)
{
    fake_dns *dns = arg;
    struct sockaddr_in from;
    socklen_t length = sizeof(from);
    char query[512];
    static built b;
    ssize_t n = recvfrom(dns->udp, query, sizeof(query), 0, (struct sockaddr *)&from, &length);

    (void)events;
    if (n < 0) {
        return;
    }
    dns->udp_questions++;
    if ((dns->lies & LIE_SILENT) != 0) {
        return;
    }
    send_lies(dns, mail_span_of(query, (size_t)n), &from);
    if ((dns->lies & LIE_OWNER) != 0) {
        build_lie(&b, mail_span_of(query, (size_t)n), LIE_OWNER);
    } else {
        build_truth(dns, &b, mail_span_of(query, (size_t)n));
    }
    if ((dns->lies & LIE_TRUNCATE) != 0) {
        build_reply(&b, mail_span_of(query, (size_t)n), BUILT_TRUNCATED);
    }
    sendto(dns->udp, b.data, b.length, 0, (struct sockaddr *)&from, sizeof(from));
}

static inline void close_client(fake_client *client)
{
    fake_dns *dns = client->dns;

    dns->loop->ops->unwatch(client->watch);
    close(client->fd);
    for (size_t i = 0; i < dns->client_count; i++) {
        if (dns->clients[i] == client) {
            dns->clients[i] = dns->clients[--dns->client_count];
        }
    }
    free(client);
}

static inline void make_tcp_reply(fake_client *client)
{
    static built b;
    mail_span query = mail_span_of(client->query + 2, client->got - 2);

    client->dns->tcp_questions++;
    build_truth(client->dns, &b, query);
    if ((client->dns->lies & LIE_HUGE) != 0) {
        build_txt(&b, "@", 60, 250, 255);
    }
    client->reply.length = 0;
    put_u16(&client->reply, (unsigned)b.length);
    put_bytes(&client->reply, b.data, b.length);
}

static inline void write_tcp_reply(fake_client *client)
{
    unsigned lies = client->dns->lies;
    size_t rest = client->reply.length - client->sent;
    ssize_t n = send(client->fd, client->reply.data + client->sent,
                     (lies & LIE_DRIP) != 0 ? 1 : rest, MSG_NOSIGNAL);

    client->sent += n > 0 ? (size_t)n : 0;
    if ((n < 0 && errno != EAGAIN) || client->sent == client->reply.length) {
        close_client(client);
    }
}

static inline void on_client(unsigned events, void *arg)
{
    fake_client *client = arg;
    size_t need = client->got < 2 ? 2 : 2U + ((size_t)client->query[0] << 8 | client->query[1]);
    ssize_t n;

    (void)events;
    if (client->reply.length > 0) {
        write_tcp_reply(client);
        return;
    }
    assert_true(need <= sizeof(client->query));
    n = recv(client->fd, client->query + client->got, need - client->got, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        close_client(client);
        return;
    }
    client->got += n > 0 ? (size_t)n : 0;
    if (client->got > 2 && client->got == need) {
        make_tcp_reply(client);
        if ((client->dns->lies & LIE_CUT) != 0) {
            client->reply.length -= 3;
        }
        client->dns->loop->ops->watch_set(client->watch, MAIL_WRITABLE);
    }
}

static inline void on_tcp(unsigned events, void *arg)
{
    fake_dns *dns = arg;
    fake_client *client;
    int fd = accept4(dns->tcp, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)events;
    if (fd < 0) {
        return;
    }
    assert_true(dns->client_count < MAIL_COUNT(dns->clients));
    client = calloc(1, sizeof(*client));
    assert_non_null(client);
    client->dns = dns;
    client->fd = fd;
    dns->clients[dns->client_count++] = client;
    assert_int_equal(dns->loop->ops->watch(dns->loop, fd, on_client, client, &client->watch), 0);
    dns->loop->ops->watch_set(client->watch, MAIL_READABLE);
}

/* The same port for both; when the one is taken for TCP, another. */
static inline void bind_both(fake_dns *dns)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof(at);

    for (unsigned i = 0; i < 50; i++) {
        at.sin_port = 0;
        dns->udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        dns->tcp = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        assert_true(dns->udp >= 0 && dns->tcp >= 0);
        assert_int_equal(bind(dns->udp, (struct sockaddr *)&at, sizeof(at)), 0);
        assert_int_equal(getsockname(dns->udp, (struct sockaddr *)&at, &length), 0);
        if (bind(dns->tcp, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(dns->tcp, 64) == 0) {
            dns->at = (mail_endpoint){.ip = {4, {127, 0, 0, 1}, 0}, .port = ntohs(at.sin_port)};
            return;
        }
        close(dns->udp);
        close(dns->tcp);
    }
    fail_msg("no port that is free for both UDP and TCP");
}

static inline void fake_dns_start(fake_dns *dns, mail_loop *loop, const char *zone, unsigned lies)
{
    *dns = (fake_dns){.loop = loop, .zone = zone, .lies = lies};
    bind_both(dns);
    assert_int_equal(loop->ops->watch(loop, dns->udp, on_udp, dns, &dns->udp_watch), MAIL_OK);
    assert_int_equal(loop->ops->watch(loop, dns->tcp, on_tcp, dns, &dns->tcp_watch), MAIL_OK);
    loop->ops->watch_set(dns->udp_watch, MAIL_READABLE);
    loop->ops->watch_set(dns->tcp_watch, MAIL_READABLE);
}

/* Nobody hears questions any more; the port stays ours. A connected socket hears its peer alone. */
static inline void fake_dns_deafen(fake_dns *dns)
{
    struct sockaddr_in nobody = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {htonl(INADDR_LOOPBACK)}};

    assert_int_equal(connect(dns->udp, (struct sockaddr *)&nobody, sizeof(nobody)), 0);
}

static inline void fake_dns_stop(fake_dns *dns)
{
    while (dns->client_count > 0) {
        close_client(dns->clients[0]);
    }
    dns->loop->ops->unwatch(dns->udp_watch);
    dns->loop->ops->unwatch(dns->tcp_watch);
    close(dns->udp);
    close(dns->tcp);
}

#endif
