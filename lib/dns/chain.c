/* SPDX-License-Identifier: MIT */
#include "dns/chain.h"

#include "base/buffer.h"
#include "dns/answer.h"
#include "dns/name.h"
#include "dns/wire.h"

/* What has been read so far; `records` point into `text`, which never moves. */
typedef struct chain {
    mail_span packet;
    mail_dns_answer answer;
    char name[MAIL_DOMAIN_SIZE];      /* where the walk is */
    size_t followed[DNS_ALIASES_MAX]; /* the CNAME records that led here */
    buffer text;
    mail_dns_record records[DNS_RECORDS_MAX];
} chain;

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* RFC 2181, section 8: a TTL with the top bit set is zero. */
static void limit_ttl(chain *ch, uint32_t ttl)
{
    ch->answer.ttl = min_u32(ch->answer.ttl, ttl > INT32_MAX ? 0 : ttl);
}

static void fail(chain *ch, const char *reason)
{
    ch->answer = dns_answer_failed(ch->answer.type, reason);
}

/* Room for all text that the answer section can give, so that the block never moves. */
static int reserve_text(chain *ch)
{
    dns_walk walk = {0};
    size_t bound = 1;
    dns_item item;

    while (dns_packet_next(ch->packet, &walk, &item) == MAIL_OK && item.section == DNS_ANSWER) {
        if (item.type == ch->answer.type) {
            bound += item.type == MAIL_DNS_MX ? MAIL_DOMAIN_SIZE : item.data_length;
        }
    }
    buffer_init(&ch->text, ch->answer.mem, bound);
    return buffer_space(&ch->text, bound) != NULL ? MAIL_OK : MAIL_ENOMEM;
}

static int take_record(chain *ch, const dns_item *item)
{
    mail_dns_record *record = &ch->records[ch->answer.count];
    const char *text = ch->text.data + ch->text.end;
    dns_data data;
    int code = dns_wire_data(ch->packet, item, &data, &ch->text);

    if (code != MAIL_OK) {
        return code;
    }
    *record = (mail_dns_record){.ip = data.ip, .preference = data.preference};
    if (item->type == MAIL_DNS_MX) {
        record->host = text;
        code = buffer_append(&ch->text, mail_span_of(data.host, strlen(data.host) + 1));
    } else if (item->type == MAIL_DNS_TXT) {
        record->text = mail_span_of(text, (size_t)(ch->text.data + ch->text.end - text));
    }
    ch->answer.count++;
    limit_ttl(ch, item->ttl);
    return code;
}

/* Takes the records that belong to where the walk is; an alias there is left in `alias`. */
static int visit(chain *ch, dns_item *alias)
{
    dns_walk walk = {0};
    int code = MAIL_OK;
    dns_item item;

    alias->owner = 0;
    while (code == MAIL_OK && dns_packet_next(ch->packet, &walk, &item) == MAIL_OK &&
           item.section == DNS_ANSWER) {
        if (item.type != ch->answer.type && item.type != DNS_TYPE_CNAME) {
            continue;
        }
        if (item.class_code != DNS_CLASS_IN || !dns_name_is(ch->packet, item.owner, ch->name)) {
            continue;
        }
        if (item.type == DNS_TYPE_CNAME) {
            *alias = item;
        } else {
            code = take_record(ch, &item);
        }
    }
    return code;
}

/* Goes where the alias leads. MAIL_EPROTO: it leads nowhere, and the answer has failed. */
static int follow(chain *ch, const dns_item *alias)
{
    dns_data data;
    int code;

    for (unsigned i = 0; i < ch->answer.aliases; i++) {
        if (ch->followed[i] == alias->owner) {
            fail(ch, "a loop of aliases");
            return MAIL_EPROTO;
        }
    }
    if (ch->answer.aliases == DNS_ALIASES_MAX) {
        fail(ch, "too long a chain of aliases");
        return MAIL_EPROTO;
    }
    code = dns_wire_data(ch->packet, alias, &data, &ch->text);
    if (code != MAIL_OK) {
        return code;
    }
    if (!dns_name_is_clean(mail_span_text(data.host))) {
        fail(ch, "an alias of what is no host name");
        return MAIL_EPROTO;
    }
    memcpy(ch->name, data.host, sizeof(data.host));
    ch->followed[ch->answer.aliases++] = alias->owner;
    limit_ttl(ch, alias->ttl);
    return MAIL_OK;
}

static int walk_chain(chain *ch)
{
    dns_item alias;
    int code;

    do {
        code = visit(ch, &alias);
        if (code != MAIL_OK || ch->answer.count > 0 || alias.owner == 0) {
            return code;
        }
        code = follow(ch, &alias);
    } while (code == MAIL_OK);
    return ch->answer.status == MAIL_DNS_FAILED ? MAIL_OK : code;
}

/*
 * What the authority section says of a negative answer: RFC 2308, section 2, tells
 * "no data" (SOA) from a referral (NS and no SOA), and section 5 has it hold for the
 * lesser of the SOA's own TTL and its minimum; without SOA, for this once.
 */
static int read_authority(chain *ch, bool *has_soa, bool *has_ns)
{
    dns_walk walk = {0};
    dns_item item;

    while (dns_packet_next(ch->packet, &walk, &item) == MAIL_OK) {
        char zone[MAIL_DOMAIN_SIZE];
        dns_data data;
        int code;

        if (item.section != DNS_AUTHORITY || item.class_code != DNS_CLASS_IN ||
            !dns_name_text(ch->packet, item.owner, zone)) {
            continue;
        }
        *has_ns = *has_ns || item.type == DNS_TYPE_NS;
        if (item.type != DNS_TYPE_SOA || *has_soa || !dns_name_is_in(ch->name, zone)) {
            continue;
        }
        code = dns_wire_data(ch->packet, &item, &data, &ch->text);
        if (code != MAIL_OK) {
            return code;
        }
        *has_soa = true;
        limit_ttl(ch, item.ttl);
        limit_ttl(ch, data.minimum);
    }
    return MAIL_OK;
}

static int settle_negative(chain *ch, bool no_such_name)
{
    bool has_soa = false;
    bool has_ns = false;
    int code = read_authority(ch, &has_soa, &has_ns);

    if (code != MAIL_OK) {
        return code;
    }
    if (!no_such_name && !has_soa && ch->answer.aliases > 0) {
        ch->answer.status = MAIL_DNS_ALIAS;
        return MAIL_OK;
    }
    if (!no_such_name && !has_soa && has_ns) {
        fail(ch, "a referral from a server that should resolve");
        return MAIL_OK;
    }
    ch->answer.status = no_such_name ? MAIL_DNS_NXDOMAIN : MAIL_DNS_NODATA;
    if (!has_soa) {
        ch->answer.ttl = 0;
    }
    return MAIL_OK;
}

static int settle(chain *ch, bool no_such_name)
{
    if (ch->answer.status == MAIL_DNS_FAILED) {
        return MAIL_OK;
    }
    if (ch->answer.count == 0) {
        return settle_negative(ch, no_such_name);
    }
    if (no_such_name) {
        fail(ch, "records for a name that is said not to exist");
    }
    return MAIL_OK;
}

int dns_chain_read(mail_dns_answer **out, mail_span packet, const char *name, mail_dns_type type,
                   bool no_such_name, const mail_mem *mem)
{
    chain ch;
    int code;

    ch.packet = packet;
    ch.answer = (mail_dns_answer){
        .status = MAIL_DNS_FOUND,
        .type = type,
        .ttl = UINT32_MAX,
        .name = ch.name,
        .records = ch.records,
        .mem = mem,
    };
    memcpy(ch.name, name, strlen(name) + 1);
    code = reserve_text(&ch);
    if (code == MAIL_OK) {
        code = walk_chain(&ch);
    }
    if (code == MAIL_OK) {
        code = settle(&ch, no_such_name);
    }
    if (code == MAIL_EPROTO) { /* ldns and the packet check do not agree */
        fail(&ch, "a record that can't be decoded");
        code = MAIL_OK;
    }
    if (code == MAIL_OK) {
        code = dns_answer_copy(out, &ch.answer, mem);
    }
    buffer_deinit(&ch.text);
    return code;
}
