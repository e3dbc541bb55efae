/* SPDX-License-Identifier: MIT */
#include "sim/world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/support.h"

/* Where the virtual clock starts: not 0, so that an unset instant shows. */
#define START (100 * MAIL_DAY)

#define WALL_START 1700000000

static uint64_t rotate(uint64_t x, unsigned bits)
{
    return (x << bits) | (x >> (64 - bits));
}

/* xoshiro256**, seeded by splitmix64. */
static uint64_t next_chance(sim_world *world)
{
    uint64_t *s = world->chance;
    uint64_t result = rotate(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

static void fill(void *arg, void *to, size_t size)
{
    char *at = to;

    while (size > 0) {
        uint64_t value = next_chance(arg);
        size_t n = size < sizeof(value) ? size : sizeof(value);

        memcpy(at, &value, n);
        at += n;
        size -= n;
    }
}

void sim_world_init(sim_world *world, uint64_t seed)
{
    uint64_t x = seed;

    *world = (sim_world){.now = START, .seed = seed, .trace_sum = 14695981039346656037U};
    for (size_t i = 0; i < 4; i++) {
        uint64_t z = (x += 0x9e3779b97f4a7c15U);

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
        world->chance[i] = z ^ (z >> 31);
    }
    world->random = (mail_random){fill, world};
    heap_init(&world->events, NULL);
    list_init(&world->ready);
    list_init(&world->wires);
}

void sim_world_deinit(sim_world *world)
{
    assert_int_equal(world->fds_open, 0);
    assert_int_equal(world->watches, 0);
    assert_int_equal(world->timers, 0);
    assert_int_equal(world->bells, 0);
    assert_int_equal(world->works, 0);
    assert_true(list_is_empty(&world->wires));
    heap_deinit(&world->events);
    free(world->fds);
}

mail_duration sim_elapsed(const sim_world *world)
{
    return world->now - START;
}

mail_wall sim_wall(const sim_world *world)
{
    return WALL_START + world->now / MAIL_SECOND;
}

uint64_t sim_below(sim_world *world, uint64_t below)
{
    return random_below(&world->random, below);
}

bool sim_chance(sim_world *world, unsigned per_million)
{
    return per_million > 0 && sim_below(world, 1000000) < per_million;
}

void sim_trace(sim_world *world, const char *format, ...)
{
    char line[512];
    va_list args;
    int n;

    n = snprintf(line, sizeof(line), "%" PRId64 ".%06" PRId64 " ", sim_elapsed(world) / MAIL_SECOND,
                 sim_elapsed(world) % MAIL_SECOND / MAIL_MICROSECOND);
    va_start(args, format);
    vsnprintf(line + n, sizeof(line) - (size_t)n, format, args);
    va_end(args);
    for (const char *c = line; *c != '\0'; c++) {
        world->trace_sum = (world->trace_sum ^ (unsigned char)*c) * 1099511628211U;
    }
    if (world->trace != NULL) {
        world->trace(world->trace_arg, line);
    }
}

void sim_event_set(sim_world *world, sim_event *event, mail_time when)
{
    if (heap_set(&world->events, &event->due, when > world->now ? when : world->now) != MAIL_OK) {
        abort();
    }
}

void sim_event_unset(sim_world *world, sim_event *event)
{
    heap_remove(&world->events, &event->due);
}

/* What is ready runs before time moves on; which of several, chance decides. */
static mail_watch *pick_ready(sim_world *world)
{
    list *link = world->ready.next;
    size_t count = 0;

    for (list *l = world->ready.next; l != &world->ready && count < 8; l = l->next) {
        count++;
    }
    if (count > 1) {
        for (uint64_t skip = sim_below(world, count); skip > 0; skip--) {
            link = link->next;
        }
    }
    return sim_watch_of_link(link);
}

bool sim_world_step(sim_world *world)
{
    heap_entry *first;
    sim_event *event;

    world->steps++;
    if (!list_is_empty(&world->ready)) {
        sim_watch_run(pick_ready(world));
        return true;
    }
    first = heap_first(&world->events);
    if (first == NULL) {
        return false;
    }
    event = LIST_OWNER(first, sim_event, due);
    if (first->key > world->now) {
        world->now = first->key;
    }
    heap_remove(&world->events, first);
    event->fn(event->arg);
    return true;
}

void sim_world_run(sim_world *world, mail_time until, bool (*stop)(void *arg), void *arg)
{
    for (;;) {
        heap_entry *first = heap_first(&world->events);

        if (stop != NULL && stop(arg)) {
            return;
        }
        if (list_is_empty(&world->ready) && (first == NULL || first->key > until)) {
            world->now = world->now < until ? until : world->now;
            return;
        }
        sim_world_step(world);
    }
}
