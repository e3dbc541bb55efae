/* SPDX-License-Identifier: MIT */
#include "world/chronicle.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

#define WHO_SIZE 800
#define WHY_SIZE 200

typedef enum state {
    AT_SENDER, /* nobody has taken it */
    WAITING,   /* at a host */
    DELIVERED,
    FAILED
} state;

/* A message on its way to one recipient. */
typedef struct fate {
    const mail_path *rcpt;
    state state;
    mail_time since;
    unsigned copies;
    bool is_read;
    bool is_told;                /* the sender has a report that it failed */
    char host[MAIL_DOMAIN_SIZE]; /* WAITING: where */
    char why[WHY_SIZE];          /* it failed or waits; empty: unknown */
} fate;

typedef struct message {
    const story_event *event;
    mail_time sent_at;
    fate *fates;
    unsigned reports;
} message;

typedef struct report {
    struct report *next;
    size_t message;
    unsigned number;
    char id[128]; /* its Message-ID */
} report;

struct chronicle {
    const story *story;
    const sim_world *world;
    FILE *out; /* NULL: closed */
    int width; /* of who does something to whom */
    message *messages;
    size_t count;
    fate *fates;
    report *reports;
};

static int width_for(const story *st)
{
    size_t longest = 0;

    for (size_t i = 0; i < st->host_count; i++) {
        size_t length = strlen(st->hosts[i].name);

        longest = length > longest ? length : longest;
    }
    return longest < 24 ? (int)(2 * longest + 4) : 52;
}

static void add_messages(chronicle *ch)
{
    fate *next = ch->fates;

    for (size_t i = 0; i < ch->story->event_count; i++) {
        const story_event *event = &ch->story->events[i];

        if (event->deed != STORY_SENDS) {
            continue;
        }
        ch->messages[ch->count++] = (message){.event = event, .fates = next};
        for (size_t k = 0; k < event->rcpt_count; k++) {
            (next++)->rcpt = &ch->story->rcpts[event->first_rcpt + k];
        }
    }
}

chronicle *chronicle_create(const story *st, const sim_world *world, FILE *out)
{
    chronicle *ch = calloc(1, sizeof(*ch));

    if (ch == NULL) {
        return NULL;
    }
    *ch = (chronicle){.story = st, .world = world, .out = out, .width = width_for(st)};
    ch->messages = calloc(st->event_count + 1, sizeof(*ch->messages));
    ch->fates = calloc(st->rcpt_count + 1, sizeof(*ch->fates));
    if (ch->messages == NULL || ch->fates == NULL) {
        chronicle_destroy(ch);
        return NULL;
    }
    add_messages(ch);
    return ch;
}

void chronicle_destroy(chronicle *ch)
{
    while (ch->reports != NULL) {
        report *next = ch->reports->next;

        free(ch->reports);
        ch->reports = next;
    }
    free(ch->messages);
    free(ch->fates);
    free(ch);
}

void chronicle_close(chronicle *ch)
{
    ch->out = NULL;
}

size_t chronicle_message_count(const chronicle *ch)
{
    return ch->count;
}

const story_event *chronicle_message(const chronicle *ch, size_t index)
{
    return ch->messages[index].event;
}

void chronicle_label(size_t index, char out[24])
{
    snprintf(out, 24, "m%zu", index + 1);
}

/* `00:04:30.120`, with the days in front if there are any. */
static void print_clock(mail_duration span, char out[48])
{
    int64_t seconds = span / MAIL_SECOND;
    int64_t days = seconds / 86400;
    int n = days > 0 ? snprintf(out, 48, "%" PRId64 "d ", days) : 0;

    snprintf(out + n, (size_t)(48 - n), "%02d:%02d:%02d.%03d", (int)(seconds / 3600 % 24),
             (int)(seconds / 60 % 60), (int)(seconds % 60), (int)(span / MAIL_MILLISECOND % 1000));
}

void chronicle_print_span(mail_duration span, char out[48])
{
    static const struct {
        char letter;
        int64_t seconds;
    } units[] = {{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};
    int64_t left = span / MAIL_SECOND;
    int n = 0;

    for (size_t i = 0; i < MAIL_COUNT(units); i++) {
        if (left >= units[i].seconds) {
            n += snprintf(out + n, (size_t)(48 - n), "%" PRId64 "%c", left / units[i].seconds,
                          units[i].letter);
            left %= units[i].seconds;
        }
    }
    if (n == 0) {
        snprintf(out, 48, "0s");
    }
}

static void begin_line(const chronicle *ch)
{
    mail_duration at = sim_elapsed(ch->world);
    char text[48];

    print_clock(at % MAIL_DAY, text);
    fprintf(ch->out, "day %d %s  ", (int)(at / MAIL_DAY), text);
}

void chronicle_say(const chronicle *ch, const char *format, ...)
{
    va_list args;

    if (ch->out == NULL) {
        return;
    }
    begin_line(ch);
    va_start(args, format);
    vfprintf(ch->out, format, args);
    va_end(args);
    fputc('\n', ch->out);
}

/* `FROM -> TO`, so wide that what follows stands below one another. */
static const char *arrow(const chronicle *ch, const char *from, const char *to, char out[WHO_SIZE])
{
    char text[600];

    snprintf(text, sizeof(text), to[0] != '\0' ? "%s -> %s" : "%s", from, to);
    snprintf(out, WHO_SIZE, "%-*s", ch->width, text);
    return out;
}

static const mail_path *sender_of(const chronicle *ch, const message *ms)
{
    return &ch->story->mailboxes[ms->event->mailbox].address;
}

void chronicle_begins(const chronicle *ch, size_t index)
{
    message *ms = &ch->messages[index];
    char label[24];

    ms->sent_at = ch->world->now;
    for (size_t i = 0; i < ms->event->rcpt_count; i++) {
        ms->fates[i].state = AT_SENDER;
        ms->fates[i].since = ch->world->now;
    }
    if (ch->out == NULL) {
        return;
    }
    chronicle_label(index, label);
    begin_line(ch);
    fprintf(ch->out, "%s sends %s \"%s\" to", sender_of(ch, ms)->text, label, ms->event->subject);
    for (size_t i = 0; i < ms->event->rcpt_count; i++) {
        fprintf(ch->out, "%s %s", i > 0 ? "," : "", ms->fates[i].rcpt->text);
    }
    fputc('\n', ch->out);
}

static void move_on(const chronicle *ch, fate *ft, state to, const char *host, const char *why)
{
    if (ft->state == DELIVERED && to != DELIVERED) {
        return; /* another copy is on its way */
    }
    if (ft->state != to || strcmp(ft->host, host) != 0) {
        ft->since = ch->world->now;
    }
    ft->state = to;
    snprintf(ft->host, sizeof(ft->host), "%s", host);
    snprintf(ft->why, sizeof(ft->why), "%s", why);
}

/* What its sender's host says, or what keeps it from there. */
static void tell_brought(const chronicle *ch, size_t index, const fate *ft, const char *word,
                         const char *why)
{
    const message *ms = &ch->messages[index];
    char who[WHO_SIZE];
    char label[24];

    chronicle_label(index, label);
    arrow(ch, sender_of(ch, ms)->text, ch->story->hosts[ms->event->host].name, who);
    chronicle_say(ch, "%s  %s %s  %s: %s", who, label, ft->rcpt->text, word, why);
}

static void keep_back(const chronicle *ch, size_t index, fate *ft, const char *why)
{
    if (ft->state == AT_SENDER && strcmp(ft->why, why) != 0) {
        move_on(ch, ft, AT_SENDER, "", why);
        tell_brought(ch, index, ft, "later", why);
    }
}

void chronicle_lost(chronicle *ch, size_t index, const mail_reply *why)
{
    const message *ms = &ch->messages[index];
    char text[WHY_SIZE];

    mail_reply_print(why, text, sizeof(text));
    for (size_t i = 0; i < ms->event->rcpt_count; i++) {
        keep_back(ch, index, &ms->fates[i], text);
    }
}

void chronicle_brought(chronicle *ch, size_t index, size_t rcpt, const mail_outcome *outcome)
{
    const message *ms = &ch->messages[index];
    const char *host = ch->story->hosts[ms->event->host].name;
    fate *ft = &ms->fates[rcpt];
    char text[WHY_SIZE];

    mail_reply_print(&outcome->reply, text, sizeof(text));
    if (outcome->kind == MAIL_OUTCOME_ACCEPTED) {
        if (ft->state == AT_SENDER) { /* the reply may come after the message has gone on */
            move_on(ch, ft, WAITING, host, "");
        }
        tell_brought(ch, index, ft, "taken", text);
    } else if (outcome->kind == MAIL_OUTCOME_PERMANENT) {
        ft->is_told = true;
        move_on(ch, ft, FAILED, host, text);
        tell_brought(ch, index, ft, "refused", text);
    } else {
        keep_back(ch, index, ft, text);
    }
}

static mail_span after(mail_span text, const char *key)
{
    const char *at = text.length > 0 ? memmem(text.data, text.length, key, strlen(key)) : NULL;

    return at != NULL ? mail_span_from(text, (size_t)(at - text.data) + strlen(key))
                      : mail_span_of("", 0);
}

static size_t length_to(mail_span text, char c)
{
    const char *end = text.length > 0 ? memchr(text.data, c, text.length) : NULL;

    return end != NULL ? (size_t)(end - text.data) : text.length;
}

static mail_span line_of(mail_span text)
{
    return mail_span_first(text, length_to(text, '\r'));
}

/* Which message `content` is, or reports on; NULL: none of the story's. */
static message *find_message(const chronicle *ch, mail_span content)
{
    mail_span number = line_of(after(content, "\n" CHRONICLE_FIELD ": m"));
    size_t index = 0;

    for (size_t i = 0; i < number.length && i < 6; i++) {
        index = index * 10 + (size_t)(number.data[i] - '0');
    }
    return index > 0 && index <= ch->count ? &ch->messages[index - 1] : NULL;
}

static bool is_report(mail_span content)
{
    mail_span type = after(content, "\nContent-Type: multipart/report");
    mail_span body = after(content, "\r\n\r\n");

    return type.length > body.length;
}

static fate *find_fate(const message *ms, mail_span address)
{
    for (size_t i = 0; i < ms->event->rcpt_count; i++) {
        if (mail_span_equal(mail_path_text(ms->fates[i].rcpt), address)) {
            return &ms->fates[i];
        }
    }
    return NULL;
}

/* The next recipient in a report, and what it says of him; false: no more. */
static bool next_reported(mail_span *rest, mail_span *address, mail_span *action)
{
    *rest = after(*rest, "\nFinal-Recipient: rfc822; ");
    *address = line_of(*rest);
    *action = line_of(after(*rest, "\nAction: "));
    return address->length > 0;
}

/* The report's name; one that is new is told of. */
static void name_report(chronicle *ch, const char *host, message *ms, mail_span content,
                        char label[48])
{
    mail_span id = line_of(after(content, "\nMessage-ID: "));
    size_t index = (size_t)(ms - ch->messages);
    report *rp = ch->reports;
    mail_span rest = content;
    mail_span address;
    mail_span action;
    char who[WHO_SIZE];

    while (rp != NULL && (rp->message != index || !mail_span_equal(mail_span_text(rp->id), id))) {
        rp = rp->next;
    }
    if (rp != NULL) {
        snprintf(label, 48, "m%zu-r%u", index + 1, rp->number);
        return;
    }
    snprintf(label, 48, "m%zu-r%u", index + 1, ++ms->reports);
    while (next_reported(&rest, &address, &action)) {
        chronicle_say(ch, "%s  %s to %s: %.*s %.*s", arrow(ch, host, "", who), label,
                      sender_of(ch, ms)->text, (int)address.length, address.data,
                      (int)action.length, action.data);
    }
    rp = calloc(1, sizeof(*rp));
    if (rp != NULL) { /* without memory it is told of again */
        *rp = (report){.next = ch->reports, .message = index, .number = ms->reports};
        snprintf(rp->id, sizeof(rp->id), "%.*s", (int)id.length, id.data);
        ch->reports = rp;
    }
}

/* The sender has got a report. */
static void note_report(const message *ms, mail_span content)
{
    mail_span rest = content;
    mail_span address;
    mail_span action;

    while (next_reported(&rest, &address, &action)) {
        fate *ft = find_fate(ms, address);

        if (ft != NULL && mail_span_equal(action, MAIL_SPAN("failed"))) {
            ft->is_told = true;
        }
    }
}

static const char *word_for(const mail_delivery *delivery, bool keeps)
{
    if (delivery->kind == MAIL_OUTCOME_ACCEPTED) {
        return keeps ? "delivered" : "sent";
    }
    if (!delivery->is_final) {
        return "later";
    }
    return delivery->kind == MAIL_OUTCOME_PERMANENT ? "failed" : "given up";
}

static void note_fate(const chronicle *ch, fate *ft, const char *host, const char *next, bool keeps,
                      const mail_delivery *delivery, const char *reply)
{
    if (delivery->kind == MAIL_OUTCOME_ACCEPTED && keeps) {
        move_on(ch, ft, DELIVERED, host, "");
        ft->copies++;
    } else if (delivery->kind == MAIL_OUTCOME_ACCEPTED) {
        if (ft->state != WAITING || strcmp(ft->host, next) != 0) {
            move_on(ch, ft, WAITING, next, "");
        }
    } else {
        move_on(ch, ft, delivery->is_final ? FAILED : WAITING, host, reply);
    }
}

void chronicle_tried(chronicle *ch, const char *host, bool keeps, mail_span content,
                     const mail_delivery *delivery)
{
    message *ms = find_message(ch, content);
    bool reports = is_report(content);
    char reply[MAIL_REPLY_TEXT_SIZE];
    char who[WHO_SIZE];
    char next[MAIL_DOMAIN_SIZE];
    char label[48];
    fate *ft;

    if (ms == NULL) {
        return;
    }
    mail_reply_print(&delivery->reply, reply, sizeof(reply));
    snprintf(next, sizeof(next), "%.*s", (int)(keeps ? 0 : length_to(delivery->host, '[')),
             delivery->host.data);
    ft = reports ? NULL : find_fate(ms, delivery->recipient);
    if (ft != NULL) {
        note_fate(ch, ft, host, next, keeps, delivery, reply);
    }
    if (reports) {
        name_report(ch, host, ms, content, label);
        if (delivery->kind == MAIL_OUTCOME_ACCEPTED && keeps) {
            note_report(ms, content);
        }
    } else {
        chronicle_label((size_t)(ms - ch->messages), label);
    }
    chronicle_say(ch, "%s  %s %.*s  %s: %s", arrow(ch, host, next, who), label,
                  (int)delivery->recipient.length, delivery->recipient.data,
                  word_for(delivery, keeps), reply);
}

void chronicle_fetched(chronicle *ch, const story_mailbox *box, mail_span content)
{
    const char *host = ch->story->hosts[box->host].name;
    message *ms = find_message(ch, content);
    char who[WHO_SIZE];
    char label[48];
    fate *ft;

    if (ms == NULL) {
        return;
    }
    arrow(ch, host, box->address.text, who);
    if (is_report(content)) {
        name_report(ch, host, ms, content, label);
        chronicle_say(ch, "%s  %s read: a report on \"%s\"", who, label, ms->event->subject);
        return;
    }
    chronicle_label((size_t)(ms - ch->messages), label);
    ft = find_fate(ms, mail_path_text(&box->address));
    chronicle_say(ch, "%s  %s read%s: \"%s\" from %s", who, label,
                  ft != NULL && ft->is_read ? " again" : "", ms->event->subject,
                  sender_of(ch, ms)->text);
    if (ft != NULL) {
        ft->is_read = true;
    }
}

static void print_fate(const chronicle *ch, const message *ms, const fate *ft, int width)
{
    char span[48];

    print_clock(ft->since - ms->sent_at, span);
    fprintf(ch->out, "      %-*s  ", width, ft->rcpt->text);
    switch (ft->state) {
    case AT_SENDER:
        fputs("still with its sender", ch->out);
        break;
    case WAITING:
        fprintf(ch->out, "waits at %s", ft->host);
        break;
    case DELIVERED:
        fprintf(ch->out, "delivered after %s%s", span, ft->is_read ? ", read" : "");
        break;
    case FAILED:
        fprintf(ch->out, "failed after %s, %s", span,
                ft->is_told ? "the sender was told" : "the sender has not been told");
        break;
    }
    if (ft->copies > 1) {
        fprintf(ch->out, ", %u copies", ft->copies);
    }
    fprintf(ch->out, "%s%s\n", ft->why[0] != '\0' ? ": " : "", ft->why);
}

static int longest_rcpt(const story *st)
{
    int longest = 0;

    for (size_t i = 0; i < st->rcpt_count; i++) {
        longest = st->rcpts[i].length > longest ? st->rcpts[i].length : longest;
    }
    return longest < 50 ? longest : 50;
}

void chronicle_end(const chronicle *ch)
{
    static const struct {
        state state;
        const char *name;
    } words[] = {{DELIVERED, "delivered"},
                 {FAILED, "failed"},
                 {WAITING, "waiting"},
                 {AT_SENDER, "still with the sender"}};
    size_t counts[MAIL_COUNT(words)] = {0};
    const char *divider = ": ";

    fputs("\nWhat became of it\n", ch->out);
    for (size_t i = 0; i < ch->count; i++) {
        const message *ms = &ch->messages[i];

        fprintf(ch->out, "  m%zu  %s  \"%s\"\n", i + 1, sender_of(ch, ms)->text,
                ms->event->subject);
        for (size_t k = 0; k < ms->event->rcpt_count; k++) {
            print_fate(ch, ms, &ms->fates[k], longest_rcpt(ch->story));
            counts[ms->fates[k].state]++;
        }
    }
    fprintf(ch->out, "%zu recipients", ch->story->rcpt_count);
    for (size_t i = 0; i < MAIL_COUNT(words); i++) {
        if (counts[words[i].state] > 0) {
            fprintf(ch->out, "%s%zu %s", divider, counts[words[i].state], words[i].name);
            divider = ", ";
        }
    }
    fputc('\n', ch->out);
}
