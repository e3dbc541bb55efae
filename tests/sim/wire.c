/* SPDX-License-Identifier: MIT */
#include "sim/wire.h"

#include <errno.h>
#include <stdlib.h>

#include "support/support.h"

/* Octets that may be under way or unread in one direction. */
#define WINDOW ((size_t)64 * 1024)

/* How long a host that does not answer keeps a connection in doubt. */
#define UNANSWERED (2 * MAIL_HOUR)

#define FATE_OCTETS 8000

struct sim_segment {
    struct sim_segment *next;
    mail_time due;
    bool is_end; /* the writer has closed */
    size_t length;
    char data[];
};

struct sim_wire {
    list link;
    sim_world *world;
    struct sim_end ends[2]; /* who asked, who was asked */
    mail_endpoint to;
    char path[SIM_PATH]; /* of a unix socket; empty: none */
    bool open;           /* established */
    bool lost;           /* an end has vanished without a word */
    sim_event opening;
    sim_event breaking; /* what an actor wrote has hit the octet that is its last */
    bool dribbled;
    mail_duration octet_time; /* how long one takes */
    uint64_t octets;          /* written so far, both ways */
    uint64_t reset_at;        /* UINT64_MAX: never */
    uint64_t stalled_at;
    const struct sim_end *deaf; /* to whom nothing comes from `deaf_at` on; NULL: nobody */
    uint64_t deaf_at;
    mail_duration latency;
    unsigned users; /* descriptors, actors */
};

static struct sim_end *other(const struct sim_end *end)
{
    return end == &end->wire->ends[0] ? &end->wire->ends[1] : &end->wire->ends[0];
}

static void changed(const struct sim_end *end)
{
    if (end->fd != NULL) {
        sim_fd_changed(end->fd);
    }
}

bool sim_end_is_open(const struct sim_end *end)
{
    return end->wire->open;
}

static size_t room(const struct sim_end *to)
{
    size_t held = buffer_length(&to->in) + to->under_way;

    return held < WINDOW ? WINDOW - held : 0;
}

unsigned sim_end_ready(const struct sim_end *end)
{
    unsigned ready = 0;

    if (end->error != 0) {
        return MAIL_READABLE | MAIL_WRITABLE;
    }
    if (buffer_length(&end->in) > 0 || end->ended) {
        ready |= MAIL_READABLE;
    }
    if (end->wire->open && room(other(end)) > 0) {
        ready |= MAIL_WRITABLE;
    }
    return ready;
}

static void drop_segments(struct sim_end *end)
{
    sim_event_unset(end->wire->world, &end->arrival);
    while (end->first != NULL) {
        sim_segment *next = end->first->next;

        free(end->first);
        end->first = next;
    }
    end->last = &end->first;
    end->under_way = 0;
}

static void free_wire(sim_wire *wire)
{
    sim_event_unset(wire->world, &wire->opening);
    sim_event_unset(wire->world, &wire->breaking);
    for (int i = 0; i < 2; i++) {
        drop_segments(&wire->ends[i]);
        buffer_deinit(&wire->ends[i].in);
        list_remove(&wire->ends[i].waiting);
    }
    list_remove(&wire->link);
    free(wire);
}

static void release(sim_wire *wire)
{
    if (--wire->users == 0) {
        free_wire(wire);
    }
}

/* An actor learns that there is nobody any more. */
static void end_actor(struct sim_end *end)
{
    if (end->actor != NULL && !end->closed) {
        end->actor->on_end(end->state);
        sim_end_leave(end);
    }
}

static void break_end(struct sim_end *end, int error)
{
    if (end->error != 0) {
        return;
    }
    end->error = error;
    drop_segments(end);
    buffer_clear(&end->in, 0);
    end->ended = true;
    changed(end);
    end_actor(end);
}

/* Both ends learn of it at once; what was under way is lost. */
static void break_wire(sim_wire *wire, int error)
{
    wire->users++;
    sim_event_unset(wire->world, &wire->opening);
    break_end(&wire->ends[0], error);
    break_end(&wire->ends[1], error);
    release(wire);
}

static void hand_to_actor(struct sim_end *end)
{
    sim_wire *wire = end->wire;
    bool ended = end->ended;
    char copy[WINDOW];
    size_t length = buffer_length(&end->in);

    wire->users++;
    if (length > 0) {
        memcpy(copy, buffer_bytes(&end->in).data, length);
        buffer_clear(&end->in, 0);
        changed(other(end));
        end->actor->on_bytes(end, mail_span_of(copy, length), end->state);
    }
    if (ended) {
        end_actor(end);
    }
    release(wire);
}

static void arrive(void *arg)
{
    struct sim_end *end = arg;
    sim_segment *seg = end->first;

    end->first = seg->next;
    if (end->first == NULL) {
        end->last = &end->first;
    } else {
        sim_event_set(end->wire->world, &end->arrival, end->first->due);
    }
    end->under_way -= seg->length;
    if (seg->is_end) {
        end->ended = true;
    } else if (!end->closed) {
        assert_int_equal(buffer_append(&end->in, mail_span_of(seg->data, seg->length)), MAIL_OK);
    }
    free(seg);
    if (end->actor != NULL && !end->closed) {
        hand_to_actor(end);
    } else {
        changed(end);
    }
}

static void send_segment(struct sim_end *to, mail_span bytes, bool is_end)
{
    const sim_wire *wire = to->wire;
    sim_segment *seg = malloc(sizeof(*seg) + bytes.length);
    mail_time due = wire->world->now + wire->latency;

    assert_non_null(seg);
    due = to->last_due > due ? to->last_due : due; /* in order */
    due += (mail_duration)bytes.length * wire->octet_time;
    to->last_due = due;
    *seg = (sim_segment){.due = due, .is_end = is_end, .length = bytes.length};
    if (bytes.length > 0) {
        memcpy(seg->data, bytes.data, bytes.length);
    }
    *to->last = seg;
    to->last = &seg->next;
    to->under_way += bytes.length;
    if (to->first == seg) {
        sim_event_set(wire->world, &to->arrival, due);
    }
}

static void send_bytes(struct sim_end *to, mail_span bytes)
{
    while (bytes.length > 0) {
        size_t piece = bytes.length;

        if (to->wire->dribbled) {
            piece = 1 + (size_t)sim_below(to->wire->world, 16);
            piece = piece < bytes.length ? piece : bytes.length;
        }
        send_segment(to, mail_span_first(bytes, piece), false);
        bytes = mail_span_from(bytes, piece);
    }
}

/* Whether what is sent to it never arrives. */
static bool is_deaf(const struct sim_end *to)
{
    const sim_wire *wire = to->wire;

    return wire->lost || wire->octets > wire->stalled_at ||
           (to == wire->deaf && wire->octets > wire->deaf_at);
}

static void send_end(struct sim_end *to)
{
    if (to->wire->open && to->error == 0 && !is_deaf(to)) {
        send_segment(to, (mail_span){0}, true);
    }
}

ssize_t sim_end_take(struct sim_end *end, mail_span bytes)
{
    sim_wire *wire = end->wire;
    struct sim_end *to = other(end);
    size_t n = bytes.length < room(to) ? bytes.length : room(to);

    if (end->error != 0) {
        return -end->error;
    }
    if (!wire->open || n == 0) {
        return -EAGAIN;
    }
    if (n > 1 && sim_chance(wire->world, wire->world->faults.cut)) {
        n = 1 + (size_t)sim_below(wire->world, n);
    }
    wire->octets += n;
    if ((to->closed && !wire->lost) || wire->octets > wire->reset_at ||
        (wire->lost && to->host != NULL && !to->host->is_down)) {
        sim_trace(wire->world, "net %s: reset", end->host->name);
        break_wire(wire, ECONNRESET);
        return -ECONNRESET;
    }
    if (is_deaf(to)) {
        to->under_way += n; /* it never arrives, and the window closes */
    } else {
        send_bytes(to, mail_span_first(bytes, n));
    }
    return (ssize_t)n;
}

ssize_t sim_end_read(struct sim_end *end, void *to, size_t size)
{
    size_t n = buffer_length(&end->in) < size ? buffer_length(&end->in) : size;

    if (end->error != 0) {
        return -end->error;
    }
    if (n == 0) {
        return end->ended ? 0 : -EAGAIN;
    }
    memcpy(to, buffer_bytes(&end->in).data, n);
    buffer_consume(&end->in, n);
    changed(other(end));
    return (ssize_t)n;
}

void sim_end_shutdown(struct sim_end *end)
{
    send_end(other(end));
}

void sim_end_leave(struct sim_end *end)
{
    sim_wire *wire = end->wire;

    wire->users++;
    end->closed = true;
    end->fd = NULL;
    if (end->error == 0 && !other(end)->closed) {
        if (buffer_length(&end->in) > 0 && !is_deaf(other(end))) {
            break_wire(wire, ECONNRESET); /* it had not read all */
        } else {
            send_end(other(end));
        }
    }
    if (!wire->open) {
        sim_event_unset(wire->world, &wire->opening);
    }
    release(wire);
    release(wire);
}

void sim_end_refuse(struct sim_end *end)
{
    sim_wire *wire = end->wire;

    break_wire(wire, ECONNRESET);
    end->closed = true;
    release(wire);
}

static void open_actor(struct sim_end *end)
{
    if (end->actor != NULL && !end->closed) {
        end->state = end->actor->on_open(end, end->state);
    }
}

static void open_wire(void *arg)
{
    sim_wire *wire = arg;
    struct sim_end *asked = &wire->ends[1];
    int code;

    wire->users++; /* for the end that was asked */
    code = wire->ends[0].host->is_down
               ? -ENETDOWN
               : sim_host_called(wire->ends[0].host, &wire->to, wire->path, asked);
    if (code < 0) {
        asked->closed = true;
        break_wire(wire, -code);
        release(wire);
        return;
    }
    wire->open = true;
    wire->users++;
    changed(&wire->ends[0]);
    open_actor(&wire->ends[0]);
    open_actor(asked);
    release(wire);
}

static void break_now(void *arg)
{
    sim_wire *wire = arg;

    sim_trace(wire->world, "net %s: reset", wire->ends[0].host->name);
    break_wire(wire, ECONNRESET);
}

/* What will happen to it is drawn here, all at once. */
static void draw_fate(sim_wire *wire)
{
    sim_world *world = wire->world;
    const sim_net_faults *faults = &world->faults;
    bool unanswered = sim_chance(world, faults->unanswered);

    if (sim_chance(world, faults->refused)) {
        wire->to.port = 0; /* nobody is there */
    }
    wire->latency = MAIL_MILLISECOND / 10 + (mail_duration)sim_below(world, 20 * MAIL_MILLISECOND);
    wire->dribbled = sim_chance(world, faults->dribbled);
    if (sim_chance(world, faults->slow)) {
        wire->octet_time =
            10 * MAIL_MICROSECOND + (mail_duration)sim_below(world, 3 * MAIL_MILLISECOND);
    }
    if (sim_chance(world, faults->distant)) {
        wire->latency += (mail_duration)sim_below(world, 5 * MAIL_SECOND);
    }
    if (sim_chance(world, faults->deaf)) {
        wire->deaf = &wire->ends[sim_below(world, 2)];
        wire->deaf_at = sim_below(world, FATE_OCTETS);
    }
    wire->reset_at = sim_chance(world, faults->reset) ? sim_below(world, FATE_OCTETS) : UINT64_MAX;
    wire->stalled_at =
        sim_chance(world, faults->stalled) ? sim_below(world, FATE_OCTETS) : UINT64_MAX;
    sim_event_set(world, &wire->opening, world->now + (unanswered ? UNANSWERED : wire->latency));
}

struct sim_end *sim_wire_dial(sim_host *host, const mail_endpoint *to, const char *path)
{
    sim_world *world = host->world;
    sim_wire *wire = calloc(1, sizeof(*wire));

    assert_non_null(wire);
    wire->world = world;
    wire->to = *to;
    wire->users = 1;
    wire->opening = (sim_event){.fn = open_wire, .arg = wire};
    wire->breaking = (sim_event){.fn = break_now, .arg = wire};
    list_push_back(&world->wires, &wire->link);
    for (int i = 0; i < 2; i++) {
        struct sim_end *end = &wire->ends[i];

        end->wire = wire;
        end->last = &end->first;
        end->arrival = (sim_event){.fn = arrive, .arg = end};
        list_init(&end->waiting);
        buffer_init(&end->in, NULL, 4 * WINDOW);
    }
    wire->ends[0].host = host;
    wire->ends[0].peer = *to;
    if (path[0] == '\0') {
        wire->ends[1].peer = (mail_endpoint){host->address, sim_host_port(host)};
        draw_fate(wire);
    } else {
        snprintf(wire->path, sizeof(wire->path), "%s", path);
        wire->reset_at = wire->stalled_at = UINT64_MAX;
        sim_event_set(world, &wire->opening, world->now);
    }
    return &wire->ends[0];
}

void sim_host_cut(sim_host *host, bool silently)
{
    sim_world *world = host->world;
    list *link = world->wires.next;

    while (link != &world->wires) {
        sim_wire *wire = LIST_OWNER(link, sim_wire, link);
        struct sim_end *mine = wire->ends[0].host == host ? &wire->ends[0] : &wire->ends[1];

        wire->users++; /* so that the walk can go on from it */
        if (mine->host == host && mine->error == 0) {
            if (silently && wire->open && other(mine)->host != host) {
                wire->lost = true;
                break_end(mine, ECONNRESET);
                drop_segments(other(mine));
            } else {
                break_wire(wire, ECONNRESET);
            }
        }
        link = link->next;
        release(wire);
    }
}

static struct sim_end *dial(sim_host *host, const mail_endpoint *to, const char *path,
                            const sim_actor *actor)
{
    struct sim_end *end = sim_wire_dial(host, to, path);

    end->actor = actor;
    end->state = actor->arg;
    return end;
}

struct sim_end *sim_actor_dial(sim_host *host, const mail_endpoint *to, const sim_actor *actor)
{
    return dial(host, to, "", actor);
}

struct sim_end *sim_actor_dial_unix(sim_host *host, const char *path, const sim_actor *actor)
{
    const mail_endpoint nowhere = {.port = 0};

    return dial(host, &nowhere, path, actor);
}

void sim_end_write(struct sim_end *end, mail_span bytes)
{
    sim_wire *wire = end->wire;

    /* An actor's window is not watched. */
    if (!end->closed && end->error == 0 && wire->open && !other(end)->closed) {
        wire->octets += bytes.length;
        if (wire->octets > wire->reset_at) {
            sim_event_set(wire->world, &wire->breaking, wire->world->now); /* not under its feet */
        } else if (!is_deaf(other(end))) {
            send_bytes(other(end), bytes);
        }
    }
}

void sim_end_close(struct sim_end *end)
{
    if (!end->closed) {
        sim_end_leave(end);
    }
}
