/* SPDX-License-Identifier: MIT */
/*
 * An SMTP load generator: as many sessions as asked for in one epoll loop, each
 * sending its next message as soon as the last one is accepted.
 *
 *   load --to HOST:PORT [--connections N] [--seconds S] [--messages M] [--size OCTETS]
 *        [--per-connection K] [--users U] [--domains D] [--starttls] [--no-mail] [--idle]
 *
 * Ends after --messages, or starts nothing new after --seconds. Prints one JSON
 * object; latencies are those of the reply to the final dot. With --no-mail sessions end
 * after EHLO, and they are what is counted. With --idle it opens the sessions as far as
 * EHLO, prints the object and waits for the end of its input. With --starttls each
 * session makes a full handshake, believing any certificate, at a third of what it costs a server
 * (careless.c); "busy" is how much of a core all that took.
 */
#include "common.h"

#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>

#include <gnutls/gnutls.h>

enum phase {
    GREETING,
    EHLO,
    STARTTLS,
    HANDSHAKE,
    MAIL,
    RCPT,
    DATA,
    DOT,
    QUIT,
    IDLE,
    CLOSED
};

typedef struct session {
    int fd;
    enum phase phase;
    unsigned pending; /* bytes of a line begun */
    unsigned sent;    /* messages on this connection */
    const char *out;  /* what is left to send, in `command` or the message */
    size_t out_length;
    double dot_at;
    char line[3]; /* the code of the line being read */
    bool last;    /* it is the last line of its reply */
    gnutls_session_t tls;
    char command[256];
} session;

static struct {
    struct sockaddr_in to;
    unsigned connections;
    double seconds;
    uint64_t messages;
    size_t size;
    unsigned per_connection;
    unsigned users;
    unsigned domains;
    bool starttls;
    bool no_mail;
    bool idle;
} opt = {.connections = 1, .messages = UINT64_MAX, .size = 5120, .users = 1, .domains = 1};

static gnutls_certificate_credentials_t credentials;
static gnutls_priority_t priority;

static struct {
    int epoll;
    char *message;
    size_t message_length;
    uint64_t begun;
    uint64_t ok;
    uint64_t failed;
    unsigned live;
    unsigned greeted;
    double start;
    double last_ok;
    float *latency_us;
    size_t latency_capacity;
    char error[128];
} run;

static void note_error(const char *text, size_t length)
{
    if (run.error[0] == '\0') {
        snprintf(run.error, sizeof(run.error), "%.*s", (int)length, text);
    }
    for (char *c = run.error; *c != '\0'; c++) {
        if (*c < ' ' || *c == '"' || *c == '\\') {
            *c = ' ';
        }
    }
}

static bool may_begin(void)
{
    if (opt.seconds > 0 && seconds_now() - run.start > opt.seconds) {
        return false;
    }
    return run.begun < opt.messages;
}

static void watch(session *s, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = s};

    if (epoll_ctl(run.epoll, EPOLL_CTL_MOD, s->fd, &event) < 0) {
        die("epoll_ctl");
    }
}

static void connect_session(session *s)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};

    *s = (session){.phase = GREETING};
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (s->fd < 0) {
        die("socket");
    }
    no_delay(s->fd);
    if (connect(s->fd, (struct sockaddr *)&opt.to, sizeof(opt.to)) < 0 && errno != EINPROGRESS) {
        die("connect");
    }
    if (epoll_ctl(run.epoll, EPOLL_CTL_ADD, s->fd, &event) < 0) {
        die("epoll_ctl");
    }
    run.live++;
}

static void close_session(session *s)
{
    bool was_greeted = s->phase != GREETING;

    if (s->phase >= MAIL && s->phase <= DOT) {
        run.failed++;
    }
    if (s->tls != NULL) {
        gnutls_deinit(s->tls);
        s->tls = NULL;
    }
    close(s->fd);
    s->phase = CLOSED;
    run.live--;
    if (!opt.idle && was_greeted && may_begin()) {
        connect_session(s);
    }
}

/* As send and recv, with EAGAIN in errno; a call that said so is repeated with the same bytes. */
static ssize_t put_out(session *s)
{
    ssize_t n;

    if (s->tls == NULL) {
        return send(s->fd, s->out, s->out_length, MSG_NOSIGNAL);
    }
    n = gnutls_record_send(s->tls, s->out, s->out_length);
    errno = n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED ? EAGAIN : EIO;
    return n;
}

static ssize_t take_in(session *s, char *to, size_t size)
{
    ssize_t n;

    if (s->tls == NULL) {
        return recv(s->fd, to, size, 0);
    }
    do {
        n = gnutls_record_recv(s->tls, to, size);
    } while (n == GNUTLS_E_INTERRUPTED);
    errno = n == GNUTLS_E_AGAIN ? EAGAIN : EIO;
    return n;
}

static void flush(session *s)
{
    while (s->out_length > 0) {
        ssize_t n = put_out(s);

        if (n < 0) {
            if (errno == EAGAIN) {
                watch(s, EPOLLIN | EPOLLOUT);
                return;
            }
            note_error("send failed", 11);
            close_session(s);
            return;
        }
        s->out += n;
        s->out_length -= (size_t)n;
    }
}

static void say(session *s, const char *text, size_t length)
{
    s->out = text;
    s->out_length = length;
    flush(s);
}

/* "dN." of the N domains, in turn; nothing if there is one. */
static const char *domain_label(uint64_t number)
{
    static char label[24];

    if (opt.domains > 1) {
        snprintf(label, sizeof(label), "d%u.", (unsigned)(number / opt.users % opt.domains));
    }
    return label;
}

static void begin_message(session *s)
{
    uint64_t number = run.begun;
    int length;

    if (!may_begin() || (opt.per_connection > 0 && s->sent >= opt.per_connection)) {
        s->phase = QUIT;
        say(s, "QUIT\r\n", 6);
        return;
    }
    length = snprintf(s->command, sizeof(s->command),
                      "MAIL FROM:<load@bench.test>\r\nRCPT TO:<u%u@%sbench.test>\r\nDATA\r\n",
                      (unsigned)(number % opt.users), domain_label(number));
    run.begun++;
    s->sent++;
    s->phase = MAIL;
    say(s, s->command, (size_t)length);
}

static void note_accepted(session *s)
{
    double now = seconds_now();

    if (run.ok == run.latency_capacity) {
        run.latency_capacity = run.latency_capacity > 0 ? run.latency_capacity * 2 : 1 << 16;
        run.latency_us = need(realloc(run.latency_us, run.latency_capacity * sizeof(float)));
    }
    run.latency_us[run.ok++] = (float)((now - s->dot_at) * 1e6);
    run.last_ok = now;
}

static void shake_hands(session *s)
{
    int code;

    do {
        code = gnutls_handshake(s->tls);
    } while (code < 0 && code != GNUTLS_E_AGAIN && gnutls_error_is_fatal(code) == 0);
    if (code == GNUTLS_E_AGAIN) {
        watch(s, EPOLLIN | (gnutls_record_get_direction(s->tls) == 1 ? EPOLLOUT : 0));
    } else if (code < 0) {
        note_error(gnutls_strerror(code), 60);
        run.failed++;
        close_session(s);
    } else {
        watch(s, EPOLLIN);
        s->phase = EHLO;
        say(s, "EHLO load.bench.test\r\n", 22);
    }
}

static void begin_tls(session *s)
{
    if (gnutls_init(&s->tls,
                    GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS) < 0 ||
        gnutls_priority_set(s->tls, priority) < 0 ||
        gnutls_credentials_set(s->tls, GNUTLS_CRD_CERTIFICATE, credentials) < 0) {
        die("gnutls");
    }
    gnutls_transport_set_int(s->tls, s->fd);
    s->phase = HANDSHAKE;
    shake_hands(s);
}

/* EHLO is answered, in clear or not. */
static void on_ready(session *s)
{
    if (opt.starttls && s->tls == NULL) {
        s->phase = STARTTLS;
        say(s, "STARTTLS\r\n", 10);
    } else if (opt.idle) {
        s->phase = IDLE;
    } else if (opt.no_mail) {
        run.begun++;
        s->dot_at = seconds_now();
        note_accepted(s);
        s->phase = QUIT;
        say(s, "QUIT\r\n", 6);
    } else {
        begin_message(s);
    }
}

/* A whole reply has come; `code` is its code. */
static void on_reply(session *s, const char *code)
{
    static const char wanted[] = {[GREETING] = '2', [EHLO] = '2', [STARTTLS] = '2', [MAIL] = '2',
                                  [RCPT] = '2',     [DATA] = '3', [DOT] = '2',      [QUIT] = '2'};

    if (s->phase == IDLE || code[0] != wanted[s->phase]) {
        note_error(code, 3);
        close_session(s);
        return;
    }
    switch (s->phase) {
    case GREETING:
        run.greeted++;
        s->phase = EHLO;
        say(s, "EHLO load.bench.test\r\n", 22);
        break;
    case EHLO:
        on_ready(s);
        break;
    case STARTTLS:
        begin_tls(s);
        break;
    case MAIL:
    case RCPT:
        s->phase++;
        break;
    case DATA:
        s->phase = DOT;
        s->dot_at = seconds_now();
        say(s, run.message, run.message_length);
        break;
    case DOT:
        note_accepted(s);
        begin_message(s);
        break;
    case QUIT:
        close_session(s);
        break;
    case HANDSHAKE:
    case IDLE:
    case CLOSED:
        break;
    }
}

/* Takes in what has come once; whether there may be more. */
static bool read_once(session *s)
{
    char in[4096];
    gnutls_session_t tls = s->tls;
    ssize_t n = take_in(s, in, sizeof(in));
    int fd = s->fd;

    if (n < 0 && errno == EAGAIN) {
        return false;
    }
    if (n <= 0) {
        if (s->phase != QUIT) {
            note_error(n < 0 ? strerror(errno) : "closed by the server", 40);
        }
        close_session(s);
        return false;
    }
    for (ssize_t i = 0; i < n && s->phase != CLOSED && s->fd == fd; i++) {
        if (s->pending < 3) {
            s->line[s->pending] = in[i];
        } else if (s->pending == 3) {
            s->last = in[i] != '-';
        }
        s->pending++;
        if (in[i] == '\n') {
            s->pending = 0;
            if (s->last) {
                on_reply(s, s->line);
            }
        }
    }
    return tls != NULL && s->tls == tls && s->phase != CLOSED;
}

static void on_input(session *s)
{
    if (s->phase == HANDSHAKE) {
        shake_hands(s);
        return;
    }
    while (read_once(s)) {
    }
}

static void on_output(session *s)
{
    if (s->phase == HANDSHAKE) {
        shake_hands(s);
        return;
    }
    watch(s, EPOLLIN);
    flush(s);
}

static void make_message(void)
{
    static const char header[] =
        "From: <load@bench.test>\r\nTo: <u0@bench.test>\r\nSubject: benchmark\r\n"
        "Date: Thu, 1 Jan 2026 00:00:00 +0000\r\nMIME-Version: 1.0\r\n\r\n";
    size_t at = sizeof(header) - 1;

    run.message = need(malloc(at + opt.size + 90));
    memcpy(run.message, header, at);
    while (at < opt.size) {
        for (unsigned i = 0; i < 76; i++) {
            run.message[at + i] = (char)('a' + (at * 7 + i * 13) % 26);
        }
        at += 76;
        memcpy(run.message + at, "\r\n", 2);
        at += 2;
    }
    memcpy(run.message + at, ".\r\n", 3);
    run.message_length = at + 3;
}

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a;
    float y = *(const float *)b;

    return (x > y) - (x < y);
}

static void report(void)
{
    double elapsed = run.last_ok - run.start;
    double busy = (double)clock() / CLOCKS_PER_SEC;
    size_t n = run.ok;

    qsort(run.latency_us, n, sizeof(float), compare);
    printf("{\"ok\": %llu, \"failed\": %llu, \"seconds\": %.4f, \"rate\": %.1f, \"p50_us\": %.0f, "
           "\"p99_us\": %.0f, \"max_us\": %.0f, \"greeted\": %u, \"start\": %.6f, "
           "\"busy\": %.3f, \"error\": \"%s\"}\n",
           (unsigned long long)run.ok, (unsigned long long)run.failed, elapsed,
           elapsed > 0 ? (double)n / elapsed : 0.0, n > 0 ? (double)run.latency_us[n / 2] : 0.0,
           n > 0 ? (double)run.latency_us[n * 99 / 100] : 0.0,
           n > 0 ? (double)run.latency_us[n - 1] : 0.0, run.greeted, run.start,
           elapsed > 0 ? busy / elapsed : 0.0, run.error);
    fflush(stdout);
}

static void parse_options(int argc, char **argv)
{
    static const struct option options[] = {
        {"to", required_argument, NULL, 't'},      {"connections", required_argument, NULL, 'c'},
        {"seconds", required_argument, NULL, 's'}, {"messages", required_argument, NULL, 'm'},
        {"size", required_argument, NULL, 'l'},    {"per-connection", required_argument, NULL, 'k'},
        {"users", required_argument, NULL, 'u'},   {"domains", required_argument, NULL, 'd'},
        {"starttls", no_argument, NULL, 'S'},      {"no-mail", no_argument, NULL, 'n'},
        {"idle", no_argument, NULL, 'i'},          {NULL, 0, NULL, 0},
    };
    int o;

    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (o) {
        case 't':
            opt.to = parse_address(optarg);
            break;
        case 'c':
            opt.connections = (unsigned)atoi(optarg);
            break;
        case 's':
            opt.seconds = atof(optarg);
            break;
        case 'm':
            opt.messages = strtoull(optarg, NULL, 10);
            break;
        case 'l':
            opt.size = (size_t)atol(optarg);
            break;
        case 'k':
            opt.per_connection = (unsigned)atoi(optarg);
            break;
        case 'u':
            opt.users = (unsigned)atoi(optarg);
            break;
        case 'd':
            opt.domains = (unsigned)atoi(optarg);
            break;
        case 'S':
            opt.starttls = true;
            break;
        case 'n':
            opt.no_mail = true;
            break;
        case 'i':
            opt.idle = true;
            break;
        default:
            exit(64);
        }
    }
}

static bool is_done(const session *sessions)
{
    if (!opt.idle) {
        return run.live == 0;
    }
    for (unsigned i = 0; i < opt.connections; i++) {
        if (sessions[i].phase != IDLE && sessions[i].phase != CLOSED) {
            return false;
        }
    }
    return true;
}

/*
 * The least that a client can do: one key share, the quickest that all servers know, and no
 * memory given back to the system between sessions.
 */
static void prepare_tls(void)
{
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
    mallopt(M_MMAP_THRESHOLD, 64 << 20);
    if (gnutls_certificate_allocate_credentials(&credentials) < 0 ||
        gnutls_priority_init(&priority,
                             "NORMAL:-VERS-ALL:+VERS-TLS1.3:-GROUP-ALL:+GROUP-X25519"
                             ":-CIPHER-ALL:+AES-128-GCM",
                             NULL) < 0) {
        die("gnutls");
    }
}

int main(int argc, char **argv)
{
    struct epoll_event events[256];
    session *sessions;
    unsigned opened = 0;
    char byte;

    parse_options(argc, argv);
    raise_file_limit();
    make_message();
    prepare_tls();
    sessions = need(calloc(opt.connections, sizeof(*sessions)));
    run.epoll = epoll_create1(EPOLL_CLOEXEC);
    run.start = seconds_now();
    run.last_ok = run.start;
    while (opened < opt.connections || !is_done(sessions)) {
        int count;

        /* A server with a short backlog must not lose connections to it. */
        while (opened < opt.connections && opened - run.greeted < 64) {
            connect_session(&sessions[opened++]);
        }
        count = epoll_wait(run.epoll, events, 256, 1000);
        for (int i = 0; i < count; i++) {
            session *s = events[i].data.ptr;

            if ((events[i].events & EPOLLOUT) != 0 && s->phase != CLOSED) {
                on_output(s);
            }
            if ((events[i].events & ~(uint32_t)EPOLLOUT) != 0 && s->phase != CLOSED) {
                on_input(s);
            }
        }
    }
    report();
    while (opt.idle && read(STDIN_FILENO, &byte, 1) > 0) {
    }
    return run.failed > 0;
}
