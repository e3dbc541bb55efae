/* SPDX-License-Identifier: MIT */
#include "loop/workers.h"

#include <assert.h>
#include <signal.h>

#include "base/mem.h"

typedef struct job {
    list link;
    void (*run)(void *);
    void (*done)(void *);
    void *arg;
} job;

void loop_workers_init(loop_workers *workers, const mail_mem *mem, void (*wake)(void *arg),
                       void *arg)
{
    *workers = (loop_workers){.mem = mem, .wake = wake, .arg = arg};
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->more, NULL);
    list_init(&workers->waiting);
    list_init(&workers->done);
}

void loop_workers_deinit(loop_workers *workers)
{
    assert(workers->under_way == 0);
    pthread_mutex_lock(&workers->lock);
    workers->stopping = true;
    pthread_cond_broadcast(&workers->more);
    pthread_mutex_unlock(&workers->lock);
    for (size_t i = 0; i < workers->count; i++) {
        pthread_join(workers->threads[i], NULL);
    }
    pthread_cond_destroy(&workers->more);
    pthread_mutex_destroy(&workers->lock);
}

/* Waits for a job with the lock held; NULL: it is time to end. */
static list *next_job(loop_workers *workers)
{
    list *link;

    while (list_is_empty(&workers->waiting) && !workers->stopping) {
        pthread_cond_wait(&workers->more, &workers->lock);
    }
    link = list_pop_front(&workers->waiting);
    if (link != NULL) {
        workers->queued--;
        workers->busy++;
    }
    return link;
}

static void *work(void *arg)
{
    loop_workers *workers = arg;
    list *link;

    pthread_mutex_lock(&workers->lock);
    while ((link = next_job(workers)) != NULL) {
        job *jb = LIST_OWNER(link, job, link);

        pthread_mutex_unlock(&workers->lock);
        jb->run(jb->arg);
        pthread_mutex_lock(&workers->lock);
        workers->busy--;
        list_push_back(&workers->done, &jb->link);
        workers->wake(workers->arg);
    }
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

/* A thread that takes no signal: those are for the program's own threads. */
static bool start(loop_workers *workers)
{
    sigset_t all;
    sigset_t before;
    int number;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    number = pthread_create(&workers->threads[workers->count], NULL, work, workers);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (number != 0) {
        return false;
    }
    workers->count++;
    return true;
}

int loop_workers_add(loop_workers *workers, void (*run)(void *), void (*done)(void *), void *arg)
{
    job *jb = mem_alloc(workers->mem, sizeof(*jb));
    bool have_one;

    if (jb == NULL) {
        return MAIL_ENOMEM;
    }
    *jb = (job){.run = run, .done = done, .arg = arg};
    pthread_mutex_lock(&workers->lock);
    have_one = workers->count > 0;
    if (workers->busy + workers->queued >= workers->count && workers->count < WORKERS_MAX) {
        have_one = start(workers) || have_one;
    }
    if (have_one) {
        workers->under_way++;
        workers->queued++;
        list_push_back(&workers->waiting, &jb->link);
        pthread_cond_signal(&workers->more);
    }
    pthread_mutex_unlock(&workers->lock);
    if (!have_one) {
        mem_free(workers->mem, jb, sizeof(*jb));
        return MAIL_ESYS;
    }
    return MAIL_OK;
}

void loop_workers_collect(loop_workers *workers)
{
    for (;;) {
        list *link;
        job jb;

        pthread_mutex_lock(&workers->lock);
        link = list_pop_front(&workers->done);
        pthread_mutex_unlock(&workers->lock);
        if (link == NULL) {
            return;
        }
        jb = *LIST_OWNER(link, job, link);
        mem_free(workers->mem, LIST_OWNER(link, job, link), sizeof(jb));
        workers->under_way--;
        jb.done(jb.arg);
    }
}
