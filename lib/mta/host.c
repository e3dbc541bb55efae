/* SPDX-License-Identifier: MIT */
#include "mta/host.h"

#include "base/list.h"
#include "base/mem.h"
#include "base/random.h"

/* When so many are remembered, those that have nothing to tell are forgotten. */
#define BOOK_LARGE 4096

void host_book_init(host_book *book, const mail_mem *mem, const hash_seed *seed,
                    mail_duration backoff, mail_duration backoff_max)
{
    *book = (host_book){.mem = mem,
                        .seed = *seed,
                        .sweep_at = BOOK_LARGE,
                        .backoff = backoff,
                        .backoff_max = backoff_max};
    table_init(&book->hosts, mem);
}

static void forget(host_book *book, host *hst)
{
    table_remove(&book->hosts, &hst->by_place);
    mem_free(book->mem, hst, sizeof(*hst));
}

static void forget_any(table_entry *entry, void *arg)
{
    forget(arg, LIST_OWNER(entry, host, by_place));
}

void host_book_deinit(host_book *book)
{
    table_each(&book->hosts, forget_any, book);
    table_deinit(&book->hosts);
}

static void forgive(table_entry *entry, void *arg)
{
    host *hst = LIST_OWNER(entry, host, by_place);

    (void)arg;
    hst->down_until = 0;
}

void host_book_forgive(host_book *book)
{
    table_each(&book->hosts, forgive, NULL);
}

typedef struct forgetting {
    host_book *book;
    mail_time now;
} forgetting;

static void forget_idle(table_entry *entry, void *arg)
{
    forgetting *fg = arg;
    host *hst = LIST_OWNER(entry, host, by_place);

    if (hst->uses == 0 && !host_is_down(hst, fg->now) && hst->clear_until <= fg->now) {
        forget(fg->book, hst);
    }
}

/* Not for each new one while none of many can be forgotten: that they be twice as many is waited for. */
static void sweep(host_book *book, mail_time now)
{
    forgetting fg = {book, now};

    if (book->hosts.count < book->sweep_at) {
        return;
    }
    table_each(&book->hosts, forget_idle, &fg);
    book->sweep_at = book->hosts.count * 2 > BOOK_LARGE ? book->hosts.count * 2 : BOOK_LARGE;
}

static bool is_at(const host *hst, const mail_endpoint *at, unsigned demand, const char *path)
{
    if (path != NULL) {
        return hst->at.ip.family == 0 && strcmp(hst->path, path) == 0;
    }
    return hst->at.ip.family != 0 && hst->demand == demand && hst->at.port == at->port &&
           hst->at.ip.scope == at->ip.scope && mail_ip_equal(&hst->at.ip, &at->ip);
}

static uint64_t hash_of(const host_book *book, const mail_endpoint *at, const char *path)
{
    char text[MAIL_IP_TEXT_SIZE];

    if (path != NULL) {
        return hash_bytes(&book->seed, mail_span_text(path));
    }
    return hash_bytes(&book->seed, mail_span_of(text, mail_endpoint_print(at, text)));
}

static host *use(host_book *book, const mail_endpoint *at, unsigned demand, const char *path,
                 mail_time now)
{
    uint64_t hash = hash_of(book, at, path);
    host *hst;

    for (table_entry *e = table_first(&book->hosts, hash); e != NULL; e = table_next(e)) {
        hst = LIST_OWNER(e, host, by_place);
        if (is_at(hst, at, demand, path)) {
            hst->uses++;
            return hst;
        }
    }
    sweep(book, now);
    hst = mem_alloc(book->mem, sizeof(*hst));
    if (hst == NULL || table_insert(&book->hosts, &hst->by_place, hash) != MAIL_OK) {
        mem_free(book->mem, hst, sizeof(*hst));
        return NULL;
    }
    hst->uses = 1;
    hst->down_until = INT64_MIN;
    hst->clear_until = INT64_MIN;
    hst->demand = demand;
    if (path == NULL) {
        hst->at = *at;
    } else {
        memcpy(hst->path, path, strnlen(path, HOST_NAME_SIZE - 1));
    }
    return hst;
}

host *host_use(host_book *book, const mail_endpoint *at, unsigned demand, mail_time now)
{
    return use(book, at, demand, NULL, now);
}

host *host_use_path(host_book *book, const char *path, mail_time now)
{
    return use(book, NULL, 0, path, now);
}

void host_drop(host_book *book, host *hst)
{
    hst->uses--;
    if (hst->uses == 0 && hst->failures == 0 && hst->clear_until == INT64_MIN) {
        forget(book, hst);
    }
}

/* Doubles with every failure; a quarter of chance keeps many hosts from coming back at once. */
static mail_duration delay_after(const host_book *book, unsigned failures)
{
    mail_duration delay = book->backoff;

    for (unsigned i = 1; i < failures && delay < book->backoff_max; i++) {
        delay *= 2;
    }
    if (delay > book->backoff_max) {
        delay = book->backoff_max;
    }
    return delay - (mail_duration)random_below(book->random, (uint64_t)delay / 4 + 1);
}

void host_failed(host_book *book, host *hst, const mail_reply *reply, bool is_local, mail_time now)
{
    size_t length = reply->text.length < HOST_REPLY_SIZE ? reply->text.length : HOST_REPLY_SIZE;

    hst->reply = *reply;
    hst->is_local = is_local;
    if (length > 0) {
        memmove(hst->text, reply->text.data, length);
    }
    hst->reply.text = mail_span_of(hst->text, length);
    if (!host_is_down(hst, now)) {
        hst->failures++;
    }
    hst->down_until = now + delay_after(book, hst->failures);
}

void host_worked(host *hst)
{
    hst->failures = 0;
    hst->down_until = INT64_MIN;
}
