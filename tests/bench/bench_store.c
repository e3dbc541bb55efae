/* SPDX-License-Identifier: MIT */
/*
 * What a delivery into a Maildir costs beside what the disk can do:
 *
 *     bench_store DIR [THREADS [MESSAGES [MAILBOXES]]]
 *
 * in turn by the library, and bare: create, write, fsync, link, unlink, fsync of the folder.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <mail/store.h>

#define MOST 256

typedef struct run {
    const char *dir;
    mail_store *store; /* NULL: bare */
    unsigned messages;
    unsigned mailboxes;
    atomic_uint next;
} run;

static char body[5000];

static void check(bool good, const char *what)
{
    if (!good) {
        perror(what);
        exit(1);
    }
}

static void deliver(const run *r, unsigned number)
{
    char path[4096];
    mail_sink *sink;

    snprintf(path, sizeof(path), "%s/store/%u", r->dir, number % r->mailboxes);
    check(mail_store_append(r->store, path, &sink, NULL) == MAIL_OK, path);
    check(mail_sink_write(sink, mail_span_of(body, sizeof(body))) == MAIL_OK, path);
    check(mail_sink_finish(sink, NULL, NULL) == MAIL_OK, path);
}

static void deliver_bare(const run *r, unsigned number)
{
    char folder[4096];
    char tmp[4200];
    char new[4200];
    int fd;

    snprintf(folder, sizeof(folder), "%s/bare/%u", r->dir, number % r->mailboxes);
    snprintf(tmp, sizeof(tmp), "%s/tmp/%u", folder, number);
    snprintf(new, sizeof(new), "%s/new/%u", folder, number);
    fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL, 0600);
    check(fd >= 0 && write(fd, body, sizeof(body)) == sizeof(body) && fsync(fd) == 0, tmp);
    close(fd);
    check(link(tmp, new) == 0 && unlink(tmp) == 0, new);
    snprintf(new, sizeof(new), "%s/new", folder);
    fd = open(new, O_RDONLY | O_DIRECTORY);
    check(fd >= 0 && fsync(fd) == 0, new);
    close(fd);
}

static void *work(void *arg)
{
    run *r = arg;

    for (;;) {
        unsigned number = atomic_fetch_add(&r->next, 1);

        if (number >= r->messages) {
            return NULL;
        }
        if (r->store != NULL) {
            deliver(r, number);
        } else {
            deliver_bare(r, number);
        }
    }
}

static double measure(run *r, unsigned threads)
{
    pthread_t ids[MOST];
    struct timespec from;
    struct timespec to;

    atomic_store(&r->next, 0);
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (unsigned i = 0; i < threads; i++) {
        check(pthread_create(&ids[i], NULL, work, r) == 0, "thread");
    }
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    return r->messages /
           ((double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9);
}

static void make(const char *path)
{
    check(mkdir(path, 0700) == 0 || errno == EEXIST, path);
}

/* Making mailboxes is not what is measured. */
static void make_mailboxes(run *r)
{
    static const char *const subs[] = {"", "/tmp", "/new"};
    char path[4200];

    make(r->dir);
    snprintf(path, sizeof(path), "%s/bare", r->dir);
    make(path);
    for (unsigned i = 0; i < r->mailboxes; i++) {
        for (size_t j = 0; j < MAIL_COUNT(subs); j++) {
            snprintf(path, sizeof(path), "%s/bare/%u%s", r->dir, i, subs[j]);
            make(path);
        }
        deliver(r, i);
    }
}

static unsigned argument(int argc, char **argv, int index, unsigned otherwise)
{
    return argc > index ? (unsigned)strtoul(argv[index], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    unsigned threads = argument(argc, argv, 2, 4);
    run ours = {.messages = argument(argc, argv, 3, 5000),
                .mailboxes = argument(argc, argv, 4, 100)};
    run bare;

    if (argc < 2 || threads < 1 || threads > MOST || ours.mailboxes < 1) {
        fprintf(stderr, "usage: bench_store DIR [THREADS [MESSAGES [MAILBOXES]]]\n");
        return 64;
    }
    memset(body, 'x', sizeof(body));
    for (size_t i = 78; i + 1 < sizeof(body); i += 80) {
        memcpy(body + i, "\r\n", 2);
    }
    ours.dir = argv[1];
    check(mail_maildir_create(&ours.store, NULL) == MAIL_OK, "store");
    make_mailboxes(&ours);
    bare = (run){.dir = ours.dir, .messages = ours.messages, .mailboxes = ours.mailboxes};
    for (unsigned part = 0; part < 3; part++) {
        double store = measure(&ours, threads);
        double disk = measure(&bare, threads);
        char old[4096];
        char new[4096];

        printf("%u threads: store %.0f/s, bare %.0f/s, ratio %.2f\n", threads, store, disk,
               store / disk);
        /* The bare names come again. */
        snprintf(old, sizeof(old), "%s/bare", ours.dir);
        snprintf(new, sizeof(new), "%s/bare.%u.%ld", ours.dir, part, (long)getpid());
        check(rename(old, new) == 0, new);
        make_mailboxes(&ours);
    }
    mail_store_destroy(ours.store);
    return 0;
}
