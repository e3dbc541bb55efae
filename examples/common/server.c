/* SPDX-License-Identifier: MIT */
#include "server.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Longer lines are cut. Below PIPE_BUF, so that lines of several processes never mix. */
#define LINE_SIZE 4096

static void write_line(mail_log_level level, const char *what, const mail_log_field *fields,
                       size_t count, void *arg)
{
    const server_log *log = arg;
    char line[LINE_SIZE];
    size_t length = mail_log_print(log->format, (mail_wall)time(NULL), level, what, fields, count,
                                   line, sizeof(line));

    (void)!write(STDERR_FILENO, line, length); /* there is nobody else to tell */
}

void server_log_init(server_log *log, mail_log_level level, mail_log_format format)
{
    *log = (server_log){.log = {.write = write_line, .arg = log, .level = level}, .format = format};
}

void server_say(const server_log *log, mail_log_level level, const char *what, const char *detail)
{
    const mail_log_field field = {"detail", mail_span_text(detail)};

    mail_log_line(&log->log, level, what, &field, detail != NULL ? 1 : 0);
}

/* Signals belong to the process, and so does this: it is what their handler may touch. */
static struct {
    mail_loop *loop;
    mail_bell *bell;
    const server_signal_ops *ops;
    void *arg;
    volatile sig_atomic_t stop;
    volatile sig_atomic_t reload;
} signals;

static void on_signal(int number)
{
    if (number == SIGHUP) {
        signals.reload = 1;
    } else {
        signals.stop = 1;
    }
    signals.loop->ops->ring(signals.bell);
}

static void on_bell(void *arg)
{
    (void)arg;
    if (signals.reload) {
        signals.reload = 0;
        signals.ops->on_reload(signals.arg);
    }
    if (signals.stop) {
        signals.stop = 0;
        signals.ops->on_stop(signals.arg);
    }
}

static void set_handler(int number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};

    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

int server_signals_watch(mail_loop *loop, const server_signal_ops *ops, void *arg)
{
    int code;

    signals.loop = loop;
    signals.ops = ops;
    signals.arg = arg;
    code = loop->ops->bell(loop, on_bell, NULL, &signals.bell);
    if (code != MAIL_OK) {
        return code;
    }
    set_handler(SIGPIPE, SIG_IGN);
    set_handler(SIGTERM, on_signal);
    set_handler(SIGINT, on_signal);
    set_handler(SIGHUP, on_signal);
    return MAIL_OK;
}

void server_signals_unwatch(void)
{
    if (signals.bell == NULL) {
        return;
    }
    set_handler(SIGTERM, SIG_DFL);
    set_handler(SIGINT, SIG_DFL);
    set_handler(SIGHUP, SIG_DFL);
    signals.loop->ops->unbell(signals.bell);
    signals.bell = NULL;
}

void server_ready_add(server_ready *ready, const char *service, const char *where)
{
    size_t used = strlen(ready->text);

    snprintf(ready->text + used, sizeof(ready->text) - used, " %s=%s", service, where);
}

void server_ready_add_endpoint(server_ready *ready, const char *service, const mail_endpoint *at)
{
    char text[MAIL_IP_TEXT_SIZE];

    text[mail_endpoint_print(at, text)] = '\0';
    server_ready_add(ready, service, text);
}

bool server_ready_print(const server_ready *ready)
{
    return printf("ready%s\n", ready->text) > 0 && fflush(stdout) == 0;
}

void server_raise_limits(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* what there is must do */
    }
    set_handler(SIGXFSZ, SIG_IGN);
}

void server_hostname(char out[SERVER_HOSTNAME_SIZE])
{
    char name[SERVER_HOSTNAME_SIZE] = "";

    if (gethostname(name, sizeof(name) - 1) != 0 ||
        mail_domain_to_ascii(mail_span_text(name), out) != MAIL_OK) {
        snprintf(out, SERVER_HOSTNAME_SIZE, "localhost");
    }
}
