/* SPDX-License-Identifier: MIT */
#include "world/play.h"

#include <stdlib.h>

#include <mail/compose.h>

#include "sim/dns.h"
#include "sim/pop3.h"
#include "sim/relay.h"
#include "sim/sender.h"
#include "support/support.h"
#include "world/chronicle.h"
#include "world/zone.h"

/* Nobody ever guesses it. */
#define PASSWORD "secret"

#define ROOMY       ((uint64_t)1 << 40)
#define CONTENT_MAX ((size_t)256 << 10)

/* How long somebody waits for his mail. */
#define PATIENCE (20 * MAIL_MINUTE)

typedef struct play play;

typedef struct play_host {
    play *play;
    sim_relay relay;
    mail_span domains[STORY_DOMAINS_MAX];
    size_t domain_count;
    char *accounts;
} play_host;

typedef struct play_message {
    play *play;
    size_t index;
    mail_envelope envelope;
    mail_sink_memory content;
    sim_sender *sender; /* NULL: not begun, or over */
} play_message;

typedef struct play_event {
    play *play;
    const story_event *event;
    play_message *message; /* SENDS */
    sim_event ends;
    bool is_on; /* lasts now */
} play_event;

/* Somebody at his mailbox. */
typedef struct play_reading {
    play *play;
    const story_event *event;
    unsigned count;
} play_reading;

struct play {
    const story *story;
    const char *source;
    chronicle *told;
    sim_world world;
    sim_dns dns;
    sim_host people; /* where those who write and read sit */
    sim_loop loop;
    play_host hosts[STORY_HOSTS_MAX];
    size_t host_count; /* made so far */
    play_event events[STORY_EVENTS_MAX];
    play_message messages[STORY_EVENTS_MAX];
    char zone[ZONE_SIZE];
    char content[CONTENT_MAX];
};

static bool has_servfail(const char *name, void *arg)
{
    const play *pl = arg;

    for (size_t i = 0; i < pl->story->event_count; i++) {
        const play_event *ev = &pl->events[i];

        if (ev->event->deed == STORY_SERVFAIL && ev->is_on &&
            zone_is_below(name, ev->event->domain)) {
            return true;
        }
    }
    return false;
}

static size_t find_mailbox(const play_host *ph, const mail_path *address)
{
    const story *st = ph->play->story;
    size_t host = (size_t)(ph - ph->play->hosts);
    size_t i = 0;

    while (i < st->mailbox_count && (st->mailboxes[i].host != host ||
                                     !mail_path_equal(&st->mailboxes[i].address, address))) {
        i++;
    }
    return i;
}

static int mailbox_of(const mail_path *address, char path[MAIL_MAILBOX_PATH_SIZE], void *arg)
{
    const play_host *ph = arg;

    return find_mailbox(ph, address) < ph->play->story->mailbox_count
               ? mail_mailbox_path("mail", address, path)
               : MAIL_ENOENT;
}

static bool is_local(const play_host *ph, mail_span domain)
{
    for (size_t i = 0; i < ph->domain_count; i++) {
        if (mail_span_equal_nocase(ph->domains[i], domain)) {
            return true;
        }
    }
    return false;
}

/* As much of a message as tells which one it is. */
static mail_span read_message(play *pl, mail_queue *queue, const char *id)
{
    mail_source *source;
    mail_span span;
    size_t length = 0;

    if (mail_queue_read(queue, id, &source) != MAIL_OK) {
        return mail_span_of("", 0);
    }
    while (mail_source_peek(source, &span) == MAIL_OK && span.length > 0) {
        size_t n = span.length < CONTENT_MAX - length ? span.length : CONTENT_MAX - length;

        memcpy(pl->content + length, span.data, n);
        length += n;
        mail_source_drop(source, span.length);
    }
    mail_source_close(source);
    return mail_span_of(pl->content, length);
}

static void on_delivery(const mail_delivery *delivery, void *arg)
{
    const play_host *ph = arg;

    chronicle_tried(ph->play->told, ph->relay.name,
                    is_local(ph, mail_address_domain(delivery->recipient)),
                    read_message(ph->play, ph->relay.queue, delivery->queue_id), delivery);
}

static int write_accounts(play_host *ph)
{
    const story *st = ph->play->story;
    size_t size = 1;
    size_t used = 0;

    for (size_t i = 0; i < st->mailbox_count; i++) {
        size += st->mailboxes[i].address.length + sizeof(":{PLAIN}" PASSWORD "\n");
    }
    ph->accounts = calloc(1, size);
    if (ph->accounts == NULL) {
        return MAIL_ENOMEM;
    }
    for (size_t i = 0; i < st->mailbox_count; i++) {
        if (st->mailboxes[i].host == (size_t)(ph - ph->play->hosts)) {
            used += (size_t)snprintf(ph->accounts + used, size - used, "%s:{PLAIN}" PASSWORD "\n",
                                     st->mailboxes[i].address.text);
        }
    }
    return MAIL_OK;
}

/* Each host trusts the others, so that it can stand in for one that is down. */
static int make_host(play *pl, size_t index)
{
    const story *st = pl->story;
    play_host *ph = &pl->hosts[index];
    int code;

    ph->play = pl;
    for (size_t i = 0; i < st->domain_count; i++) {
        if (st->domains[i].host == index) {
            ph->domains[ph->domain_count++] = mail_span_text(st->domains[i].name);
        }
    }
    code = write_accounts(ph);
    if (code != MAIL_OK) {
        return code;
    }
    sim_relay_init(&ph->relay, &pl->world,
                   &(sim_relay_options){
                       .name = st->hosts[index].name,
                       .address = zone_address(index),
                       .dns = {pl->dns.host.address, 53},
                       .domains = ph->domains,
                       .domain_count = ph->domain_count,
                       .accounts = ph->accounts,
                       .mailbox_of = mailbox_of,
                       .clients = {{4, {10, 0, 0, 0}, 0}, 8},
                       .on_delivery = on_delivery,
                       .arg = ph,
                   });
    pl->host_count++;
    return MAIL_OK;
}

static void join_rcpts(const story *st, const story_event *event, char *out, size_t size)
{
    size_t used = 0;

    for (size_t i = 0; i < event->rcpt_count; i++) {
        used += (size_t)snprintf(out + used, size - used, "%s%s", i > 0 ? ", " : "",
                                 st->rcpts[event->first_rcpt + i].text);
    }
}

/* All are composed before the first is sent, so that a story is played whole or not at all. */
static int compose(play_message *pm, mail_error *err)
{
    play *pl = pm->play;
    const story_event *event = chronicle_message(pl->told, pm->index);
    char to[STORY_MESSAGE_RCPTS_MAX * (MAIL_PATH_MAX + 3)];
    char label[24];
    const mail_draft_field field = {CHRONICLE_FIELD, label};
    const mail_draft draft = {
        .from = pl->story->mailboxes[event->mailbox].address.text,
        .to = to,
        .subject = event->subject,
        .text = "This is a message of a story.\n",
        .fields = &field,
        .field_count = 1,
    };
    const mail_submission submission = {
        .hostname = mail_span_text(pl->story->hosts[event->host].name),
        .when = sim_wall(&pl->world) + event->at / MAIL_SECOND,
        .random = &pl->world.random,
    };
    mail_error why;
    int code;

    join_rcpts(pl->story, event, to, sizeof(to));
    chronicle_label(pm->index, label);
    code = mail_draft_compose(&draft, &submission, &pm->content, &pm->envelope, &why);
    return code == MAIL_OK
               ? code
               : mail_error_set(err, code, "%s:%u: %s", pl->source, event->line, why.text);
}

static int make_messages(play *pl, mail_error *err)
{
    int code = MAIL_OK;

    for (size_t i = 0; i < chronicle_message_count(pl->told); i++) {
        play_message *pm = &pl->messages[i];

        *pm = (play_message){.play = pl, .index = i};
        mail_envelope_init(&pm->envelope, NULL);
        mail_sink_memory_init(&pm->content, NULL, CONTENT_MAX);
        code = code == MAIL_OK ? compose(pm, err) : code;
    }
    return code;
}

static void on_outcome(size_t index, const mail_outcome *outcome, void *arg)
{
    const play_message *pm = arg;

    chronicle_brought(pm->play->told, pm->index, index, outcome);
}

static void on_lost(const mail_reply *why, void *arg)
{
    const play_message *pm = arg;

    chronicle_lost(pm->play->told, pm->index, why);
}

static void on_sent(void *arg)
{
    ((play_message *)arg)->sender = NULL;
}

static void send_message(play_message *pm, const story_event *event)
{
    play *pl = pm->play;

    chronicle_begins(pl->told, pm->index);
    pm->sender = sim_sender_start(&(sim_sender_options){
        .loop = &pl->loop,
        .from = &pl->people,
        .to = {zone_address(event->host), 25},
        .envelope = &pm->envelope,
        .content = mail_sink_memory_bytes(&pm->content),
        .on_outcome = on_outcome,
        .on_lost = on_lost,
        .on_over = on_sent,
        .arg = pm,
    });
}

static bool on_fetched(const char *uid, mail_span content, void *arg)
{
    play_reading *rd = arg;

    (void)uid;
    rd->count++;
    chronicle_fetched(rd->play->told, &rd->play->story->mailboxes[rd->event->mailbox], content);
    return !rd->event->leaves_mail;
}

static void on_read(bool is_well, void *arg)
{
    play_reading *rd = arg;
    const story *st = rd->play->story;
    const char *name = st->mailboxes[rd->event->mailbox].address.text;
    const char *host = st->hosts[rd->event->host].name;

    if (!is_well) {
        chronicle_say(rd->play->told, "%s cannot read mail at %s", name, host);
    } else {
        chronicle_say(rd->play->told, "%s has read %u message%s at %s%s", name, rd->count,
                      rd->count == 1 ? "" : "s", host,
                      rd->count == 0           ? ""
                      : rd->event->leaves_mail ? " and left them there"
                                               : " and removed them");
    }
    free(rd);
}

static void read_mail(play *pl, const story_event *event)
{
    play_reading *rd = calloc(1, sizeof(*rd));

    assert_non_null(rd);
    *rd = (play_reading){.play = pl, .event = event};
    sim_pop3_start(&(sim_pop3_options){
        .from = &pl->people,
        .to = {zone_address(event->host), 110},
        .user = pl->story->mailboxes[event->mailbox].address.text,
        .password = PASSWORD,
        .patience = PATIENCE,
        .on_message = on_fetched,
        .on_over = on_read,
        .arg = rd,
    });
}

static bool is_disk_full(const play *pl, size_t host)
{
    for (size_t i = 0; i < pl->story->event_count; i++) {
        const play_event *ev = &pl->events[i];

        if (ev->event->deed == STORY_DISK && ev->is_on && ev->event->host == host) {
            return true;
        }
    }
    return false;
}

static void on_disk(const play_event *ev, const char *span)
{
    play *pl = ev->play;
    sim_relay *rl = &pl->hosts[ev->event->host].relay;
    bool is_full = is_disk_full(pl, ev->event->host);

    fault_files_set_capacity(rl->disk, is_full ? 0 : ROOMY);
    if (ev->is_on) {
        chronicle_say(pl->told, "disk of %s is full for %s", rl->name, span);
    } else if (!is_full) {
        chronicle_say(pl->told, "disk of %s has room again", rl->name);
    }
}

static void on_servfail(const play_event *ev, const char *span)
{
    play *pl = ev->play;

    zone_write(pl->story, has_servfail, pl, pl->zone);
    if (ev->is_on) {
        chronicle_say(pl->told, "dns %s servfail for %s", ev->event->domain, span);
    } else if (!has_servfail(ev->event->domain, pl)) {
        chronicle_say(pl->told, "dns %s answers again", ev->event->domain);
    }
}

static void on_power(play_event *ev, const char *span)
{
    play *pl = ev->play;
    sim_relay *rl = &pl->hosts[ev->event->host].relay;

    if (!ev->is_on) {
        chronicle_say(pl->told, "host %s has power again", rl->name);
    } else if (sim_relay_crash(rl, ev->event->span, true)) {
        chronicle_say(pl->told, "host %s loses power for %s", rl->name, span);
    } else {
        ev->is_on = false;
        chronicle_say(pl->told, "host %s has no power to lose", rl->name);
    }
}

/* What lasts for a time begins, or ends. */
static void set_trouble(play_event *ev, bool is_on)
{
    char span[48];

    chronicle_print_span(ev->event->span, span);
    ev->is_on = is_on;
    if (ev->event->deed == STORY_POWER) {
        on_power(ev, span);
    } else if (ev->event->deed == STORY_DISK) {
        on_disk(ev, span);
    } else {
        on_servfail(ev, span);
    }
    if (ev->is_on) {
        sim_event_set(&ev->play->world, &ev->ends, ev->play->world.now + ev->event->span);
    }
}

static void jump_clock(play *pl, const story_event *event)
{
    sim_relay *rl = &pl->hosts[event->host].relay;
    char span[48];

    rl->wall_ahead += event->span;
    chronicle_print_span(event->span < 0 ? -event->span : event->span, span);
    chronicle_say(pl->told, "clock of %s jumps %c%s", rl->name, event->span < 0 ? '-' : '+', span);
}

static void begin_event(play_event *ev)
{
    switch (ev->event->deed) {
    case STORY_SENDS:
        send_message(ev->message, ev->event);
        break;
    case STORY_READS:
        read_mail(ev->play, ev->event);
        break;
    case STORY_POWER:
    case STORY_DISK:
    case STORY_SERVFAIL:
        set_trouble(ev, true);
        break;
    case STORY_CLOCK:
        jump_clock(ev->play, ev->event);
        break;
    }
}

static void on_end(void *arg)
{
    set_trouble(arg, false);
}

static void make_events(play *pl)
{
    size_t messages = 0;

    for (size_t i = 0; i < pl->story->event_count; i++) {
        play_event *ev = &pl->events[i];

        *ev = (play_event){.play = pl, .event = &pl->story->events[i]};
        ev->ends = (sim_event){.fn = on_end, .arg = ev};
        if (ev->event->deed == STORY_SENDS) {
            ev->message = &pl->messages[messages++];
        }
    }
}

/* What happens at the same instant happens in the order of the story. */
static void run(play *pl)
{
    mail_time start = pl->world.now;

    for (size_t i = 0; i < pl->story->event_count; i++) {
        play_event *ev = &pl->events[i];

        sim_world_run(&pl->world, start + ev->event->at, NULL, NULL);
        begin_event(ev);
    }
    sim_world_run(&pl->world, start + pl->story->length, NULL, NULL);
}

static int make_world(play *pl, mail_error *err)
{
    int code = MAIL_OK;

    make_events(pl);
    zone_write(pl->story, has_servfail, pl, pl->zone);
    sim_dns_start(&pl->dns, &pl->world, (mail_ip){4, {10, 0, 1, 0}, 0}, pl->zone);
    sim_host_init(&pl->people, &pl->world, "people.example", (mail_ip){4, {10, 0, 2, 0}, 0});
    sim_loop_init(&pl->loop, &pl->world);
    code = make_messages(pl, err);
    for (size_t i = 0; i < pl->story->host_count && code == MAIL_OK; i++) {
        code = make_host(pl, i);
    }
    return code;
}

static bool is_still(void *arg)
{
    const play *pl = arg;

    for (size_t i = 0; i < pl->host_count; i++) {
        if (!sim_relay_is_still(&pl->hosts[i].relay)) {
            return false;
        }
    }
    return true;
}

/* Everything stops, wherever it stands. */
static void end_world(play *pl)
{
    chronicle_close(pl->told);
    for (size_t i = 0; i < pl->story->event_count; i++) {
        sim_event_unset(&pl->world, &pl->events[i].ends);
    }
    for (size_t i = 0; i < chronicle_message_count(pl->told); i++) {
        if (pl->messages[i].sender != NULL) {
            sim_sender_stop(pl->messages[i].sender);
        }
        mail_envelope_deinit(&pl->messages[i].envelope);
        mail_sink_memory_deinit(&pl->messages[i].content);
    }
    for (size_t i = 0; i < pl->host_count; i++) {
        sim_relay_switch_off(&pl->hosts[i].relay);
    }
    sim_world_run(&pl->world, pl->world.now + MAIL_DAY, is_still, pl);
    for (size_t i = 0; i < pl->host_count; i++) {
        sim_relay_deinit(&pl->hosts[i].relay);
        free(pl->hosts[i].accounts);
    }
    sim_dns_stop(&pl->dns);
    sim_world_run(&pl->world, pl->world.now + MAIL_DAY, NULL, NULL);
    sim_world_deinit(&pl->world);
}

int play_story(const story *st, const char *source, FILE *out, mail_error *err)
{
    play *pl = calloc(1, sizeof(*pl));
    int code;

    if (pl == NULL) {
        return mail_error_set(err, MAIL_ENOMEM, "out of memory");
    }
    pl->story = st;
    pl->source = source;
    pl->told = chronicle_create(st, &pl->world, out);
    if (pl->told == NULL) {
        free(pl);
        return mail_error_set(err, MAIL_ENOMEM, "out of memory");
    }
    sim_world_init(&pl->world, st->seed);
    code = make_world(pl, err);
    if (code == MAIL_OK) {
        run(pl);
        chronicle_end(pl->told);
    }
    end_world(pl);
    chronicle_destroy(pl->told);
    free(pl);
    return code;
}
