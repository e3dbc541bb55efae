/* SPDX-License-Identifier: MIT */
#include "mta/boxes.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/table.h"

struct boxes {
    mail_loop *loop;
    mail_store *store;
    const mail_mem *mem;
    const boxes_ops *ops;
    void *arg;
    size_t max;
    size_t running;
    bool is_closed; /* to be freed when the last worker lets go */
    hash_seed seed;
    table by_path;
    list ready; /* boxes that wait for a worker */
};

/* A mailbox that something waits for, or that a worker has. */
typedef struct box {
    table_entry entry;
    list link; /* ready */
    boxes *owner;
    list waiting;
    list taken; /* a worker has them */
    bool is_running;
    size_t path_size;
    char path[];
} box;

int boxes_create(boxes **out, mail_loop *loop, mail_store *store, size_t max, const mail_mem *mem,
                 const boxes_ops *ops, void *arg)
{
    boxes *bx = mem_alloc(mem, sizeof(*bx));

    if (bx == NULL) {
        return MAIL_ENOMEM;
    }
    *bx = (boxes){.loop = loop, .store = store, .mem = mem, .ops = ops, .arg = arg, .max = max};
    random_fill(NULL, &bx->seed, sizeof(bx->seed));
    table_init(&bx->by_path, mem);
    list_init(&bx->ready);
    *out = bx;
    return MAIL_OK;
}

static void free_box(box *b)
{
    boxes *bx = b->owner;

    list_remove(&b->link);
    table_remove(&bx->by_path, &b->entry);
    mem_free(bx->mem, b, sizeof(*b) + b->path_size);
}

static void free_boxes(boxes *bx)
{
    table_deinit(&bx->by_path);
    mem_free(bx->mem, bx, sizeof(*bx));
}

static void give_back(boxes *bx, list *copies)
{
    list *link;

    while ((link = list_pop_front(copies)) != NULL) {
        bx->ops->done(LIST_OWNER(link, box_copy, link), bx->arg);
    }
}

static void close_box(table_entry *entry, void *arg)
{
    box *b = LIST_OWNER(entry, box, entry);

    (void)arg;
    give_back(b->owner, &b->waiting);
    if (!b->is_running) {
        free_box(b);
    }
}

void boxes_destroy(boxes *bx)
{
    if (bx == NULL) {
        return;
    }
    bx->is_closed = true;
    bx->arg = NULL;
    table_each(&bx->by_path, close_box, NULL);
    if (bx->running == 0) {
        free_boxes(bx);
    }
}

bool boxes_are_busy(const boxes *bx)
{
    return bx->running > 0;
}

static uint64_t hash_of(const boxes *bx, const char *path)
{
    return hash_bytes(&bx->seed, mail_span_text(path));
}

static box *find(const boxes *bx, const char *path)
{
    for (table_entry *e = table_first(&bx->by_path, hash_of(bx, path)); e != NULL;
         e = table_next(e)) {
        box *b = LIST_OWNER(e, box, entry);

        if (strcmp(b->path, path) == 0) {
            return b;
        }
    }
    return NULL;
}

static box *make(boxes *bx, const char *path)
{
    size_t path_size = strlen(path) + 1;
    box *b = mem_alloc(bx->mem, sizeof(*b) + path_size);

    if (b == NULL) {
        return NULL;
    }
    if (table_insert(&bx->by_path, &b->entry, hash_of(bx, path)) != MAIL_OK) {
        mem_free(bx->mem, b, sizeof(*b) + path_size);
        return NULL;
    }
    b->owner = bx;
    list_init(&b->link);
    list_init(&b->waiting);
    list_init(&b->taken);
    b->path_size = path_size;
    memcpy(b->path, path, path_size);
    list_push_back(&bx->ready, &b->link);
    return b;
}

int boxes_write(boxes *bx, box_copy *copy)
{
    box *b = find(bx, copy->path);

    if (b == NULL) {
        b = make(bx, copy->path);
    }
    if (b == NULL) {
        return MAIL_ENOMEM;
    }
    list_push_back(&b->waiting, &copy->link);
    return MAIL_OK;
}

/* A worker's part. */

/*
 * Whether there is such a user was settled before. What is missing or lies in the way here, such as a
 * plain file for a folder, is for somebody to mend, and mail waits for it.
 */
static void end_copy(box_copy *copy, int code)
{
    bool blames_user = code == MAIL_ENOENT || code == MAIL_EINVAL || code == MAIL_ELIMIT;

    copy->code = blames_user ? MAIL_EIO : code;
    copy->sink = NULL;
}

static void write_piece(mail_store *store, box_copy *copy)
{
    int code = MAIL_OK;

    if (copy->sink == NULL) {
        code = mail_store_append(store, copy->path, &copy->sink, NULL);
        if (code == MAIL_OK) {
            code = mail_sink_write(copy->sink, copy->front);
        }
    }
    if (code == MAIL_OK && copy->piece.length > 0) {
        code = mail_sink_write(copy->sink, copy->piece);
    }
    if (code != MAIL_OK) {
        if (copy->sink != NULL) {
            mail_sink_abort(copy->sink);
        }
        end_copy(copy, code);
    }
}

/* How many copies are finished together: each has a file open, and a buffer. */
#define GROUP 16

static void finish_group(mail_store *store, box_copy *const *group, size_t count)
{
    mail_sink *sinks[GROUP] = {NULL};
    int codes[GROUP];

    for (size_t i = 0; i < count; i++) {
        sinks[i] = group[i]->sink;
    }
    mail_store_finish(store, sinks, count, codes);
    for (size_t i = 0; i < count; i++) {
        end_copy(group[i], codes[i]);
    }
}

static void run(void *arg)
{
    const box *b = arg;
    mail_store *store = b->owner->store;
    box_copy *group[GROUP];
    size_t count = 0;

    for (const list *at = b->taken.next; at != &b->taken; at = at->next) {
        box_copy *copy = LIST_OWNER(at, box_copy, link);

        write_piece(store, copy);
        if (copy->is_last && copy->sink != NULL) {
            group[count++] = copy;
        }
        if (count == GROUP) {
            finish_group(store, group, count);
            count = 0;
        }
    }
    if (count > 0) {
        finish_group(store, group, count);
    }
}

/* The loop's part. */

static void end_run(box *b)
{
    boxes *bx = b->owner;

    b->is_running = false;
    bx->running--;
    give_back(bx, &b->taken); /* their next pieces come to `waiting` */
    if (list_is_empty(&b->waiting)) {
        free_box(b);
    } else {
        list_push_back(&bx->ready, &b->link);
    }
}

static void on_done(void *arg)
{
    boxes *bx = ((box *)arg)->owner;

    end_run(arg);
    if (!bx->is_closed) {
        bx->ops->idle(bx->arg);
    } else if (bx->running == 0) {
        free_boxes(bx);
    }
}

static void refuse(box *b, int code)
{
    for (const list *at = b->taken.next; at != &b->taken; at = at->next) {
        LIST_OWNER(at, box_copy, link)->code = code;
    }
}

static void start(boxes *bx, box *b)
{
    int code;

    list_take_all(&b->taken, &b->waiting);
    b->is_running = true;
    bx->running++;
    code = bx->loop->ops->work(bx->loop, run, on_done, b);
    if (code != MAIL_OK) {
        refuse(b, code);
        end_run(b);
    }
}

void boxes_go(boxes *bx)
{
    while (bx->running < bx->max && !list_is_empty(&bx->ready)) {
        start(bx, LIST_OWNER(list_pop_front(&bx->ready), box, link));
    }
}
