/* SPDX-License-Identifier: MIT */
#include "sim/ledger.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "support/support.h"

#define TAG "X-Sim: "

static const hash_seed no_seed;

/* How long after it was taken a file may still come back: the next sync of its folder, and a failed one. */
#define LINGER_MAX (5 * MAIL_SECOND)

/* Whose a queue id is. */
typedef struct queue_id {
    table_entry by_text;
    char text[40]; /* the relay's number and the id */
    sim_message *message;
} queue_id;

void sim_ledger_init(sim_ledger *ledger, sim_world *world, unsigned messages)
{
    *ledger = (sim_ledger){.world = world, .count = messages};
    ledger->messages = calloc(messages, sizeof(*ledger->messages));
    assert_non_null(ledger->messages);
    table_init(&ledger->copies, NULL);
    table_init(&ledger->ids, NULL);
}

static void free_copy(table_entry *entry, void *arg)
{
    (void)arg;
    free(LIST_OWNER(entry, sim_copy, by_key));
}

static void free_id(table_entry *entry, void *arg)
{
    (void)arg;
    free(LIST_OWNER(entry, queue_id, by_text));
}

void sim_ledger_deinit(sim_ledger *ledger)
{
    table_each(&ledger->copies, free_copy, NULL);
    table_deinit(&ledger->copies);
    table_each(&ledger->ids, free_id, NULL);
    table_deinit(&ledger->ids);
    for (unsigned i = 0; i < ledger->count; i++) {
        free(ledger->messages[i].rcpts);
    }
    free(ledger->messages);
    free(ledger->outages);
}

void sim_broken(const sim_ledger *ledger, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    fail_msg("seed %" PRIu64 ": %s", ledger->world->seed, text);
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

/* Lines of different lengths, or all of them very short, some with dots in front. */
char *sim_ledger_body(const sim_message *message, size_t *length)
{
    unsigned id = message->id;
    char *text = malloc(message->size + 400);
    uint64_t state = id;
    size_t at;

    assert_non_null(text);
    at = (size_t)snprintf(text, 200, TAG "%u\r\nSubject: message %u%s\r\n\r\n", id, id,
                          message->is_utf8 ? " for all \xc3\xbc" : "");
    while (at < message->size) {
        uint64_t dice = mix(++state * 0x9e3779b97f4a7c15U + id);
        size_t line = dice % (id % 8 == 0 ? 3 : 71);

        for (size_t dots = dice >> 60; dots > 12; dots--) {
            text[at++] = '.';
        }
        memset(text + at, (int)('a' + dice % 26), line);
        at += line;
        text[at++] = '\r';
        text[at++] = '\n';
    }
    *length = at;
    return text;
}

static sim_message *message_of(const sim_ledger *ledger, unsigned long id)
{
    return id < ledger->count ? &ledger->messages[id] : NULL;
}

/* The message whose number stands in an address, or NULL. */
static sim_message *message_of_address(const sim_ledger *ledger, mail_span address)
{
    const char *dot = address.length > 0 ? memchr(address.data, '.', address.length) : NULL;
    const char *at = dot != NULL ? memchr(address.data, '@', address.length) : NULL;

    return dot != NULL && at != NULL && dot < at ? message_of(ledger, strtoul(dot + 1, NULL, 10))
                                                 : NULL;
}

/* The recipient as it was submitted that leads to `address`, itself or as an alias; or NULL. */
static sim_rcpt *rcpt_of(const sim_message *message, mail_span address)
{
    for (unsigned i = 0; i < message->rcpt_count; i++) {
        sim_rcpt *rcpt = &message->rcpts[i];

        if (mail_span_equal_nocase(mail_span_text(rcpt->address), address)) {
            return rcpt;
        }
        for (unsigned j = 0; j < rcpt->fate_count; j++) {
            if (mail_span_equal_nocase(mail_span_text(rcpt->fates[j].address), address)) {
                return rcpt;
            }
        }
    }
    return NULL;
}

static sim_fate *fate_in(sim_rcpt *rcpt, mail_span address)
{
    for (unsigned j = 0; rcpt != NULL && j < rcpt->fate_count; j++) {
        if (mail_span_equal_nocase(mail_span_text(rcpt->fates[j].address), address)) {
            return &rcpt->fates[j];
        }
    }
    return NULL;
}

static mail_span field_of(const mail_log_field *fields, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(fields[i].key, key) == 0) {
            return fields[i].value;
        }
    }
    return (mail_span){0};
}

static bool field_is(const mail_log_field *fields, size_t count, const char *key, const char *text)
{
    return mail_span_equal(field_of(fields, count, key), mail_span_text(text));
}

static bool is_discarded(mail_span address)
{
    static const char domain[] = "@discard.example";
    size_t length = strlen(domain);

    return address.length > length &&
           memcmp(address.data + address.length - length, domain, length) == 0;
}

static queue_id *find_id(const sim_ledger *ledger, const char *text, uint64_t hash)
{
    for (table_entry *e = table_first(&ledger->ids, hash); e != NULL; e = table_next(e)) {
        queue_id *id = LIST_OWNER(e, queue_id, by_text);

        if (strcmp(id->text, text) == 0) {
            return id;
        }
    }
    return NULL;
}

/* Whose a queue id is; the first line that names a message says it. */
static sim_message *message_of_id(sim_ledger *ledger, unsigned relay, mail_span id,
                                  sim_message *guess)
{
    char text[40];
    uint64_t hash;
    queue_id *known;

    (void)snprintf(text, sizeof(text), "%u %.*s", relay, (int)id.length, id.data);
    hash = hash_bytes(&no_seed, mail_span_text(text));
    known = find_id(ledger, text, hash);
    if (known == NULL && guess != NULL && id.length > 0) {
        known = calloc(1, sizeof(*known));
        assert_non_null(known);
        memcpy(known->text, text, sizeof(text));
        known->message = guess;
        assert_int_equal(table_insert(&ledger->ids, &known->by_text, hash), MAIL_OK);
    }
    return known != NULL ? known->message : guess;
}

static void touch(const sim_ledger *ledger, sim_message *message, unsigned relay)
{
    if (message->touched[relay] == 0) {
        message->touched[relay] = ledger->world->now;
    }
}

/* A line tells of the end of a try that began as long before, at most. */
#define TRY_MAX (15 * MAIL_MINUTE)

/* What a relay has handed on to another is that one's from then on, or was before it fell silent. */
static void touch_next(const sim_ledger *ledger, sim_message *message, mail_span host)
{
    static const char key[] = "mx.h";

    if (host.length > sizeof(key) && memcmp(host.data, key, strlen(key)) == 0) {
        unsigned relay = (unsigned)(host.data[strlen(key)] - '0') % SIM_RELAYS;

        if (message->touched[relay] == 0) {
            touch(ledger, message, relay);
            message->touched[relay] -= TRY_MAX;
        }
    }
}

/* A final reply was lost: of what leads to `to`, or of a report to the sender. */
static void note_ambiguous(sim_message *message, mail_span to)
{
    sim_rcpt *rcpt = rcpt_of(message, to);

    if (rcpt != NULL) {
        rcpt->ambiguous++;
    }
    if (rcpt == NULL || mail_span_equal_nocase(mail_span_text(message->sender), to)) {
        message->ambiguous++;
    }
}

static void note_dropped(sim_ledger *ledger, sim_message *message, const char *what, mail_span to);

void sim_ledger_log(sim_ledger *ledger, unsigned relay, const char *what,
                    const mail_log_field *fields, size_t count)
{
    mail_span to = field_of(fields, count, "to");
    mail_span from = field_of(fields, count, "from");
    mail_span report = field_of(fields, count, "report");
    sim_message *message = message_of_address(ledger, to.length > 0 ? to : from);

    if (strcmp(what, "refused") == 0) {
        return; /* of no queue */
    }
    if (strcmp(what, "accepted") == 0 && field_of(fields, count, "tls").length > 0) {
        ledger->encrypted++;
    }
    message = message_of_id(ledger, relay, field_of(fields, count, "queue_id"), message);
    if (message == NULL) {
        return;
    }
    touch(ledger, message, relay);
    if (strcmp(what, "accepted") == 0 && field_is(fields, count, "peer", "local")) {
        message->taken_at = ledger->world->now;
        message->taken_by = relay;
    }
    message->lingers |= strcmp(what, "taken from drop, but not removed") == 0;
    touch_next(ledger, message, field_of(fields, count, "host"));
    if (report.length > 0) {
        (void)message_of_id(ledger, relay, report, message);
    } else if (strcmp(what, "deferred, may come twice") == 0) {
        note_ambiguous(message, to);
    } else {
        note_dropped(ledger, message, what, to);
    }
}

/* Files whose removal from drop/ may not have been synced yet: they may be taken once more. */
static void bring_back_dropped(sim_ledger *ledger, unsigned relay)
{
    for (unsigned i = 0; i < ledger->count; i++) {
        sim_message *message = &ledger->messages[i];

        if (message->is_dropped && message->taken_at != 0 && message->taken_by == relay &&
            (message->lingers || message->taken_at + LINGER_MAX >= ledger->world->now)) {
            message->ambiguous++;
        }
    }
}

void sim_ledger_crash(sim_ledger *ledger, unsigned relay)
{
    bring_back_dropped(ledger, relay);
    ledger->outages =
        realloc(ledger->outages, (ledger->outage_count + 1) * sizeof(*ledger->outages));
    assert_non_null(ledger->outages);
    ledger->outages[ledger->outage_count++] = (sim_outage){relay, ledger->world->now};
}

/* `fate` NULL: all that an alias stands for. */
static void let_vanish(sim_rcpt *rcpt, const sim_fate *fate)
{
    for (unsigned i = 0; i < rcpt->fate_count; i++) {
        if (fate == NULL || fate == &rcpt->fates[i]) {
            rcpt->fates[i].may_vanish = true;
        }
    }
}

void sim_ledger_remove(sim_ledger *ledger, unsigned relay, const char *id, mail_span sender,
                       mail_span address)
{
    bool is_report = sender.length == 0;
    sim_message *message = message_of_id(ledger, relay, mail_span_text(id),
                                         message_of_address(ledger, is_report ? address : sender));
    sim_rcpt *rcpt = message != NULL ? rcpt_of(message, address) : NULL;

    if (rcpt != NULL) {
        let_vanish(rcpt, fate_in(rcpt, address));
    }
    for (unsigned i = 0;
         message != NULL && is_report && message->sender[0] != '\0' && i < message->rcpt_count;
         i++) {
        let_vanish(&message->rcpts[i], NULL); /* any of them may be what it reports on */
    }
}

/* The lost replies, and the outages of relays that had to do with it. */
static unsigned mishaps(const sim_ledger *ledger, const sim_message *message, const sim_rcpt *rcpt)
{
    unsigned events = message->ambiguous + rcpt->ambiguous;

    for (unsigned i = 0; i < ledger->outage_count; i++) {
        mail_time since = message->touched[ledger->outages[i].relay];

        events += since != 0 && since <= ledger->outages[i].when ? 1 : 0;
    }
    return events < 10 ? events : 10;
}

/* Something has come of a recipient: was it allowed to? */
static void check_fate(const sim_ledger *ledger, const sim_message *message, const sim_rcpt *rcpt,
                       const sim_fate *fate)
{
    unsigned total = fate->copies + fate->reports + fate->dropped;
    unsigned doublings = mishaps(ledger, message, rcpt);

    /* A report is a message of its own, which may come again. */
    doublings *= fate->reports > 0 ? 2U : 1U;
    if (fate->must_fail && fate->copies > 0) {
        sim_broken(ledger, "message %u came to %s", message->id, fate->address);
    }
    if (fate->must_come && fate->reports + fate->dropped > 0) {
        sim_broken(ledger, "message %u for %s was given up", message->id, fate->address);
    }
    /* Each mishap may have doubled what was under way. */
    if (total > 1U << doublings) {
        sim_broken(ledger, "message %u for %s: %u copies, %u reports, %u times dropped",
                   message->id, fate->address, fate->copies, fate->reports, fate->dropped);
    }
}

static void note_dropped(sim_ledger *ledger, sim_message *message, const char *what, mail_span to)
{
    bool is_given_up = strcmp(what, "failed, not reported") == 0;
    sim_rcpt *rcpt = rcpt_of(message, to);
    sim_fate *fate = fate_in(rcpt, to);

    if (is_given_up && fate == NULL) {
        ledger->lost_reports++;
    } else if (fate != NULL && (is_given_up || (strcmp(what, "sent") == 0 && is_discarded(to)))) {
        fate->dropped++;
        check_fate(ledger, message, rcpt, fate);
    }
}

static const char *find(mail_span in, const char *what)
{
    return memmem(in.data, in.length, what, strlen(what));
}

static sim_message *message_in(const sim_ledger *ledger, mail_span content)
{
    const char *tag = find(content, "\n" TAG);

    return tag != NULL ? message_of(ledger, strtoul(tag + 1 + strlen(TAG), NULL, 10)) : NULL;
}

static bool is_report(mail_span content)
{
    const char *end = find(content, "\r\n\r\n");
    const char *type = find(content, "multipart/report");

    return type != NULL && end != NULL && type < end;
}

static void check_bytes(const sim_ledger *ledger, const sim_message *message, mail_span content)
{
    size_t at = (size_t)(find(content, "\n" TAG) + 1 - content.data);
    mail_span rest = mail_span_from(content, at);
    size_t length;
    char *body = sim_ledger_body(message, &length);

    if (!mail_span_equal(rest, mail_span_of(body, length))) {
        sim_broken(ledger, "message %u changed on its way", message->id);
    }
    free(body);
}

static void count_report(const sim_ledger *ledger, sim_message *message, mail_span address)
{
    sim_rcpt *rcpt = rcpt_of(message, address);
    sim_fate *fate = fate_in(rcpt, address);

    if (rcpt == NULL) {
        sim_broken(ledger, "message %u: a report on a stranger: %.*s", message->id,
                   (int)address.length, address.data);
        return;
    }
    /* An alias that was not reached speaks for all it stands for. */
    for (unsigned i = 0; i < rcpt->fate_count; i++) {
        if (fate == NULL || fate == &rcpt->fates[i]) {
            rcpt->fates[i].reports++;
            check_fate(ledger, message, rcpt, &rcpt->fates[i]);
        }
    }
}

/* Each group of a report speaks of one recipient (RFC 3464, section 2.3). */
static void count_reports(const sim_ledger *ledger, sim_message *message, mail_span content)
{
    static const char key[] = "\r\nFinal-Recipient: ";
    const char *at;

    while ((at = find(content, key)) != NULL) {
        mail_span address = mail_span_text("");
        const char *next;
        const char *action;

        content = mail_span_from(content, (size_t)(at + strlen(key) - content.data));
        content = mail_span_from(content, strcspn(content.data, " ") + 1); /* rfc822; utf-8; */
        address = mail_span_first(content, strcspn(content.data, "\r"));
        action = find(content, "Action: failed\r\n");
        next = find(content, key);
        if (action != NULL && (next == NULL || action < next)) {
            count_report(ledger, message, address);
        }
    }
}

/* A report need not quote the message, if memory was short; it still goes to the sender. */
static sim_message *message_reported(const sim_ledger *ledger, mail_span content)
{
    static const char key[] = "Delivered-To: ";
    sim_message *message = message_in(ledger, content);
    const char *at = find(content, key);

    if (message != NULL || at == NULL) {
        return message;
    }
    content = mail_span_from(content, (size_t)(at + strlen(key) - content.data));
    return message_of_address(ledger, mail_span_first(content, strcspn(content.data, "\r")));
}

static void take_report(const sim_ledger *ledger, mail_span content)
{
    sim_message *message = message_reported(ledger, content);

    if (message == NULL) {
        sim_broken(ledger, "a report on nothing");
    } else if (message->sender[0] == '\0') {
        sim_broken(ledger, "message %u: a report to nobody", message->id);
    } else {
        count_reports(ledger, message, content);
    }
}

/* Whether `address` leads to the mailbox of `user` at `domain`. */
static bool leads_to(const char *address, const char *user, const char *domain)
{
    size_t length = strlen(user);
    const char *at = strchr(address, '@');

    return strncmp(address, user, length) == 0 &&
           (address[length] == '.' || address[length] == '@') && strcmp(at + 1, domain) == 0;
}

/* The next field of a header that has this name, unfolded into words; false: there is none. */
static bool next_field(mail_span *header, const char *name, char value[512])
{
    size_t length = strlen(name);

    while (header->length > 0) {
        const char *end = header->data;
        bool is_it = header->length > length && memcmp(header->data, name, length) == 0;
        mail_span field;

        do {
            end = memchr(end, '\n', header->length - (size_t)(end - header->data));
            assert_non_null(end);
            end++;
        } while (end < header->data + header->length && (*end == ' ' || *end == '\t'));
        field = mail_span_first(*header, (size_t)(end - header->data));
        *header = mail_span_from(*header, field.length);
        if (is_it) {
            snprintf(value, 512, "%.*s", (int)(field.length - length), field.data + length);
            return true;
        }
    }
    return false;
}

/* What follows `word` in a Received field; empty: nothing does. */
static void read_clause(const char *value, const char *word, char out[64])
{
    const char *at = value;
    size_t length = strlen(word);

    out[0] = '\0';
    while ((at = strstr(at, word)) != NULL) {
        if ((at == value || strchr(" \t\n", at[-1]) != NULL) && at[length] == ' ') {
            snprintf(out, 64, "%.*s", (int)strcspn(at + length + 1, " \t\r\n;"), at + length + 1);
            return;
        }
        at += length;
    }
}

/*
 * The fields of the way lie in order, the newest on top (RFC 5321, section 4.4): each hop got it
 * from the one below, and the lowest from whoever wrote it. `fate` NULL: it has left our hosts,
 * and nobody has delivered it yet.
 */
static void check_trace(const sim_ledger *ledger, const sim_message *message, const sim_fate *fate,
                        mail_span content)
{
    const char *end = find(content, "\n" TAG);
    mail_span header = mail_span_first(content, (size_t)(end + 1 - content.data));
    char top[256] = "Received: ";
    char value[512];
    char from[64];
    char by[64];
    char last[64] = "";
    unsigned hops = 0;

    if (fate != NULL) {
        snprintf(top, sizeof(top),
                 "Return-Path: <%s>\r\nDelivered-To: %s\r\nReceived: ", message->sender,
                 fate->address);
    }
    if (content.length < strlen(top) || memcmp(content.data, top, strlen(top)) != 0) {
        sim_broken(ledger, "message %u does not begin with: %s", message->id, top);
    }
    while (next_field(&header, "Received: ", value)) {
        read_clause(value, "from", from);
        read_clause(value, "by", by);
        if (by[0] == '\0' || (hops++ > 0 && strcmp(by, last) != 0)) {
            sim_broken(ledger, "message %u was handed to %s by %s", message->id, last, by);
        }
        memcpy(last, from, sizeof(last));
    }
    if (hops > 3 || strcmp(last, message->is_dropped ? "" : "client.example") != 0) {
        sim_broken(ledger, "message %u took %u hops and began at '%s'", message->id, hops, last);
    }
}

static void take_copy(const sim_ledger *ledger, const char *user, const char *domain,
                      mail_span content)
{
    sim_message *message = message_in(ledger, content);

    if (message == NULL) {
        sim_broken(ledger, "a message that nobody sent");
        return;
    }
    check_bytes(ledger, message, content);
    for (unsigned i = 0; i < message->rcpt_count; i++) {
        for (unsigned j = 0; j < message->rcpts[i].fate_count; j++) {
            sim_fate *fate = &message->rcpts[i].fates[j];

            if (leads_to(fate->address, user, domain)) {
                check_trace(ledger, message, fate, content);
                fate->copies++;
                check_fate(ledger, message, &message->rcpts[i], fate);
                return;
            }
        }
    }
    sim_broken(ledger, "message %u came to a stranger: %s@%s", message->id, user, domain);
}

static sim_copy *find_copy(const sim_ledger *ledger, const char *key, uint64_t hash)
{
    for (table_entry *e = table_first(&ledger->copies, hash); e != NULL; e = table_next(e)) {
        sim_copy *copy = LIST_OWNER(e, sim_copy, by_key);

        if (strcmp(copy->key, key) == 0) {
            return copy;
        }
    }
    return NULL;
}

sim_copy *sim_ledger_seen(sim_ledger *ledger, const char *user, const char *domain, const char *uid,
                          mail_span content)
{
    uint64_t sum = hash_bytes(&no_seed, content);
    char key[160];
    uint64_t hash;
    sim_copy *copy;

    snprintf(key, sizeof(key), "%s@%s %s", user, domain, uid);
    hash = hash_bytes(&no_seed, mail_span_text(key));
    copy = find_copy(ledger, key, hash);
    if (copy != NULL) {
        if (copy->sum != sum) {
            sim_broken(ledger, "%s stands for another message than before", key);
        }
        return copy;
    }
    copy = calloc(1, sizeof(*copy));
    assert_non_null(copy);
    memcpy(copy->key, key, sizeof(key));
    copy->sum = sum;
    assert_int_equal(table_insert(&ledger->copies, &copy->by_key, hash), MAIL_OK);
    if (is_report(content)) {
        take_report(ledger, content);
    } else {
        take_copy(ledger, user, domain, content);
    }
    return copy;
}

void sim_ledger_taken(sim_ledger *ledger, const char *address, mail_span content)
{
    sim_message *message = message_in(ledger, content);
    sim_rcpt *rcpt = message != NULL ? rcpt_of(message, mail_span_text(address)) : NULL;
    sim_fate *fate = fate_in(rcpt, mail_span_text(address));

    if (fate == NULL) {
        sim_broken(ledger, "a message for %s that nobody sent", address);
        return;
    }
    check_bytes(ledger, message, content);
    check_trace(ledger, message, NULL, content);
    fate->copies++;
    check_fate(ledger, message, rcpt, fate);
}

/* The end of a recipient: in exactly one way, except for what was done twice. */
static void end_fate(sim_ledger *ledger, const sim_message *message, const sim_rcpt *rcpt,
                     const sim_fate *fate)
{
    unsigned total = fate->copies + fate->reports + fate->dropped;

    if (total == 0 && rcpt->accepted && !fate->may_vanish) {
        sim_broken(ledger, "message %u for %s is lost", message->id, fate->address);
    }
    if (total > 0 && !rcpt->accepted && !rcpt->maybe) {
        sim_broken(ledger, "message %u for %s came of nothing", message->id, fate->address);
    }
    if (fate->dropped > 0 && message->sender[0] != '\0' && !rcpt->never &&
        !is_discarded(mail_span_text(fate->address))) {
        sim_broken(ledger, "message %u for %s was dropped", message->id, fate->address);
    }
    ledger->duplicates += total > 1 ? total - 1 : 0;
    ledger->delivered += fate->copies > 0;
    ledger->reported += fate->reports > 0;
    ledger->dropped += fate->dropped > 0;
    ledger->vanished += total == 0 && rcpt->accepted;
}

static void check_copy(table_entry *entry, void *arg)
{
    const sim_copy *copy = LIST_OWNER(entry, sim_copy, by_key);
    const sim_ledger *ledger = arg;

    if (!copy->is_seen && !copy->may_go) {
        sim_broken(ledger, "%s is gone, and nobody removed it", copy->key);
    }
    if (copy->is_seen && copy->is_gone && ledger->outage_count == 0) {
        sim_broken(ledger, "%s was removed and is still there", copy->key);
    }
}

void sim_ledger_check(sim_ledger *ledger)
{
    for (unsigned i = 0; i < ledger->count; i++) {
        const sim_message *message = &ledger->messages[i];

        for (unsigned j = 0; j < message->rcpt_count; j++) {
            const sim_rcpt *rcpt = &message->rcpts[j];

            for (unsigned k = 0; k < rcpt->fate_count; k++) {
                end_fate(ledger, message, rcpt, &rcpt->fates[k]);
            }
        }
    }
    if (ledger->lost_reports > 0) {
        sim_broken(ledger, "%u reports got lost", ledger->lost_reports);
    }
    table_each(&ledger->copies, check_copy, ledger);
}
