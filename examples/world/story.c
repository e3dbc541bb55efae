/* SPDX-License-Identifier: MIT */
#include "world/story.h"

#include <stdlib.h>

#include "world/words.h"

static size_t find_host(const story *st, const char *name)
{
    size_t i = 0;

    while (i < st->host_count && strcmp(st->hosts[i].name, name) != 0) {
        i++;
    }
    return i;
}

static size_t find_domain(const story *st, const char *name)
{
    size_t i = 0;

    while (i < st->domain_count && strcmp(st->domains[i].name, name) != 0) {
        i++;
    }
    return i;
}

static size_t find_mailbox(const story *st, const mail_path *address)
{
    size_t i = 0;

    while (i < st->mailbox_count && !mail_path_equal(&st->mailboxes[i].address, address)) {
        i++;
    }
    return i;
}

/* The name of a host that was introduced before. */
static int take_host(words *ws, size_t *out)
{
    char name[MAIL_DOMAIN_SIZE];
    int code = words_take_domain(ws, name);

    if (code != MAIL_OK) {
        return code;
    }
    *out = find_host(ws->story, name);
    return *out < ws->story->host_count
               ? MAIL_OK
               : words_fail(ws, MAIL_EINVAL, "no host %s has been introduced", name);
}

static int take_mailbox(words *ws, size_t *out)
{
    mail_path address;
    int code = words_take_address(ws, &address);

    if (code != MAIL_OK) {
        return code;
    }
    *out = find_mailbox(ws->story, &address);
    return *out < ws->story->mailbox_count
               ? MAIL_OK
               : words_fail(ws, MAIL_EINVAL, "no mailbox %s has been introduced", address.text);
}

/* Takes what `take_one` takes, once or several times with commas between. */
static int take_list(words *ws, int (*take_one)(words *ws))
{
    int code;

    do {
        code = take_one(ws);
    } while (code == MAIL_OK && words_take(ws, ","));
    return code;
}

static int take_local_domain(words *ws)
{
    story *st = ws->story;
    story_domain *domain = &st->domains[st->domain_count];
    int code;

    if (st->domain_count == STORY_DOMAINS_MAX) {
        return words_fail_many(ws, "domains", STORY_DOMAINS_MAX);
    }
    code = words_take_domain(ws, domain->name);
    if (code != MAIL_OK) {
        return code;
    }
    if (find_domain(st, domain->name) < st->domain_count) {
        return words_fail(ws, MAIL_EINVAL, "%s has a host already", domain->name);
    }
    domain->host = st->host_count - 1;
    st->domain_count++;
    return MAIL_OK;
}

static int read_host(words *ws)
{
    story *st = ws->story;
    story_host *host = &st->hosts[st->host_count];
    int code;

    if (st->host_count == STORY_HOSTS_MAX) {
        return words_fail_many(ws, "hosts", STORY_HOSTS_MAX);
    }
    code = words_take_domain(ws, host->name);
    if (code != MAIL_OK) {
        return code;
    }
    if (find_host(st, host->name) < st->host_count) {
        return words_fail(ws, MAIL_EINVAL, "host %s has been introduced before", host->name);
    }
    st->host_count++;
    return words_take(ws, "for") ? take_list(ws, take_local_domain) : MAIL_OK;
}

static int read_mx(words *ws)
{
    story *st = ws->story;
    story_mx *mx = &st->mxs[st->mx_count];
    uint64_t preference = 0;
    int code;

    if (st->mx_count == STORY_MXS_MAX) {
        return words_fail_many(ws, "MX records", STORY_MXS_MAX);
    }
    code = words_take_domain(ws, mx->domain);
    if (code == MAIL_OK) {
        code = words_take_number(ws, UINT16_MAX, "a preference from 0 to 65535", &preference);
    }
    if (code == MAIL_OK) {
        code = take_host(ws, &mx->host);
    }
    mx->preference = (uint16_t)preference;
    st->mx_count += code == MAIL_OK ? 1 : 0;
    return code;
}

static int take_new_mailbox(words *ws)
{
    story *st = ws->story;
    story_mailbox *box = &st->mailboxes[st->mailbox_count];
    char domain[MAIL_DOMAIN_SIZE];
    size_t place;
    int code;

    if (st->mailbox_count == STORY_MAILBOXES_MAX) {
        return words_fail_many(ws, "mailboxes", STORY_MAILBOXES_MAX);
    }
    code = words_take_address(ws, &box->address);
    if (code != MAIL_OK) {
        return code;
    }
    if (box->address.text[0] == '"') {
        return words_fail(ws, MAIL_EINVAL, "a mailbox with quotation marks in its name");
    }
    if (find_mailbox(st, &box->address) < st->mailbox_count) {
        return words_fail(ws, MAIL_EINVAL, "mailbox %s has been introduced before",
                          box->address.text);
    }
    place = mail_domain_to_ascii(mail_path_domain(&box->address), domain) == MAIL_OK
                ? find_domain(st, domain)
                : st->domain_count;
    if (place == st->domain_count) {
        return words_fail(ws, MAIL_EINVAL, "no host is for the domain of %s", box->address.text);
    }
    box->host = st->domains[place].host;
    st->mailbox_count++;
    return MAIL_OK;
}

static int read_mailbox(words *ws)
{
    return take_list(ws, take_new_mailbox);
}

static int read_seed(words *ws)
{
    if (ws->has_seed) {
        return words_fail(ws, MAIL_EINVAL, "there is a seed already");
    }
    ws->has_seed = true;
    return words_take_number(ws, UINT64_MAX, "a number", &ws->story->seed);
}

static int read_until(words *ws)
{
    if (ws->story->length > 0) {
        return words_fail(ws, MAIL_EINVAL, "the end has been set already");
    }
    return words_take_span(ws, STORY_LENGTH_MAX, &ws->story->length);
}

static int take_rcpt(words *ws)
{
    story *st = ws->story;
    story_event *event = &st->events[st->event_count];
    mail_path *rcpt = &st->rcpts[st->rcpt_count];
    int code;

    if (event->rcpt_count == STORY_MESSAGE_RCPTS_MAX) {
        return words_fail_many(ws, "recipients of a message", STORY_MESSAGE_RCPTS_MAX);
    }
    if (st->rcpt_count == STORY_RCPTS_MAX) {
        return words_fail_many(ws, "recipients in all", STORY_RCPTS_MAX);
    }
    code = words_take_address(ws, rcpt);
    if (code != MAIL_OK) {
        return code;
    }
    for (size_t i = event->first_rcpt; i < st->rcpt_count; i++) {
        if (mail_path_equal(&st->rcpts[i], rcpt)) {
            return words_fail(ws, MAIL_EINVAL, "%s is a recipient twice", rcpt->text);
        }
    }
    event->rcpt_count++;
    st->rcpt_count++;
    return MAIL_OK;
}

static int read_sends(words *ws, story_event *event)
{
    int code = words_take_text(ws, event->subject, sizeof(event->subject));

    event->deed = STORY_SENDS;
    event->first_rcpt = ws->story->rcpt_count;
    if (code == MAIL_OK) {
        code = words_expect(ws, "to");
    }
    return code == MAIL_OK ? take_list(ws, take_rcpt) : code;
}

static int read_reads(words *ws, story_event *event)
{
    int code = words_expect(ws, "mail");

    event->deed = STORY_READS;
    event->leaves_mail = words_take(ws, "leaving");
    return code == MAIL_OK && event->leaves_mail ? words_expect(ws, "it there") : code;
}

/* ADDRESS sends …, ADDRESS reads … */
static int read_mailbox_event(words *ws, story_event *event)
{
    int code = take_mailbox(ws, &event->mailbox);

    if (code != MAIL_OK) {
        return code;
    }
    event->host = ws->story->mailboxes[event->mailbox].host;
    if (words_take(ws, "sends")) {
        return read_sends(ws, event);
    }
    return words_take(ws, "reads") ? read_reads(ws, event)
                                   : words_fail_expected(ws, "\"sends\" or \"reads\"");
}

static int read_power(words *ws, story_event *event)
{
    event->deed = STORY_POWER;
    return words_expect(ws, "loses power");
}

static int read_disk(words *ws, story_event *event)
{
    event->deed = STORY_DISK;
    return words_expect(ws, "is full");
}

/* Things that befall a host: `TEXT NAME …`, and most of them `for TIME`. */
static int read_host_event(words *ws, story_event *event, const char *text,
                           int (*rest)(words *ws, story_event *event))
{
    int code = words_expect(ws, text);

    if (code == MAIL_OK) {
        code = take_host(ws, &event->host);
    }
    if (code == MAIL_OK) {
        code = rest(ws, event);
    }
    if (code == MAIL_OK) {
        code = words_expect(ws, "for");
    }
    return code == MAIL_OK ? words_take_span(ws, STORY_LENGTH_MAX, &event->span) : code;
}

static int read_clock(words *ws, story_event *event)
{
    bool is_back;
    int code = words_expect(ws, "clock of");

    event->deed = STORY_CLOCK;
    if (code == MAIL_OK) {
        code = take_host(ws, &event->host);
    }
    if (code == MAIL_OK) {
        code = words_expect(ws, "jumps");
    }
    if (code != MAIL_OK) {
        return code;
    }
    is_back = ws->at < ws->count && ws->words[ws->at].data[0] == '-';
    if (!is_back && (ws->at == ws->count || ws->words[ws->at].data[0] != '+')) {
        return words_fail_expected(ws, "a jump such as +1y or -2h");
    }
    ws->words[ws->at] = mail_span_from(ws->words[ws->at], 1);
    code = words_take_span(ws, STORY_JUMP_MAX, &event->span);
    event->span = is_back ? -event->span : event->span;
    return code;
}

static int read_servfail(words *ws, story_event *event)
{
    int code = words_expect(ws, "dns");

    event->deed = STORY_SERVFAIL;
    if (code == MAIL_OK) {
        code = words_take_domain(ws, event->domain);
    }
    if (code == MAIL_OK) {
        code = words_expect(ws, "servfail for");
    }
    return code == MAIL_OK ? words_take_span(ws, STORY_LENGTH_MAX, &event->span) : code;
}

static int read_deed(words *ws, story_event *event)
{
    if (words_is_next(ws, "host")) {
        return read_host_event(ws, event, "host", read_power);
    }
    if (words_is_next(ws, "disk")) {
        return read_host_event(ws, event, "disk of", read_disk);
    }
    if (words_is_next(ws, "clock")) {
        return read_clock(ws, event);
    }
    if (words_is_next(ws, "dns")) {
        return read_servfail(ws, event);
    }
    if (ws->at < ws->count && memchr(ws->words[ws->at].data, '@', ws->words[ws->at].length)) {
        return read_mailbox_event(ws, event);
    }
    return words_fail_expected(ws, "an address, \"host\", \"disk\", \"clock\" or \"dns\"");
}

static int read_at(words *ws)
{
    story *st = ws->story;
    story_event *event = &st->events[st->event_count];
    int code;

    if (st->event_count == STORY_EVENTS_MAX) {
        return words_fail_many(ws, "events", STORY_EVENTS_MAX);
    }
    event->line = ws->line;
    code = words_take_span(ws, STORY_LENGTH_MAX, &event->at);
    if (code == MAIL_OK) {
        code = read_deed(ws, event);
    }
    st->event_count += code == MAIL_OK ? 1 : 0;
    return code;
}

static int read_line(words *ws)
{
    static const struct {
        const char *word;
        int (*read)(words *ws);
    } statements[] = {
        {"at", read_at}, {"host", read_host}, {"mailbox", read_mailbox},
        {"mx", read_mx}, {"seed", read_seed}, {"until", read_until},
    };

    for (size_t i = 0; i < MAIL_COUNT(statements); i++) {
        if (words_take(ws, statements[i].word)) {
            int code = statements[i].read(ws);

            return code == MAIL_OK && ws->at < ws->count
                       ? words_fail_expected(ws, "the end of the line")
                       : code;
        }
    }
    return words_fail_expected(ws, "\"at\", \"host\", \"mailbox\", \"mx\", \"seed\" or \"until\"");
}

static int check_line(const words *ws, mail_span line)
{
    if (line.length > STORY_LINE_MAX) {
        return words_fail(ws, MAIL_ELIMIT, "a line of more than %d octets", (int)STORY_LINE_MAX);
    }
    for (size_t i = 0; i < line.length; i++) {
        unsigned char c = (unsigned char)line.data[i];

        if ((c < ' ' && c != '\t') || c == 0x7f) {
            return words_fail(ws, MAIL_EINVAL, "a control character");
        }
    }
    return MAIL_OK;
}

static int by_time(const void *a, const void *b)
{
    const story_event *x = a;
    const story_event *y = b;

    return x->at != y->at ? (x->at < y->at ? -1 : 1) : x->line < y->line ? -1 : x->line > y->line;
}

static int check_end(words *ws)
{
    story *st = ws->story;

    if (st->length == 0) {
        return mail_error_set(ws->err, MAIL_EINVAL, "%s: no \"until\" says when the story ends",
                              ws->source);
    }
    for (size_t i = 0; i < st->event_count; i++) {
        if (st->events[i].at >= st->length) {
            ws->line = st->events[i].line;
            return words_fail(ws, MAIL_EINVAL, "the story ends before this happens");
        }
    }
    qsort(st->events, st->event_count, sizeof(*st->events), by_time);
    return MAIL_OK;
}

int story_read(story *out, mail_span text, const char *source, mail_error *err)
{
    words ws = {.story = out, .source = source, .err = err};

    memset(out, 0, sizeof(*out));
    out->seed = 1;
    while (text.length > 0) {
        const char *end = memchr(text.data, '\n', text.length);
        size_t length = end != NULL ? (size_t)(end - text.data) : text.length;
        mail_span line = mail_span_first(text, length);
        int code;

        text = mail_span_from(text, end != NULL ? length + 1 : length);
        line.length -= line.length > 0 && line.data[line.length - 1] == '\r' ? 1 : 0;
        ws.line++;
        code = check_line(&ws, line);
        if (code == MAIL_OK) {
            code = words_cut(&ws, line);
        }
        if (code == MAIL_OK && ws.count > 0) {
            code = read_line(&ws);
        }
        if (code != MAIL_OK) {
            return code;
        }
    }
    return check_end(&ws);
}
