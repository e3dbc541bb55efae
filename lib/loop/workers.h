/* SPDX-License-Identifier: MIT */
#ifndef LIB_LOOP_WORKERS_H
#define LIB_LOOP_WORKERS_H

#include <mail/base.h>

#include <pthread.h>

#include "base/list.h"

#define WORKERS_MAX 4

/*
 * A few threads that run blocking jobs, started when first needed. What is done
 * is collected on the owner's thread, which also does all allocation.
 */
typedef struct loop_workers {
    const mail_mem *mem;
    void (*wake)(void *arg); /* called on a worker's thread: there is something to collect */
    void *arg;
    size_t under_way; /* jobs added and not yet collected */
    pthread_mutex_t lock;
    pthread_cond_t more;
    list waiting; /* of jobs; under the lock, as is all below */
    list done;
    size_t queued; /* in `waiting` */
    size_t busy;   /* threads that run a job */
    bool stopping;
    size_t count;
    pthread_t threads[WORKERS_MAX];
} loop_workers;

void loop_workers_init(loop_workers *workers, const mail_mem *mem, void (*wake)(void *arg),
                       void *arg);
void loop_workers_deinit(loop_workers *workers); /* no job may be under way */

/* MAIL_ENOMEM; MAIL_ESYS when not one thread can be had. */
int loop_workers_add(loop_workers *workers, void (*run)(void *), void (*done)(void *), void *arg);

/* Calls `done` of all jobs that have run. */
void loop_workers_collect(loop_workers *workers);

#endif
