/* SPDX-License-Identifier: MIT */
#include "dns/mx_plan.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/random.h"
#include "dns/answer.h"
#include "dns/name.h"
#include "dns/packet.h"

/*
 * The MX question first; its hosts, cut at our own name and in the order to try, become
 * candidates; those are looked up `max_hosts` at once, further ones only as some turn
 * out unusable. Questions have numbers: 0 for MX, then one for each family of each candidate.
 */

#define DEFAULT_HOSTS     5
#define DEFAULT_ADDRESSES 2
#define TEXT_MAX          1024
#define FAULTS_MAX        4096
#define LITERAL_TTL       86400 /* an address in the domain's place never changes */

static unsigned bounded(unsigned value, unsigned otherwise, unsigned max)
{
    value = value > 0 ? value : otherwise;
    return value < max ? value : max;
}

static mail_mx_plan *make(const mail_mx_options *opts)
{
    mail_mx_plan *plan = mem_alloc(opts->mem, sizeof(*plan));

    if (plan == NULL) {
        return NULL;
    }
    plan->opts = *opts;
    plan->opts.max_hosts = bounded(opts->max_hosts, DEFAULT_HOSTS, MX_HOSTS_MAX);
    plan->opts.max_addresses = bounded(opts->max_addresses, DEFAULT_ADDRESSES, MX_ADDRESSES_MAX);
    buffer_init(&plan->text, opts->mem, TEXT_MAX);
    buffer_init(&plan->faults, opts->mem, FAULTS_MAX);
    return plan;
}

void mail_mx_plan_destroy(mail_mx_plan *plan)
{
    const mail_mem *mem;

    if (plan == NULL) {
        return;
    }
    mem = plan->opts.mem;
    buffer_deinit(&plan->text);
    buffer_deinit(&plan->faults);
    mem_free(mem, plan->addresses, plan->address_count * sizeof(*plan->addresses));
    mem_free(mem, plan->hosts, plan->candidate_count * sizeof(*plan->hosts));
    mem_free(mem, plan->candidates, plan->candidate_count * sizeof(*plan->candidates));
    mem_free(mem, plan, sizeof(*plan));
}

static void ask_for(mx_query *query, const char *name, mail_dns_type type)
{
    query->state = MX_QUERY_TO_ASK;
    query->type = type;
    memcpy(query->name, name, strlen(name) + 1);
}

/* Behind an alias that the server did not follow: the next question, until there were too many. */
static bool chase(mx_query *query, const mail_dns_answer *answer)
{
    query->aliases += answer->aliases;
    if (query->aliases > DNS_ALIASES_MAX) {
        return false;
    }
    ask_for(query, answer->name, query->type);
    return true;
}

static bool is_pending(const mx_candidate *candidate)
{
    return candidate->family[MX_V6].query.state != MX_QUERY_TOLD ||
           candidate->family[MX_V4].query.state != MX_QUERY_TOLD;
}

static bool has_addresses(const mx_candidate *candidate)
{
    return candidate->family[MX_V6].count + candidate->family[MX_V4].count > 0;
}

/* Whether the next candidate must be looked up too. */
static bool needs_more(const mail_mx_plan *plan)
{
    const mx_candidate *next = &plan->candidates[plan->asked];
    unsigned hopeful = 0;

    for (size_t i = 0; i < plan->asked; i++) {
        hopeful += is_pending(&plan->candidates[i]) || has_addresses(&plan->candidates[i]);
    }
    if (hopeful < plan->opts.max_hosts) {
        return true;
    }
    /* One of our addresses behind any of equal preference cuts them all (MX-007). */
    return plan->opts.own_address_count > 0 && next[-1].preference == next->preference;
}

/* Lets out the questions that are needed now; when none is open any more, settles. */
static int advance(mail_mx_plan *plan)
{
    while (plan->asked < plan->candidate_count && needs_more(plan)) {
        mx_candidate *candidate = &plan->candidates[plan->asked++];

        ask_for(&candidate->family[MX_V6].query, candidate->name, MAIL_DNS_AAAA);
        ask_for(&candidate->family[MX_V4].query, candidate->name, MAIL_DNS_A);
    }
    for (size_t i = 0; i < plan->asked; i++) {
        if (is_pending(&plan->candidates[i])) {
            return MAIL_OK;
        }
    }
    return mx_settle(plan);
}

static int make_candidates(mail_mx_plan *plan, size_t count)
{
    if (count == 0) {
        return MAIL_OK;
    }
    plan->candidates = mem_alloc(plan->opts.mem, count * sizeof(*plan->candidates));
    if (plan->candidates == NULL) {
        return MAIL_ENOMEM;
    }
    plan->candidate_count = count;
    return MAIL_OK;
}

static bool is_own_name(const mail_mx_plan *plan, const char *name)
{
    return !plan->opts.is_host && strcmp(plan->own_name, name) == 0;
}

/* The domain itself is the host: no MX records, or a configured host. */
static int take_domain_itself(mail_mx_plan *plan, uint32_t ttl)
{
    int code;

    if (is_own_name(plan, plan->domain)) {
        plan->has_own = true;
        return mx_settle(plan);
    }
    code = make_candidates(plan, 1);
    if (code != MAIL_OK) {
        return code;
    }
    memcpy(plan->candidates[0].name, plan->domain, sizeof(plan->domain));
    plan->candidates[0].ttl = ttl;
    return advance(plan);
}

/* An MX record, with a lot drawn that orders those of equal preference (MX-005). */
typedef struct choice {
    const char *host;
    uint16_t preference;
    uint64_t lot;
} choice;

static int compare_choices(const void *a, const void *b)
{
    const choice *x = a;
    const choice *y = b;

    if (x->preference != y->preference) {
        return x->preference < y->preference ? -1 : 1;
    }
    return (x->lot > y->lot) - (x->lot < y->lot);
}

static bool is_localhost(const char *name)
{
    return dns_name_is_in(name, "localhost");
}

/* What makes the target of an MX record useless at once (MX-004, MX-011, MX-016), or NULL. */
static const char *target_fault(const mail_mx_plan *plan, const char *host)
{
    char checked[MAIL_DOMAIN_SIZE];

    if (strcmp(host, ".") == 0) {
        return "the root, which says \"no mail\", beside other MX records";
    }
    if (host[0] == '\0' || mail_domain_to_ascii(mail_span_text(host), checked) != MAIL_OK) {
        return "not the name of a host";
    }
    return is_localhost(host) && !plan->opts.allow_private ? "a name that every host has for itself"
                                                           : NULL;
}

/* The targets that may be of use, in the order to try. */
static int gather_choices(mail_mx_plan *plan, const mail_dns_answer *answer,
                          choice choices[DNS_RECORDS_MAX], size_t *count_out)
{
    size_t count = 0;

    for (size_t i = 0; i < answer->count && i < DNS_RECORDS_MAX; i++) {
        const mail_dns_record *record = &answer->records[i];
        const char *fault = target_fault(plan, record->host);

        if (fault == NULL) {
            choices[count++] =
                (choice){record->host, record->preference, random_u64(plan->opts.random)};
        } else if (mx_fault(plan, "MX %u %s: %s", record->preference,
                            record->host[0] != '\0' ? record->host : "?", fault) != MAIL_OK) {
            return MAIL_ENOMEM;
        }
    }
    qsort(choices, count, sizeof(*choices), compare_choices);
    *count_out = count;
    return MAIL_OK;
}

/* RFC 5321, section 5.1: our own name cuts off its preference and all above (MX-007). */
static size_t cut_at_own_name(mail_mx_plan *plan, const choice *choices, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (is_own_name(plan, choices[i].host)) {
            plan->has_own = true;
            while (i > 0 && choices[i - 1].preference == choices[i].preference) {
                i--;
            }
            return i;
        }
    }
    return count;
}

/* A host that is named twice counts where it comes first. */
static size_t drop_repeated(choice *choices, size_t count)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        size_t j = 0;

        while (j < kept && strcmp(choices[j].host, choices[i].host) != 0) {
            j++;
        }
        if (j == kept) {
            choices[kept++] = choices[i];
        }
    }
    return kept;
}

static bool is_null_mx(const mail_dns_answer *answer)
{
    for (size_t i = 0; i < answer->count; i++) {
        if (strcmp(answer->records[i].host, ".") != 0) {
            return false;
        }
    }
    return true;
}

static int take_mx(mail_mx_plan *plan, const mail_dns_answer *answer)
{
    size_t max = (size_t)plan->opts.max_hosts * MX_CANDIDATES_FACTOR;
    choice choices[DNS_RECORDS_MAX];
    size_t count;
    int code;

    if (is_null_mx(answer)) { /* RFC 7505, section 3 */
        return mx_refuse(plan, MAIL_REPLY(556, 5, 1, 10, ""), "%s accepts no mail (null MX)",
                         plan->domain);
    }
    code = gather_choices(plan, answer, choices, &count);
    if (code != MAIL_OK) {
        return code;
    }
    count = drop_repeated(choices, cut_at_own_name(plan, choices, count));
    count = count < max ? count : max;
    code = make_candidates(plan, count);
    if (code != MAIL_OK) {
        return code;
    }
    for (size_t i = 0; i < count; i++) {
        memcpy(plan->candidates[i].name, choices[i].host, strlen(choices[i].host) + 1);
        plan->candidates[i].preference = choices[i].preference;
        plan->candidates[i].ttl = answer->ttl;
    }
    return advance(plan);
}

static int tell_mx(mail_mx_plan *plan, const mail_dns_answer *answer)
{
    const char *reason = answer->reason;

    switch (answer->status) {
    case MAIL_DNS_FOUND:
        return take_mx(plan, answer);
    case MAIL_DNS_NODATA: /* RFC 5321, section 5.1: the implicit MX */
        plan->verdict.implicit = true;
        return take_domain_itself(plan, answer->ttl);
    case MAIL_DNS_NXDOMAIN:
        return mx_refuse(plan, MAIL_REPLY(550, 5, 1, 2, ""), "No such domain: %s", plan->domain);
    case MAIL_DNS_ALIAS:
        if (chase(&plan->mx, answer)) {
            return MAIL_OK;
        }
        reason = "too long a chain of aliases";
        break;
    case MAIL_DNS_FAILED:
        break;
    }
    return mx_refuse(plan, MAIL_REPLY(451, 4, 4, 3, ""), "Can't look up %s: %s", plan->domain,
                     reason);
}

bool mx_address_is_refused(const mail_mx_plan *plan, const mail_ip *ip)
{
    return !plan->opts.allow_private && !plan->opts.is_host && mail_ip_is_private(ip);
}

bool mx_address_is_own(const mail_mx_plan *plan, const mail_ip *ip)
{
    for (size_t i = 0; !plan->opts.is_host && i < plan->opts.own_address_count; i++) {
        if (mail_ip_equal(&plan->opts.own_addresses[i].ip, ip)) {
            return true;
        }
    }
    return false;
}

/* Keeps `ip` as the `seen`th acceptable one: each has the same chance to be among those kept. */
static void keep_address(const mail_mx_plan *plan, mx_addresses *family, size_t seen,
                         const mail_ip *ip)
{
    size_t place = random_below(plan->opts.random, seen);

    if (family->count < plan->opts.max_addresses) {
        family->ips[family->count] = family->ips[place];
        family->ips[place] = *ip;
        family->count++;
    } else if (place < plan->opts.max_addresses) {
        family->ips[place] = *ip;
    }
}

static void take_addresses(const mail_mx_plan *plan, mx_candidate *candidate, mx_addresses *family,
                           const mail_dns_answer *answer)
{
    size_t seen = 0;

    for (size_t i = 0; i < answer->count; i++) {
        const mail_ip *ip = &answer->records[i].ip;

        candidate->is_own = candidate->is_own || mx_address_is_own(plan, ip);
        if (mx_address_is_refused(plan, ip)) {
            candidate->refused = *ip;
            candidate->refused_count++;
        } else {
            keep_address(plan, family, ++seen, ip);
        }
    }
    if (answer->ttl < candidate->ttl) {
        candidate->ttl = answer->ttl;
    }
}

static int tell_address(mail_mx_plan *plan, mx_candidate *candidate, mx_addresses *family,
                        const mail_dns_answer *answer)
{
    candidate->is_alias = candidate->is_alias || answer->aliases > 0;
    switch (answer->status) {
    case MAIL_DNS_FOUND:
        take_addresses(plan, candidate, family, answer);
        break;
    case MAIL_DNS_NODATA:
        break;
    case MAIL_DNS_NXDOMAIN:
        candidate->is_missing = true;
        break;
    case MAIL_DNS_ALIAS:
        if (!chase(&family->query, answer)) {
            candidate->failure = "too long a chain of aliases";
        }
        break;
    case MAIL_DNS_FAILED:
        candidate->failure = answer->reason;
        break;
    }
    return advance(plan);
}

/* `domain` as an address; false when it is to be taken as a name. */
static bool parse_address(const mail_mx_plan *plan, mail_span domain, mail_ip *ip)
{
    return mail_ip_parse_literal(domain, ip) == MAIL_OK ||
           (plan->opts.is_host && mail_ip_parse(domain, ip) == MAIL_OK);
}

/* MX-012: an address is its own host; what policy says of addresses holds all the same. */
static int take_address(mail_mx_plan *plan, const mail_ip *ip)
{
    int code = make_candidates(plan, 1);
    mx_candidate *self = plan->candidates;
    mail_dns_answer answer = {
        .status = MAIL_DNS_FOUND,
        .ttl = LITERAL_TTL,
        .records = &(mail_dns_record){.ip = *ip},
        .count = 1,
    };

    if (code != MAIL_OK) {
        return code;
    }
    mail_ip_print_literal(ip, self->name);
    memcpy(plan->domain, self->name, MAIL_IP_TEXT_SIZE);
    self->ttl = LITERAL_TTL;
    self->family[MX_V6].query.state = MX_QUERY_TOLD;
    self->family[MX_V4].query.state = MX_QUERY_TOLD;
    plan->asked = 1;
    plan->verdict.implicit = true;
    take_addresses(plan, self, &self->family[ip->family == 6 ? MX_V6 : MX_V4], &answer);
    return advance(plan);
}

/* RFC 6761, section 6.3: no server need be asked what `localhost` is. */
static int take_localhost(mail_mx_plan *plan)
{
    static const mail_ip ips[MX_FAMILIES] = {
        [MX_V6] = {.family = 6, .bytes = {[15] = 1}},
        [MX_V4] = {.family = 4, .bytes = {127, 0, 0, 1}},
    };
    int code = make_candidates(plan, 1);

    if (code != MAIL_OK) {
        return code;
    }
    memcpy(plan->candidates[0].name, plan->domain, sizeof(plan->domain));
    plan->candidates[0].ttl = LITERAL_TTL;
    plan->asked = 1;
    plan->verdict.implicit = true;
    for (size_t i = 0; i < MX_FAMILIES; i++) {
        mx_addresses *family = &plan->candidates[0].family[i];

        family->query.state = MX_QUERY_TOLD;
        family->ips[family->count++] = ips[i];
    }
    return advance(plan);
}

/* Our name as the DNS has it; a literal or no name at all equals none. */
static int set_own_name(mail_mx_plan *plan)
{
    int code = mail_domain_to_ascii(plan->opts.own_hostname, plan->own_name);

    if (code != MAIL_OK) {
        plan->own_name[0] = '\0';
    }
    return code == MAIL_ENOMEM ? code : MAIL_OK;
}

static int begin(mail_mx_plan *plan, mail_span domain)
{
    int code = set_own_name(plan);
    mail_ip ip;

    if (code != MAIL_OK) {
        return code;
    }
    if (parse_address(plan, domain, &ip)) {
        return take_address(plan, &ip);
    }
    code = mail_domain_to_ascii(domain, plan->domain);
    if (code == MAIL_EINVAL) {
        return mx_refuse(plan, MAIL_REPLY(550, 5, 1, 2, ""), "Not the name of a domain");
    }
    if (code != MAIL_OK) {
        return code;
    }
    if (!plan->opts.is_host) {
        ask_for(&plan->mx, plan->domain, MAIL_DNS_MX);
        return MAIL_OK;
    }
    plan->verdict.implicit = true;
    return is_localhost(plan->domain) ? take_localhost(plan) : take_domain_itself(plan, UINT32_MAX);
}

int mail_mx_plan_create(mail_mx_plan **out, mail_span domain, const mail_mx_options *opts)
{
    static const mail_mx_options defaults = MAIL_MX_OPTIONS_INIT;
    mail_mx_plan *plan = make(opts != NULL ? opts : &defaults);
    int code;

    if (plan == NULL) {
        return MAIL_ENOMEM;
    }
    code = begin(plan, domain);
    if (code != MAIL_OK) {
        mail_mx_plan_destroy(plan);
        return code;
    }
    *out = plan;
    return MAIL_OK;
}

static mx_query *query_at(mail_mx_plan *plan, unsigned number)
{
    if (number == 0) {
        return &plan->mx;
    }
    return &plan->candidates[(number - 1) / MX_FAMILIES].family[(number - 1) % MX_FAMILIES].query;
}

bool mail_mx_plan_next(mail_mx_plan *plan, mail_mx_need *need)
{
    unsigned count = 1 + (unsigned)plan->asked * MX_FAMILIES;

    for (unsigned number = 0; number < count; number++) {
        mx_query *query = query_at(plan, number);

        if (query->state == MX_QUERY_TO_ASK) {
            query->state = MX_QUERY_ASKED;
            *need = (mail_mx_need){query->name, query->type, number};
            return true;
        }
    }
    return false;
}

int mail_mx_plan_tell(mail_mx_plan *plan, unsigned number, const mail_dns_answer *answer)
{
    mx_query *query = query_at(plan, number);
    mx_candidate *candidate;

    assert(query->state == MX_QUERY_ASKED);
    query->state = MX_QUERY_TOLD;
    if (number == 0) {
        return tell_mx(plan, answer);
    }
    candidate = &plan->candidates[(number - 1) / MX_FAMILIES];
    return tell_address(plan, candidate, &candidate->family[(number - 1) % MX_FAMILIES], answer);
}

const mail_mx_verdict *mail_mx_plan_verdict(const mail_mx_plan *plan)
{
    return plan->is_settled ? &plan->verdict : NULL;
}
