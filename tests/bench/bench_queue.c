/* SPDX-License-Identifier: MIT */
/*
 * What the queue costs beside what the disk can do:
 *
 *     bench_queue commit DIR [PRODUCERS [SECONDS [BYTES]]]
 *         the log, and in turn a bare group commit (pwritev and fdatasync of the same
 *         bytes by one thread, in place, with the same hand-over) on the same disk
 *     bench_queue waiting DIR [MESSAGES]
 *         the same with so many messages waiting in lanes that are put off
 *     bench_queue many DIR [MESSAGES]
 *         memory a message, time to list the first page, time to open again
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <mail/queue.h>

#define MOST     512
#define BARE_CAP ((uint64_t)128 << 20)

static char *body;
static size_t body_length = 5000;
static _Atomic bool must_stop;

static double seconds(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double cpu_seconds(void)
{
    struct rusage use;

    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void check(int code, const char *what)
{
    if (code < 0) {
        fprintf(stderr, "%s: %s\n", what, mail_strerror(code));
        exit(1);
    }
}

/* A message as mail is: a short header, an empty line, and lines of text. */
static void make_body(void)
{
    static const char header[] = "From: <from@x.example>\r\n"
                                 "To: <user@y.example>\r\n"
                                 "Subject: what the queue costs\r\n"
                                 "\r\n";
    size_t start = sizeof(header) - 1 < body_length ? sizeof(header) - 1 : 0;

    body = malloc(body_length);
    if (body == NULL) {
        die("malloc");
    }
    memcpy(body, header, start);
    for (size_t i = start; i < body_length; i++) {
        body[i] = i % 72 == 70 ? '\r' : i % 72 == 71 ? '\n' : (char)('a' + i % 26);
    }
}

/* One who sends a message, waits until it is safe, and sends the next. */
typedef struct producer {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t rung;
    bool has_rung;
    uint64_t count;
    struct producer *next; /* bare: in the list of those who wait */
    mail_queue *queue;
    mail_intake *intake;
} producer;

static producer producers[MOST];

static void ring(void *arg)
{
    producer *p = arg;

    pthread_mutex_lock(&p->lock);
    p->has_rung = true;
    pthread_mutex_unlock(&p->lock);
    pthread_cond_signal(&p->rung); /* whoever wakes finds the lock free */
}

static void wait_for_ring(producer *p)
{
    pthread_mutex_lock(&p->lock);
    while (!p->has_rung) {
        pthread_cond_wait(&p->rung, &p->lock);
    }
    p->has_rung = false;
    pthread_mutex_unlock(&p->lock);
}

/* The bare disk. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t work;
    producer *first;
    producer **last;
    bool waits;
    int fd;
} bare = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, NULL, false, -1};

static void *bare_produce(void *arg)
{
    producer *p = arg;
    bool must_wake;

    while (!must_stop) {
        pthread_mutex_lock(&bare.lock);
        p->next = NULL;
        *bare.last = p;
        bare.last = &p->next;
        must_wake = bare.waits;
        pthread_mutex_unlock(&bare.lock);
        if (must_wake) {
            pthread_cond_signal(&bare.work);
        }
        wait_for_ring(p);
        p->count++;
    }
    return NULL;
}

static producer *bare_take(void)
{
    producer *all;

    pthread_mutex_lock(&bare.lock);
    while (bare.first == NULL && !must_stop) {
        bare.waits = true;
        pthread_cond_wait(&bare.work, &bare.lock);
        bare.waits = false;
    }
    all = bare.first;
    bare.first = NULL;
    bare.last = &bare.first;
    pthread_mutex_unlock(&bare.lock);
    return all;
}

static void *bare_write(void *arg)
{
    static struct iovec parts[MOST];
    uint64_t offset = 0;
    producer *all;

    (void)arg;
    while ((all = bare_take()) != NULL) {
        uint64_t length = 0;
        int count = 0;

        for (producer *p = all; p != NULL; p = p->next) {
            parts[count++] = (struct iovec){body, body_length};
            length += body_length;
        }
        if (offset + length > BARE_CAP) {
            offset = 0;
        }
        if (pwritev(bare.fd, parts, count, (off_t)offset) != (ssize_t)length ||
            fdatasync(bare.fd) != 0) {
            die("bare write");
        }
        offset += length;
        while (all != NULL) {
            producer *next = all->next;

            ring(all);
            all = next;
        }
    }
    return NULL;
}

static void bare_fill(const char *dir)
{
    static char zeros[1 << 20];
    char path[4096];

    snprintf(path, sizeof(path), "%s/bare", dir);
    bare.fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (bare.fd < 0) {
        die(path);
    }
    unlink(path);
    for (uint64_t at = 0; at < BARE_CAP; at += sizeof(zeros)) {
        if (write(bare.fd, zeros, sizeof(zeros)) != (ssize_t)sizeof(zeros)) {
            die("fill");
        }
    }
    fsync(bare.fd);
}

typedef struct figures {
    double rate;
    double cpu; /* microseconds a message */
} figures;

static figures measure(int count, double duration, void *(*run)(void *), void (*meanwhile)(void))
{
    double start = seconds();
    double cpu = cpu_seconds();
    uint64_t total = 0;

    must_stop = false;
    for (int i = 0; i < count; i++) {
        producers[i].count = 0;
        pthread_create(&producers[i].thread, NULL, run, &producers[i]);
    }
    while (seconds() - start < duration) {
        meanwhile();
    }
    must_stop = true;
    for (int i = 0; i < count; i++) {
        pthread_join(producers[i].thread, NULL);
        total += producers[i].count;
    }
    return (figures){(double)total / (seconds() - start),
                     (cpu_seconds() - cpu) * 1e6 / (double)total};
}

static void nap(void)
{
    usleep(20000);
}

static figures measure_bare(int count, double duration)
{
    pthread_t writer;
    figures result;

    bare.first = NULL;
    bare.last = &bare.first;
    must_stop = false;
    pthread_create(&writer, NULL, bare_write, NULL);
    result = measure(count, duration, bare_produce, nap);
    pthread_cond_signal(&bare.work);
    pthread_join(writer, NULL);
    return result;
}

/* The queue. */
static mail_queue *queue;

static void on_finished(int code, void *arg)
{
    producer *p = arg;

    check(code, "finish");
    p->count++;
}

static const char *domain = "y.example";

static void fill_envelope(mail_envelope *envelope, unsigned number)
{
    char address[64];
    mail_recipient recipient;

    snprintf(address, sizeof(address), "user%u@%s", number, domain);
    recipient = (mail_recipient){.address = mail_span_text(address)};
    mail_envelope_init(envelope, NULL);
    check(mail_envelope_set_sender(envelope, MAIL_SPAN("from@x.example"), MAIL_SPAN("")),
          "envelope");
    check(mail_envelope_add(envelope, &recipient), "envelope");
}

/* It counts now, or when the intake is polled. */
static void send_one(producer *p, const mail_envelope *envelope)
{
    char id[MAIL_QUEUE_ID_SIZE];
    mail_sink *sink;
    int code = mail_intake_begin(p->intake, envelope, 0, id, &sink);

    if (code == MAIL_OK) {
        check(mail_sink_write(sink, mail_span_of(body, body_length)), "write");
        code = mail_sink_finish(sink, on_finished, p);
    }
    if (code != MAIL_EAGAIN) {
        on_finished(code, p);
    }
}

static void *queue_produce(void *arg)
{
    producer *p = arg;
    mail_envelope envelope;

    fill_envelope(&envelope, (unsigned)(p - producers));
    while (!must_stop) {
        uint64_t before = p->count;

        send_one(p, &envelope);
        while (p->count == before) {
            wait_for_ring(p);
            mail_intake_poll(p->intake);
        }
    }
    mail_envelope_deinit(&envelope);
    return NULL;
}

/* What has come goes again, so that the log can be used anew. */
static void remove_new(void)
{
    mail_queue_selector which = {.domain = mail_span_text(domain)};
    mail_lane *lane;

    usleep(20000);
    check((int)mail_queue_remove(queue, &which), "remove");
    lane = mail_queue_take_lane(queue); /* for the housekeeping */
    if (lane != NULL) {
        mail_lane_give_back(lane, MAIL_NEVER);
    }
}

static void open_queue(const char *dir, int count)
{
    mail_queue_options opts = MAIL_QUEUE_OPTIONS_INIT;
    char path[4096];
    mail_error err;

    snprintf(path, sizeof(path), "%s/spool", dir);
    if (mail_queue_open(&queue, path, &opts, &err) != MAIL_OK) {
        fprintf(stderr, "%s: %s\n", path, err.text);
        exit(1);
    }
    for (int i = 0; i < count; i++) {
        check(mail_intake_open(&producers[i].intake, queue, ring, &producers[i]), "intake");
    }
}

static void close_queue(int count)
{
    for (int i = 0; i < count; i++) {
        mail_intake_close(producers[i].intake);
    }
    mail_queue_close(queue);
}

static int by_size(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;

    return left < right ? -1 : left > right;
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof(*values), by_size);
    return values[count / 2];
}

#define ROUNDS 15

/* In turn and in short rounds, since the disk of a shared machine is not the same twice. */
static void compare(int count, double duration)
{
    double bare_rates[ROUNDS];
    double log_rates[ROUNDS];
    double ratios[ROUNDS];
    double bare_cpu[ROUNDS];
    double log_cpu[ROUNDS];

    for (int i = 0; i < ROUNDS; i++) {
        figures a = measure_bare(count, duration / ROUNDS);
        figures b = measure(count, duration / ROUNDS, queue_produce, remove_new);

        bare_rates[i] = a.rate;
        log_rates[i] = b.rate;
        ratios[i] = b.rate / a.rate;
        bare_cpu[i] = a.cpu;
        log_cpu[i] = b.cpu;
    }
    printf(
        "%d producers, %zu octets: bare %.0f/s with %.1f us of CPU each, log %.0f/s with %.1f us, "
        "ratio %.2f (medians)\n",
        count, body_length, median(bare_rates, ROUNDS), median(bare_cpu, ROUNDS),
        median(log_rates, ROUNDS), median(log_cpu, ROUNDS), median(ratios, ROUNDS));
}

static void commit(const char *dir, int count, double duration)
{
    bare_fill(dir);
    open_queue(dir, count);
    measure(count, 1, queue_produce, remove_new); /* until segments are used again */
    compare(count, duration);
    close_queue(count);
}

/* Brings in so many messages, many under way at a time. */
static void load(unsigned messages)
{
    producer *p = &producers[0];

    p->count = 0;
    for (unsigned sent = 0; sent < messages;) {
        for (unsigned i = 0; i < 256 && sent < messages; i++, sent++) {
            mail_envelope envelope;

            fill_envelope(&envelope, sent);
            send_one(p, &envelope);
            mail_envelope_deinit(&envelope);
        }
        while (p->count < sent) {
            wait_for_ring(p);
            mail_intake_poll(p->intake);
        }
    }
}

static void put_off(void)
{
    mail_lane *lane;

    while ((lane = mail_queue_take_lane(queue)) != NULL) {
        mail_lane_give_back(lane, MAIL_NEVER);
    }
}

static void waiting(const char *dir, unsigned messages)
{
    bare_fill(dir);
    open_queue(dir, 50);
    measure(50, 1, queue_produce, remove_new);
    compare(50, 4);
    domain = "dead.example";
    load(messages);
    put_off();
    domain = "y.example";
    printf("with %u waiting:\n", messages);
    compare(50, 4);
    close_queue(50);
}

static long resident_kib(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long size = 0;
    long resident = 0;

    if (file == NULL || fscanf(file, "%ld %ld", &size, &resident) != 2) {
        die("statm");
    }
    fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static bool count_page(const mail_queue_item *item, void *arg)
{
    (void)item;
    return ++*(unsigned *)arg < 100;
}

static void many(const char *dir, unsigned messages)
{
    mail_queue_selector all = {.all = true};
    mail_queue_stats stats;
    unsigned shown = 0;
    double start;
    double cpu;
    long before;

    body_length = body_length == 5000 ? 1000 : body_length;
    open_queue(dir, 1);
    load(1000);
    mail_queue_stats_read(queue, &stats);
    before = resident_kib();
    start = seconds();
    load(messages);
    mail_queue_stats_read(queue, &stats);
    printf("%" PRIu64 " messages: %.0f octets of memory each, %.0f/s accepted\n", stats.messages,
           (double)(resident_kib() - before) * 1024 / messages, messages / (seconds() - start));
    start = seconds();
    check(mail_queue_list(queue, &all, count_page, &shown), "list");
    printf("first page of %u: %.4f s\n", shown, seconds() - start);
    start = seconds();
    close_queue(1);
    printf("close: %.2f s\n", seconds() - start);
    start = seconds();
    cpu = cpu_seconds();
    open_queue(dir, 1);
    mail_queue_stats_read(queue, &stats);
    printf("open: %.2f s, %.2f s of CPU, %" PRIu64 " messages, %.2f GB of log\n", seconds() - start,
           cpu_seconds() - cpu, stats.messages, (double)stats.log_bytes_live / 1e9);
    close_queue(1);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: %s commit|waiting|many DIR [NUMBERS]\n", argv[0]);
        return 64;
    }
    body_length = argc > 5 ? (size_t)atol(argv[5]) : body_length;
    make_body();
    for (int i = 0; i < MOST; i++) {
        pthread_mutex_init(&producers[i].lock, NULL);
        pthread_cond_init(&producers[i].rung, NULL);
    }
    if (strcmp(argv[1], "commit") == 0) {
        commit(argv[2], argc > 3 ? atoi(argv[3]) : 50, argc > 4 ? atof(argv[4]) : 5);
    } else if (strcmp(argv[1], "waiting") == 0) {
        waiting(argv[2], argc > 3 ? (unsigned)atoi(argv[3]) : 100000);
    } else {
        many(argv[2], argc > 3 ? (unsigned)atoi(argv[3]) : 1000000);
    }
    return 0;
}
