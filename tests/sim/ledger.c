/* SPDX-License-Identifier: MIT */
#include "sim/ledger.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "support/support.h"

#define TAG "X-Sim: "

static const hash_seed no_seed;

void sim_ledger_init(sim_ledger *ledger, sim_world *world, unsigned messages)
{
    *ledger = (sim_ledger){.world = world, .count = messages};
    ledger->messages = calloc(messages, sizeof(*ledger->messages));
    assert_non_null(ledger->messages);
    table_init(&ledger->copies, NULL);
}

static void free_copy(table_entry *entry, void *arg)
{
    (void)arg;
    free(LIST_OWNER(entry, sim_copy, by_key));
}

void sim_ledger_deinit(sim_ledger *ledger)
{
    table_each(&ledger->copies, free_copy, NULL);
    table_deinit(&ledger->copies);
    free(ledger->messages);
    free(ledger->crashes);
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

static size_t size_of(unsigned id)
{
    uint64_t dice = mix(id + 1);
    size_t most = dice % 100 < 90 ? 3000 : dice % 100 < 98 ? 20000 : 80000;

    return 100 + (size_t)(mix(dice) % most);
}

/* Lines of different lengths, some of them with dots in front. */
char *sim_ledger_body(unsigned id, size_t *length)
{
    size_t size = size_of(id);
    char *text = malloc(size + 400);
    uint64_t state = id;
    size_t at;

    assert_non_null(text);
    at = (size_t)snprintf(text, 200, TAG "%u\r\nSubject: message %u\r\n\r\n", id, id);
    while (at < size) {
        uint64_t dice = mix(++state * 0x9e3779b97f4a7c15U + id);
        size_t line = dice % 71;

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
    const char *dot = memchr(address.data, '.', address.length);
    const char *at = memchr(address.data, '@', address.length);

    return dot != NULL && at != NULL && dot < at ? message_of(ledger, strtoul(dot + 1, NULL, 10))
                                                 : NULL;
}

static sim_fate *fate_of(sim_message *message, mail_span address)
{
    for (unsigned i = 0; i < message->rcpt_count; i++) {
        sim_rcpt *rcpt = &message->rcpts[i];

        for (unsigned j = 0; j < rcpt->fate_count; j++) {
            if (mail_span_equal_nocase(mail_span_text(rcpt->fates[j].address), address)) {
                return &rcpt->fates[j];
            }
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

static bool is_discarded(mail_span address)
{
    static const char domain[] = "@discard.example";
    size_t length = strlen(domain);

    return address.length > length &&
           memcmp(address.data + address.length - length, domain, length) == 0;
}

void sim_ledger_log(sim_ledger *ledger, const char *what, const mail_log_field *fields,
                    size_t count)
{
    mail_span to = field_of(fields, count, "to");
    sim_message *message;
    sim_fate *fate;

    if (to.length == 0) {
        return;
    }
    message = message_of_address(ledger, to);
    if (strcmp(what, "deferred, may come twice") == 0) {
        ledger->loose_ambiguous += message == NULL ? 1 : 0;
        if (message != NULL) {
            message->is_ambiguous = true;
        }
    }
    if (message == NULL) {
        return;
    }
    message->last = ledger->world->now;
    fate = fate_of(message, to);
    if (strcmp(what, "failed, not reported") == 0 && fate == NULL) {
        ledger->lost_reports++;
    } else if (fate != NULL && (strcmp(what, "failed, not reported") == 0 ||
                                (strcmp(what, "sent") == 0 && is_discarded(to)))) {
        fate->dropped++;
    }
}

void sim_ledger_crash(sim_ledger *ledger)
{
    ledger->crashes =
        realloc(ledger->crashes, (ledger->crash_count + 1) * sizeof(*ledger->crashes));
    assert_non_null(ledger->crashes);
    ledger->crashes[ledger->crash_count++] = ledger->world->now;
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
    char *body = sim_ledger_body(message->id, &length);

    if (!mail_span_equal(rest, mail_span_of(body, length))) {
        sim_broken(ledger, "message %u changed on its way", message->id);
    }
    free(body);
}

/* The recipient as it was submitted, which may be an alias, or NULL. */
static sim_rcpt *rcpt_of(sim_message *message, mail_span address)
{
    for (unsigned i = 0; i < message->rcpt_count; i++) {
        if (mail_span_equal_nocase(mail_span_text(message->rcpts[i].address), address)) {
            return &message->rcpts[i];
        }
    }
    return NULL;
}

static void count_report(const sim_ledger *ledger, sim_message *message, mail_span address)
{
    sim_fate *fate = fate_of(message, address);
    sim_rcpt *rcpt = rcpt_of(message, address);

    if (fate != NULL) {
        fate->reports++;
    } else if (rcpt != NULL) { /* an alias that was not reached speaks for all it stands for */
        for (unsigned i = 0; i < rcpt->fate_count; i++) {
            rcpt->fates[i].reports++;
        }
    } else {
        sim_broken(ledger, "message %u: a report on a stranger: %.*s", message->id,
                   (int)address.length, address.data);
    }
}

/* Each group of a report speaks of one recipient (RFC 3464, section 2.3). */
static void count_reports(const sim_ledger *ledger, sim_message *message, mail_span content)
{
    static const char key[] = "\r\nFinal-Recipient: rfc822; ";
    const char *at;

    while ((at = find(content, key)) != NULL) {
        mail_span address = mail_span_text("");
        const char *next;
        const char *action;

        content = mail_span_from(content, (size_t)(at + strlen(key) - content.data));
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
        message->last = ledger->world->now;
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
                fate->copies++;
                return;
            }
        }
    }
    sim_broken(ledger, "message %u came to a stranger: %s@%s", message->id, user, domain);
}

sim_copy *sim_ledger_seen(sim_ledger *ledger, const char *user, const char *domain, const char *uid,
                          mail_span content)
{
    char key[160];
    uint64_t hash;
    sim_copy *copy;

    snprintf(key, sizeof(key), "%s@%s %s", user, domain, uid);
    hash = hash_bytes(&no_seed, mail_span_text(key));
    for (table_entry *e = table_first(&ledger->copies, hash); e != NULL; e = table_next(e)) {
        copy = LIST_OWNER(e, sim_copy, by_key);
        if (strcmp(copy->key, key) == 0) {
            return copy;
        }
    }
    copy = calloc(1, sizeof(*copy));
    assert_non_null(copy);
    memcpy(copy->key, key, sizeof(key));
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
    sim_fate *fate = message != NULL ? fate_of(message, mail_span_text(address)) : NULL;

    if (fate == NULL) {
        sim_broken(ledger, "a message for %s that nobody sent", address);
        return;
    }
    check_bytes(ledger, message, content);
    message->last = ledger->world->now;
    fate->copies++;
}

/* A final reply was lost, or a host crashed while the message was under way. */
static bool is_excused(const sim_ledger *ledger, const sim_message *message, const sim_rcpt *rcpt)
{
    if (message->is_ambiguous || (rcpt->fate_count > 1 && ledger->loose_ambiguous > 0) ||
        (strcmp(rcpt->address, rcpt->fates[0].address) != 0 && ledger->loose_ambiguous > 0) ||
        ledger->disk_faults > 0) {
        return true;
    }
    for (unsigned i = 0; i < ledger->crash_count; i++) {
        if (ledger->crashes[i] >= message->begun &&
            ledger->crashes[i] <= message->last + MAIL_MINUTE) {
            return true;
        }
    }
    return false;
}

static void check_fate(sim_ledger *ledger, const sim_message *message, const sim_rcpt *rcpt,
                       const sim_fate *fate)
{
    unsigned kinds = (fate->copies > 0) + (fate->reports > 0) + (fate->dropped > 0);
    unsigned total = fate->copies + fate->reports + fate->dropped;

    if (kinds == 0 && rcpt->accepted) {
        sim_broken(ledger, "message %u for %s is lost", message->id, fate->address);
    }
    if (total > 0 && !rcpt->accepted && !rcpt->maybe) {
        sim_broken(ledger, "message %u for %s came of nothing", message->id, fate->address);
    }
    if (fate->must_fail && fate->copies > 0) {
        sim_broken(ledger, "message %u came to %s", message->id, fate->address);
    }
    if (fate->must_come && fate->reports + fate->dropped > 0) {
        sim_broken(ledger, "message %u for %s was given up", message->id, fate->address);
    }
    if (fate->dropped > 0 && message->sender[0] != '\0' && !rcpt->never &&
        !is_discarded(mail_span_text(fate->address))) {
        sim_broken(ledger, "message %u for %s was dropped", message->id, fate->address);
    }
    if (total > 1) {
        ledger->duplicates += total - 1;
        if (!is_excused(ledger, message, rcpt)) {
            sim_broken(ledger, "message %u for %s: %u copies, %u reports, %u times dropped",
                       message->id, fate->address, fate->copies, fate->reports, fate->dropped);
        }
    }
    ledger->delivered += fate->copies > 0;
    ledger->reported += fate->reports > 0;
    ledger->dropped += fate->dropped > 0;
}

static void check_copy(table_entry *entry, void *arg)
{
    const sim_copy *copy = LIST_OWNER(entry, sim_copy, by_key);
    const sim_ledger *ledger = arg;

    if (!copy->is_seen && !copy->may_go) {
        sim_broken(ledger, "%s is gone, and nobody removed it", copy->key);
    }
    if (copy->is_seen && copy->is_gone && ledger->crash_count == 0) {
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
                check_fate(ledger, message, rcpt, &rcpt->fates[k]);
            }
        }
    }
    if (ledger->lost_reports > 0) {
        sim_broken(ledger, "%u reports got lost", ledger->lost_reports);
    }
    table_each(&ledger->copies, check_copy, ledger);
}
