/* SPDX-License-Identifier: MIT */
#ifndef LIB_BASE_LIST_H
#define LIB_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* A ring through members of the structs that it lists. The head is a link too. */
typedef struct list {
    struct list *next;
    struct list *prev;
} list;

/* The struct of `type` whose `member` is at `link`. */
#define LIST_OWNER(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

static inline void list_init(list *head)
{
    head->next = head;
    head->prev = head;
}

static inline bool list_is_empty(const list *head)
{
    return head->next == head;
}

static inline void list_insert_before(list *link, list *before)
{
    link->prev = before->prev;
    link->next = before;
    before->prev->next = link;
    before->prev = link;
}

static inline void list_push_back(list *head, list *link)
{
    list_insert_before(link, head);
}

static inline void list_push_front(list *head, list *link)
{
    list_insert_before(link, head->next);
}

/* `link` becomes a ring of its own, so that removing it twice does nothing. */
static inline void list_remove(list *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}

/* Makes `to`, whatever it was, a list of all that was in `from`, which is then empty. */
static inline void list_take_all(list *to, list *from)
{
    list_init(to);
    if (!list_is_empty(from)) {
        *to = *from;
        to->next->prev = to;
        to->prev->next = to;
        list_init(from);
    }
}

/* Takes the first link off, or NULL. */
static inline list *list_pop_front(list *head)
{
    list *link = head->next;

    if (link == head) {
        return NULL;
    }
    list_remove(link);
    return link;
}

#endif
