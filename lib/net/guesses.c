/* SPDX-License-Identifier: MIT */
#include "net/guesses.h"

#include "base/mem.h"

typedef struct bucket {
    table_entry entry; /* its hash is the key */
    list link;
    mail_rate rate;
    mail_time touched_at;
} bucket;

int net_guesses_init(net_guesses *gs, const mail_mem *mem, size_t max, mail_duration memory,
                     const mail_rate_options *rate)
{
    *gs = (net_guesses){.mem = mem, .max = max, .memory = memory};
    table_init(&gs->by_key, mem);
    list_init(&gs->recent);
    return mail_rate_init(&gs->fresh, rate);
}

static void forget(net_guesses *gs, bucket *bk)
{
    list_remove(&bk->link);
    table_remove(&gs->by_key, &bk->entry);
    mem_free(gs->mem, bk, sizeof(*bk));
}

void net_guesses_deinit(net_guesses *gs)
{
    while (!list_is_empty(&gs->recent)) {
        forget(gs, LIST_OWNER(gs->recent.next, bucket, link));
    }
    table_deinit(&gs->by_key);
}

static bucket *find(const net_guesses *gs, uint64_t key)
{
    table_entry *entry = table_first(&gs->by_key, key);

    return entry != NULL ? LIST_OWNER(entry, bucket, entry) : NULL;
}

/* As many as come are looked at, so that what nobody asks for any more goes. */
static void forget_some(net_guesses *gs, mail_time now)
{
    for (int i = 0; i < 2 && !list_is_empty(&gs->recent); i++) {
        bucket *oldest = LIST_OWNER(gs->recent.next, bucket, link);

        if (gs->by_key.count < gs->max &&
            (oldest->rate.full_at > now || oldest->touched_at + gs->memory > now)) {
            break;
        }
        forget(gs, oldest);
    }
}

static bucket *add(net_guesses *gs, uint64_t key, mail_time now)
{
    bucket *bk;

    forget_some(gs, now);
    bk = mem_alloc(gs->mem, sizeof(*bk));
    if (bk == NULL) {
        return NULL;
    }
    bk->rate = gs->fresh;
    list_init(&bk->link);
    if (table_insert(&gs->by_key, &bk->entry, key) != MAIL_OK) {
        mem_free(gs->mem, bk, sizeof(*bk));
        return NULL;
    }
    return bk;
}

/* The bucket, new if need be, as the one touched last; NULL: no memory. */
static bucket *touch(net_guesses *gs, uint64_t key, mail_time now)
{
    bucket *bk = find(gs, key);

    if (bk == NULL) {
        bk = add(gs, key, now);
    }
    if (bk != NULL) {
        list_remove(&bk->link);
        list_push_back(&gs->recent, &bk->link);
        bk->touched_at = now;
    }
    return bk;
}

int net_guesses_take(net_guesses *gs, uint64_t key, mail_time now)
{
    bucket *bk = touch(gs, key, now);

    if (bk == NULL) {
        return MAIL_ENOMEM;
    }
    return mail_rate_take(&bk->rate, now, 1) ? MAIL_OK : MAIL_EAGAIN;
}

void net_guesses_note(net_guesses *gs, uint64_t key, mail_time now)
{
    (void)touch(gs, key, now);
}

bool net_guesses_knows(const net_guesses *gs, uint64_t key)
{
    return find(gs, key) != NULL;
}

void net_guesses_give(net_guesses *gs, uint64_t key, mail_time now)
{
    bucket *bk = find(gs, key);

    if (bk != NULL) {
        mail_rate_give(&bk->rate, now, 1);
    }
}

bool net_guesses_is_barred(const net_guesses *gs, uint64_t key, mail_time now)
{
    const bucket *bk = find(gs, key);

    return bk != NULL && mail_rate_ready_at(&bk->rate, now, 1) > now;
}

uint32_t net_guesses_count(const net_guesses *gs, uint64_t key, mail_time now)
{
    const bucket *bk = find(gs, key);

    if (bk == NULL || bk->rate.full_at <= now) {
        return 0;
    }
    return (uint32_t)((bk->rate.full_at - now - 1) / bk->rate.interval + 1);
}
