/* SPDX-License-Identifier: MIT */
#include "sim/dns.h"

#include "net/fake_dns.h"

#define CHANGING ".changing.example"

/* A question over TCP, as far as it has come. */
typedef struct client {
    sim_dns *dns;
    size_t got;
    unsigned char query[514];
} client;

static bool may_change(mail_span query)
{
    char name[MAIL_DOMAIN_SIZE];
    size_t length;

    assert_true(dns_name_text(query, DNS_HEADER_SIZE, name));
    length = strlen(name);
    return length > strlen(CHANGING) && strcmp(name + length - strlen(CHANGING), CHANGING) == 0;
}

static void change(sim_dns *dns)
{
    const char *zone = dns->zone;

    if (dns->other_zone != NULL) {
        dns->zone = dns->other_zone;
        dns->other_zone = zone;
        sim_trace(dns->host.world, "dns: the zone changes");
    }
}

/* A true answer with one record more, of a name that nobody asked for. */
static void add_foreign(built *b, mail_span query)
{
    const unsigned answers = 6;
    const unsigned authorities = 8;

    if (dns_packet_u16(built_span(b), answers) == 0 ||
        dns_packet_u16(built_span(b), authorities) > 0) {
        return;
    }
    if (dns_packet_u16(query, query_end(query)) == MAIL_DNS_MX) {
        build_mx(b, "other.example", 600, 1, SIM_DNS_EVIL);
    } else {
        build_a(b, "other.example", 600, 0x06060606);
    }
}

static void answer(sim_dns *dns, mail_span query, built *b)
{
    sim_world *world = dns->host.world;
    fake_dns truth = {.zone = dns->zone};

    if (sim_chance(world, dns->faults.servfail)) {
        truth.lies |= LIE_SERVFAIL;
    }
    if (sim_chance(world, dns->faults.changed)) {
        change(dns);
        truth.zone = dns->zone;
    }
    build_truth(&truth, b, query);
    if (sim_chance(world, dns->faults.foreign)) {
        add_foreign(b, query);
    }
    if (may_change(query) && sim_chance(world, dns->faults.nxdomain)) {
        build_reply(b, query, BUILT_ANSWER | 3);
        build_soa(b, ".", 60, 60);
    }
}

static mail_duration delay(const sim_dns *dns)
{
    sim_world *world = dns->host.world;

    if (sim_chance(world, dns->faults.late)) {
        return MAIL_SECOND + (mail_duration)sim_below(world, 10 * MAIL_SECOND);
    }
    return MAIL_MILLISECOND + (mail_duration)sim_below(world, 30 * MAIL_MILLISECOND);
}

/* With another id, about another name, looped, and all of it right but where it comes from. */
static void forge(struct sim_fd *from, const mail_endpoint *us, mail_span query)
{
    static const unsigned lies[] = {LIE_ID, LIE_NAME, LIE_LOOP};
    static built b;
    mail_endpoint elsewhere = *us;

    for (size_t i = 0; i < MAIL_COUNT(lies); i++) {
        build_lie(&b, query, lies[i]);
        sim_udp_answer(from, us, built_span(&b), 0);
    }
    build_lie(&b, query, 0);
    elsewhere.port++;
    sim_udp_answer(from, &elsewhere, built_span(&b), 0);
    elsewhere = *us;
    elsewhere.ip.bytes[3]++;
    sim_udp_answer(from, &elsewhere, built_span(&b), 0);
}

static void on_packet(void *arg, struct sim_fd *from, const mail_endpoint *to, mail_span packet)
{
    static built b; /* large, and made anew each time */
    sim_dns *dns = arg;

    if (dns->host.is_down || to->port != 53 || !mail_ip_equal(&to->ip, &dns->host.address)) {
        return;
    }
    dns->udp_questions++;
    answer(dns, packet, &b);
    if (sim_chance(dns->host.world, dns->faults.truncated)) {
        build_reply(&b, packet, BUILT_TRUNCATED);
    }
    if (sim_chance(dns->host.world, dns->faults.forged)) {
        forge(from, to, packet);
    }
    if (!sim_chance(dns->host.world, dns->faults.lost)) {
        sim_udp_answer(from, to, built_span(&b), delay(dns));
    }
}

static void *on_open(struct sim_end *end, void *arg)
{
    client *cl = calloc(1, sizeof(*cl));

    (void)end;
    assert_non_null(cl);
    cl->dns = arg;
    return cl;
}

static void on_end(void *state)
{
    free(state);
}

static void on_bytes(struct sim_end *end, mail_span bytes, void *state)
{
    static built b;
    static built framed;
    client *cl = state;
    size_t need;

    assert_true(cl->got + bytes.length <= sizeof(cl->query));
    memcpy(cl->query + cl->got, bytes.data, bytes.length);
    cl->got += bytes.length;
    need = 2U + ((size_t)cl->query[0] << 8 | cl->query[1]);
    if (cl->got < 2 || cl->got < need) {
        return;
    }
    cl->dns->tcp_questions++;
    answer(cl->dns, mail_span_of(cl->query + 2, need - 2), &b);
    framed.length = 0;
    put_u16(&framed, (unsigned)b.length);
    put_bytes(&framed, b.data, b.length);
    cl->got = 0;
    sim_end_write(end, built_span(&framed));
}

static void *on_victim(struct sim_end *end, void *arg)
{
    (void)end;
    fail_msg("somebody has believed a forged answer");
    return arg;
}

void sim_dns_start(sim_dns *dns, sim_world *world, mail_ip address, const char *zone)
{
    *dns = (sim_dns){.zone = zone, .actor = {on_open, on_bytes, on_end, dns}};
    sim_host_init(&dns->host, world, "dns", address);
    world->on_packet = on_packet;
    world->on_packet_arg = dns;
    dns->listener = sim_actor_listen(&dns->host, 53, &dns->actor);
    dns->trap = (sim_actor){.on_open = on_victim};
    sim_host_init(&dns->evil, world, SIM_DNS_EVIL, (mail_ip)SIM_DNS_EVIL_IP);
    dns->trap_listener = sim_actor_listen(&dns->evil, 25, &dns->trap);
}

void sim_dns_stop(sim_dns *dns)
{
    sim_actor_unlisten(dns->trap_listener);
    sim_actor_unlisten(dns->listener);
    sim_host_cut(&dns->host, false); /* those that wait for what never comes */
    dns->host.world->on_packet = NULL;
}
