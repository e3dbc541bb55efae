/* SPDX-License-Identifier: MIT */
#include <mail/route.h>

#include "base/ascii.h"
#include "base/list.h"
#include "base/mem.h"
#include "mta/pattern.h"

/* As much fail-over as makes sense. */
#define HOSTS_MAX 16

typedef char host_name[MAIL_DOMAIN_SIZE]; /* or a unix socket's path, which is shorter */

/* A rule; `hop` lends its texts and hosts from the rest. */
typedef struct route {
    list link;
    domain_pattern pattern;
    mail_nexthop hop;
    size_t capacity; /* of the two arrays */
    mail_nexthop_host *hosts;
    host_name *names;
    char *text; /* NEXTHOP as written */
} route;

struct mail_route_table {
    const mail_mem *mem;
    list routes;
};

const char *mail_nexthop_kind_name(mail_nexthop_kind kind)
{
    static const char *const names[] = {"mx", "smtp", "lmtp", "local", "discard", "hold", "error"};

    return names[kind];
}

int mail_route_table_create(mail_route_table **out, const mail_mem *mem)
{
    mail_route_table *table = mem_alloc(mem, sizeof(*table));

    if (table == NULL) {
        return MAIL_ENOMEM;
    }
    table->mem = mem;
    list_init(&table->routes);
    *out = table;
    return MAIL_OK;
}

static void route_free(const mail_mem *mem, route *rt)
{
    mem_free(mem, rt->hosts, rt->capacity * sizeof(*rt->hosts));
    mem_free(mem, rt->names, rt->capacity * sizeof(*rt->names));
    mem_free(mem, rt->text, rt->hop.text.length + 1);
    mem_free(mem, rt, sizeof(*rt));
}

void mail_route_table_destroy(mail_route_table *table)
{
    list *link;

    if (table == NULL) {
        return;
    }
    while ((link = list_pop_front(&table->routes)) != NULL) {
        route_free(table->mem, LIST_OWNER(link, route, link));
    }
    mem_free(table->mem, table, sizeof(*table));
}

static bool parse_port(mail_span text, uint16_t *port)
{
    uint64_t number = 0;
    bool is_number = ascii_number(text, UINT16_MAX, &number);

    *port = (uint16_t)number;
    return is_number && number > 0;
}

static bool parse_ip(mail_span text, mail_nexthop_host *host, char *name)
{
    if (mail_ip_parse(text, &host->ip) != MAIL_OK) {
        host->ip.family = 0;
        return false;
    }
    mail_ip_print(&host->ip, name);
    return true;
}

/* HOST:PORT; the last colon is the one, and only an address in brackets may hold others. */
static int parse_host(mail_span text, mail_nexthop_host *host, char *name, mail_error *err)
{
    const char *colon = text.length > 0 ? memrchr(text.data, ':', text.length) : NULL;
    mail_span at;
    bool good;

    if (colon == NULL) {
        return mail_error_set(err, MAIL_EINVAL,
                              "the next hop must be mx, local, discard, hold, "
                              "error:CODE TEXT, HOST:PORT or lmtp:…");
    }
    at = mail_span_first(text, (size_t)(colon - text.data));
    if (!parse_port(mail_span_from(text, at.length + 1), &host->port)) {
        return mail_error_set(err, MAIL_EINVAL, "the next hop has no port from 1 to 65535");
    }
    if (at.length > 2 && at.data[0] == '[' && at.data[at.length - 1] == ']') {
        good = parse_ip(mail_span_of(at.data + 1, at.length - 2), host, name);
    } else {
        good = parse_ip(at, host, name) ? host->ip.family == 4
                                        : mail_domain_to_ascii(at, name) == MAIL_OK;
    }
    host->name = name;
    return good ? MAIL_OK
                : mail_error_set(err, MAIL_EINVAL, "the next hop's host is no name and no address");
}

static int reserve_hosts(const mail_mem *mem, route *rt, mail_span text)
{
    size_t count = 1;

    for (size_t i = 0; i < text.length; i++) {
        count += text.data[i] == ',';
    }
    if (count > HOSTS_MAX) {
        return MAIL_ELIMIT;
    }
    rt->capacity = count;
    rt->hosts = mem_alloc(mem, count * sizeof(*rt->hosts));
    rt->names = mem_alloc(mem, count * sizeof(*rt->names));
    rt->hop.hosts = rt->hosts;
    return rt->hosts != NULL && rt->names != NULL ? MAIL_OK : MAIL_ENOMEM;
}

static int parse_hosts(const mail_mem *mem, route *rt, mail_span text, mail_error *err)
{
    int code = reserve_hosts(mem, rt, text);

    if (code == MAIL_ELIMIT) {
        return mail_error_set(err, MAIL_EINVAL, "the next hop has more than %d hosts", HOSTS_MAX);
    }
    if (code != MAIL_OK) {
        return mail_error_set(err, code, "%s", mail_strerror(code));
    }
    for (size_t i = 0; i < rt->capacity; i++) {
        const char *comma = memchr(text.data, ',', text.length);
        size_t length = comma != NULL ? (size_t)(comma - text.data) : text.length;

        code = parse_host(mail_span_first(text, length), &rt->hosts[i], rt->names[i], err);
        if (code != MAIL_OK) {
            return code;
        }
        rt->hop.host_count++;
        text = mail_span_from(text, length + (comma != NULL));
    }
    return MAIL_OK;
}

/* The longest path that fits into a sockaddr_un. */
#define UNIX_PATH_MAX 107

static int parse_unix(const mail_mem *mem, route *rt, mail_span path, mail_error *err)
{
    int code;

    if (path.length == 0 || path.length > UNIX_PATH_MAX || memchr(path.data, '\0', path.length)) {
        return mail_error_set(err, MAIL_EINVAL, "the socket's path must have 1 to %d octets",
                              UNIX_PATH_MAX);
    }
    code = reserve_hosts(mem, rt, MAIL_SPAN(""));
    if (code != MAIL_OK) {
        return mail_error_set(err, code, "%s", mail_strerror(code));
    }
    memcpy(rt->names[0], path.data, path.length);
    rt->hosts[0].name = rt->names[0];
    rt->hop.host_count = 1;
    return MAIL_OK;
}

/* `error:CODE TEXT`; the text stays in the route's copy of the rule. */
static int parse_refusal(route *rt, mail_span text, mail_error *err)
{
    mail_reply *reply = &rt->hop.reply;

    if (mail_reply_parse(text, reply) != MAIL_OK || reply->code < 400) {
        return mail_error_set(err, MAIL_EINVAL, "error: wants a code from 400 to 599 and a text");
    }
    if (reply->status[0] == 0) {
        reply->status[0] = reply->code / 100;
    }
    return MAIL_OK;
}

static bool skip_prefix(mail_span *text, mail_span prefix)
{
    if (text->length < prefix.length ||
        !mail_span_equal(mail_span_first(*text, prefix.length), prefix)) {
        return false;
    }
    *text = mail_span_from(*text, prefix.length);
    return true;
}

static int parse_nexthop(const mail_mem *mem, route *rt, mail_error *err)
{
    static const struct {
        const char *word;
        mail_nexthop_kind kind;
    } words[] = {
        {"mx", MAIL_NEXTHOP_MX},
        {"local", MAIL_NEXTHOP_LOCAL},
        {"discard", MAIL_NEXTHOP_DISCARD},
        {"hold", MAIL_NEXTHOP_HOLD},
    };
    mail_span text = rt->hop.text;

    for (size_t i = 0; i < MAIL_COUNT(words); i++) {
        if (mail_span_equal(text, mail_span_text(words[i].word))) {
            rt->hop.kind = words[i].kind;
            return MAIL_OK;
        }
    }
    if (skip_prefix(&text, MAIL_SPAN("error:"))) {
        rt->hop.kind = MAIL_NEXTHOP_ERROR;
        return parse_refusal(rt, text, err);
    }
    if (skip_prefix(&text, MAIL_SPAN("lmtp:unix:"))) {
        rt->hop.kind = MAIL_NEXTHOP_LMTP;
        return parse_unix(mem, rt, text, err);
    }
    rt->hop.kind = skip_prefix(&text, MAIL_SPAN("lmtp:")) ? MAIL_NEXTHOP_LMTP : MAIL_NEXTHOP_SMTP;
    return parse_hosts(mem, rt, text, err);
}

static int parse_rule(const mail_mem *mem, route *rt, mail_span rule, mail_error *err)
{
    mail_span text = rule;
    int code = domain_pattern_take(&rt->pattern, &text, "a route is PATTERN=NEXTHOP", err);

    if (code != MAIL_OK) {
        return code;
    }
    rt->text = mem_text(mem, text);
    if (rt->text == NULL) {
        return mail_error_set(err, MAIL_ENOMEM, "%s", mail_strerror(MAIL_ENOMEM));
    }
    rt->hop.text = mail_span_of(rt->text, text.length);
    return parse_nexthop(mem, rt, err);
}

int mail_route_table_add(mail_route_table *table, mail_span rule, mail_error *err)
{
    route *rt = mem_alloc(table->mem, sizeof(*rt));
    int code;

    if (rt == NULL) {
        return mail_error_set(err, MAIL_ENOMEM, "%s", mail_strerror(MAIL_ENOMEM));
    }
    code = parse_rule(table->mem, rt, rule, err);
    if (code != MAIL_OK) {
        route_free(table->mem, rt);
        return code;
    }
    list_push_back(&table->routes, &rt->link);
    return MAIL_OK;
}

const mail_nexthop *mail_route_table_find(const mail_route_table *table, mail_span domain)
{
    domain_form form;

    domain_form_make(&form, domain);
    for (const list *link = table->routes.next; link != &table->routes; link = link->next) {
        const route *rt = LIST_OWNER(link, route, link);

        if (domain_pattern_matches(&rt->pattern, &form)) {
            return &rt->hop;
        }
    }
    return NULL;
}
