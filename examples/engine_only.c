/* SPDX-License-Identifier: MIT */
/*
 * Receives a message with the SMTP server engine alone: no loop, no listener, no
 * thread. Bytes come from one end of a socketpair by plain read(2) and go back by
 * write(2); at the other end a child process plays the client.
 */
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <mail/smtp_server.h>

static mail_time now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * MAIL_SECOND + ts.tv_nsec;
}

/* The client: once greeted it talks without waiting, as PIPELINING lets it. */
static int play_client(int fd)
{
    static const char script[] =
        "EHLO client.example\r\n"
        "MAIL FROM:<alice@a.example>\r\nRCPT TO:<bob@b.example>\r\nDATA\r\n"
        "Subject: Hello\r\n\r\nHello Bob.\r\n.\r\nQUIT\r\n";
    char replies[4096];
    ssize_t n = read(fd, replies, sizeof(replies)); /* the greeting: before it nobody may talk */

    if (n <= 0 || write(fd, script, sizeof(script) - 1) < 0) {
        return 1;
    }
    while ((n = read(fd, replies, sizeof(replies))) > 0) {
        fwrite(replies, 1, (size_t)n, stdout);
    }
    return 0;
}

/* Takes every message and prints it. Returns false once the session is over. */
static bool handle(mail_smtp_server *engine, const mail_smtp_event *ev)
{
    switch (ev->type) {
    case MAIL_SMTP_EV_MAIL:
    case MAIL_SMTP_EV_RCPT:
        printf("-- %s <%.*s>\n", mail_smtp_event_name(ev->type), (int)ev->path->length,
               ev->path->text);
        break;
    case MAIL_SMTP_EV_BODY:
        fwrite(ev->body.data, 1, ev->body.length, stdout);
        break;
    case MAIL_SMTP_EV_CLOSE:
        return false;
    default:
        break;
    }
    if (mail_smtp_server_asks(engine)) {
        mail_smtp_server_answer(engine, now(), NULL); /* the ordinary yes */
    }
    return true;
}

/* Feeds what has come until the engine wants more; sends what it has to say. */
static bool pump(mail_smtp_server *engine, int fd, mail_span in)
{
    mail_smtp_event ev;
    bool open = true;

    do {
        size_t used = 0;

        if (mail_smtp_server_feed(engine, now(), in, &used, &ev) != MAIL_OK) {
            return false;
        }
        in = mail_span_from(in, used);
        if (ev.type != MAIL_SMTP_EV_NONE) {
            open = handle(engine, &ev);
        }
        while (mail_smtp_server_out(engine).length > 0) {
            mail_span out = mail_smtp_server_out(engine);
            ssize_t n = write(fd, out.data, out.length);

            if (n < 0) {
                return false;
            }
            mail_smtp_server_sent(engine, (size_t)n);
        }
    } while (open && ev.type != MAIL_SMTP_EV_NONE);
    return open;
}

int main(void)
{
    mail_smtp_server_options opts = MAIL_SMTP_SERVER_OPTIONS_INIT;
    mail_smtp_server *engine;
    char in[4096];
    ssize_t n = 0;
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0) {
        return 1;
    }
    if (fork() == 0) {
        close(ends[0]);
        return play_client(ends[1]);
    }
    close(ends[1]);
    opts.hostname = MAIL_SPAN("b.example");
    if (mail_smtp_server_create(&engine, &opts, now()) != MAIL_OK) {
        return 1;
    }
    /* A line that is not whole yet would have to be offered again with more
     * behind it; the child sends everything at once, so here none is. */
    while (pump(engine, ends[0], mail_span_of(in, (size_t)n)) &&
           (n = read(ends[0], in, sizeof(in))) > 0) {
    }
    mail_smtp_server_destroy(engine);
    close(ends[0]);
    wait(NULL);
    return 0;
}
