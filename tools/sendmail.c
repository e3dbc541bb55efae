/* SPDX-License-Identifier: MIT */
/*
 * sendmail: takes a message from a program or script, stores it durably in a
 * spool, and only then exits 0. If a relay owns the spool it goes on from there;
 * otherwise this program delivers what it can within a short time.
 */
#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include <mail/drop.h>
#include <mail/header.h>
#include <mail/operator.h>
#include <mail/version.h>

#include "exit_code.h"
#include "mailq.h"
#include "sendmail_deliver.h"
#include "sendmail_message.h"
#include "sendmail_options.h"
#include "sendmail_session.h"
#include "sendmail_verify.h"

static const char help[] =
    "usage: sendmail [option...] [recipient...]\n"
    "Reads a message from standard input, stores it and sends it.\n"
    "\n"
    "  -t                    recipients are in To, Cc and Bcc\n"
    "  -i, -oi               a line with only a dot does not end the message\n"
    "  -f ADDR, -r ADDR      envelope sender; <> for none\n"
    "  -F NAME               full name of the sender\n"
    "  -N LIST -R RET -V ID  delivery reports: never|success,failure,delay; full|hdrs; envelope "
    "id\n"
    "  -odq, -odi            store only; wait for the outcome\n"
    "  -bs                   speak SMTP on standard input and output\n"
    "  -bv                   say where mail to the recipients would go, and send none\n"
    "  -q, -qI ID, -qR DOMAIN, -qS ADDR\n"
    "                        try now what waits, or only that message, domain or sender\n"
    "  -v                    say on standard error what happens\n"
    "  --spool DIR           where to store ($LIBMAIL_SPOOL, " MAIL_SYSTEM_SPOOL
    ", the user's own)\n"
    "  --smarthost HOST:PORT send everything there, not to the recipients' hosts\n"
    "  --tls-out LEVEL       none, may, require or verify (may)\n"
    "  --tls-ca FILE         whom to trust, PEM (the system's list)\n"
    "  --auth-out HOST:PORT=USER,SOURCE\n"
    "                        who we are to the smart host; SOURCE: file:PATH or command:COMMAND\n"
    "  --resolver ADDR       DNS server, HOST:PORT; repeatable (those of the system)\n"
    "  --smtp-port N         port of the recipients' hosts (25)\n"
    "  --allow-private-mx    hosts on loopback and private addresses may be used\n"
    "  --wait[=SECONDS]      wait (60); the exit code tells what became of the message\n"
    "  --explain             say on standard error what is done, step by step\n"
    "  --help, --version\n"
    "Letters that other sendmails know are accepted and skipped.\n";

/* Facts about who calls, and where. */
typedef struct caller {
    char hostname[256];
    char user[256];
    char address[600];
    char full_name[256];
} caller;

static void read_mailname(caller *who)
{
    FILE *file = fopen("/etc/mailname", "re");

    if (file != NULL) {
        if (fgets(who->hostname, sizeof(who->hostname), file) == NULL) {
            who->hostname[0] = '\0';
        }
        who->hostname[strcspn(who->hostname, " \t\r\n")] = '\0';
        fclose(file);
    }
    if (who->hostname[0] == '\0' && gethostname(who->hostname, sizeof(who->hostname) - 1) < 0) {
        strcpy(who->hostname, "localhost");
    }
}

/* The name in the user database up to the first comma, an & standing for the login name. */
static void copy_gecos(caller *who, const char *gecos)
{
    size_t length = strcspn(gecos, ",&");

    if (length < sizeof(who->full_name)) {
        memcpy(who->full_name, gecos, length);
        who->full_name[length] = '\0';
    }
}

static void identify(caller *who, const sendmail_options *opts)
{
    const struct passwd *entry = getpwuid(getuid());
    const char *name = getenv("NAME");

    *who = (caller){.hostname = ""};
    read_mailname(who);
    snprintf(who->user, sizeof(who->user), "%s", entry != NULL ? entry->pw_name : "nobody");
    snprintf(who->address, sizeof(who->address), "%s@%s", who->user, who->hostname);
    if (entry != NULL && entry->pw_gecos != NULL) {
        copy_gecos(who, entry->pw_gecos);
    }
    if (opts->full_name != NULL || name != NULL) {
        snprintf(who->full_name, sizeof(who->full_name), "%s",
                 opts->full_name != NULL ? opts->full_name : name);
    }
}

/* The envelope sender: -f with or without brackets or display name, or the user. */
static int parse_sender(mail_path *sender, const sendmail_options *opts, const caller *who,
                        mail_error *err)
{
    const char *text = opts->sender != NULL ? opts->sender : who->address;
    mail_address_reader reader;
    mail_address mailbox;

    *sender = (mail_path){.length = 0};
    if (text[0] == '\0' || strcmp(text, "<>") == 0) {
        return 0;
    }
    mail_address_reader_init(&reader, mail_span_text(text), MAIL_PATH_UTF8 | MAIL_PATH_BARE);
    if (!sendmail_is_one_line(text) || mail_address_reader_next(&reader, &mailbox) != MAIL_OK) {
        mail_error_set(err, MAIL_EINVAL, "not an address: %.100s", text);
        return EX_USAGE;
    }
    *sender = mailbox.path;
    if (sender->local_length == sender->length) {
        char whole[2 * MAIL_PATH_MAX + 2];

        snprintf(whole, sizeof(whole), "%s@%s", sender->text, who->hostname);
        if (mail_path_from_text(mail_span_text(whole), MAIL_PATH_UTF8, sender) != MAIL_OK) {
            mail_error_set(err, MAIL_EINVAL, "not an address: %.100s", whole);
            return EX_USAGE;
        }
    }
    return 0;
}

/* RFC 3461, section 4.4: printable ASCII, and not more than 100 octets as it is sent. */
static bool is_envid(const char *text)
{
    char encoded[100];

    for (const char *c = text; *c != '\0'; c++) {
        if (*c < ' ' || *c > '~') {
            return false;
        }
    }
    return mail_xtext_encode(mail_span_text(text), encoded, sizeof(encoded)) >= 0;
}

static int set_parameters(mail_envelope *envelope, const sendmail_options *opts,
                          const mail_path *sender, mail_error *err)
{
    if (opts->ret != NULL) {
        bool full = mail_span_equal_nocase(mail_span_text(opts->ret), MAIL_SPAN("full"));

        if (!full && !mail_span_equal_nocase(mail_span_text(opts->ret), MAIL_SPAN("hdrs"))) {
            mail_error_set(err, MAIL_EINVAL, "bad -R: %.100s", opts->ret);
            return EX_USAGE;
        }
        envelope->ret = full ? MAIL_RET_FULL : MAIL_RET_HDRS;
    }
    if (opts->envid != NULL && !is_envid(opts->envid)) {
        mail_error_set(err, MAIL_EINVAL, "bad -V: not printable ASCII, or more than 100 octets");
        return EX_USAGE;
    }
    if (mail_envelope_set_sender(envelope, mail_path_text(sender), mail_span_text(opts->envid)) !=
        MAIL_OK) {
        mail_error_set(err, MAIL_ENOMEM, "out of memory");
        return EX_OSERR;
    }
    return 0;
}

/* Makes a folder and those above it, private to the user. */
static int make_folders(char *path)
{
    for (char *at = path + 1; *at != '\0'; at++) {
        if (*at == '/') {
            *at = '\0';
            if (mkdir(path, 0700) < 0 && errno != EEXIST) {
                *at = '/';
                return -1;
            }
            *at = '/';
        }
    }
    return mkdir(path, 0700) < 0 && errno != EEXIST ? -1 : 0;
}

/* Where to store; the folder is made if there is none. */
static int find_spool(char path[MAIL_SPOOL_PATH_SIZE], const sendmail_options *opts,
                      mail_error *err)
{
    int code = mail_spool_find(path, opts->spool, err);

    if (code != MAIL_OK) {
        return EX_CONFIG;
    }
    if (make_folders(path) < 0) {
        mail_error_set(err, MAIL_EPERM, "cannot make the spool %.150s: %s", path, strerror(errno));
        return EX_CANTCREAT;
    }
    return 0;
}

/* Reads, completes and stores the message. 0: it is on the disk. */
static int store(const sendmail_options *opts, const mail_submission *submission,
                 mail_envelope *envelope, const char *spool, mail_error *err)
{
    char name[MAIL_DROP_NAME_SIZE];
    sendmail_message message;
    mail_sink *sink;
    int code;

    code = sendmail_message_begin(&message, opts, submission, envelope, err);
    if (code == 0) {
        int begun = mail_drop_begin(&sink, spool, envelope, NULL, name, err);

        if (begun != MAIL_OK) {
            code = exit_code_of_error(begun);
        } else {
            code = sendmail_message_write(&message, sink, err);
            if (code != 0) {
                mail_sink_abort(sink);
            } else if ((begun = mail_sink_finish(sink, NULL, NULL)) != MAIL_OK) {
                mail_error_set(err, begun, "cannot store the message: %s", mail_strerror(begun));
                code = exit_code_of_error(begun);
            }
        }
    }
    if (code == 0 && (opts->explain || opts->verbose)) {
        fprintf(stderr, "sendmail: stored as %s/drop/%s for %zu recipient(s)\n", spool, name,
                mail_envelope_count(envelope));
    }
    sendmail_message_deinit(&message);
    return code;
}

/* What is added to messages of the caller: now, and here. */
static mail_submission submission_of(const caller *who)
{
    mail_submission submission = {
        .hostname = mail_span_text(who->hostname),
        .from = mail_span_text(who->address),
        .from_name = mail_span_text(who->full_name),
        .when = time(NULL),
    };
    time_t now = (time_t)submission.when;
    struct tm local;

    localtime_r(&now, &local);
    submission.zone = (int)(local.tm_gmtoff / 60);
    return submission;
}

static int send_message(const sendmail_options *opts, mail_error *err)
{
    mail_submission submission;
    mail_envelope envelope;
    char spool[MAIL_SPOOL_PATH_SIZE];
    sendmail_tls tls;
    mail_path sender;
    caller who;
    int code;

    identify(&who, opts);
    mail_envelope_init(&envelope, NULL);
    code = sendmail_tls_make(&tls, opts, err);
    if (code == 0) {
        code = parse_sender(&sender, opts, &who, err);
    }
    if (code == 0) {
        code = set_parameters(&envelope, opts, &sender, err);
    }
    if (code == 0) {
        code = find_spool(spool, opts, err);
    }
    if (code == 0) {
        submission = submission_of(&who);
        submission.from = sender.length > 0 ? mail_path_text(&sender) : submission.from;
        code = store(opts, &submission, &envelope, spool, err);
    }
    mail_envelope_deinit(&envelope);
    if (code == 0 && !opts->queue_only) {
        code = sendmail_deliver(spool, opts, who.hostname, &tls, err);
    }
    sendmail_tls_deinit(&tls);
    return code;
}

static int hold_session(const sendmail_options *opts, mail_error *err)
{
    mail_submission submission;
    char spool[4096];
    sendmail_tls tls;
    size_t stored = 0;
    caller who;
    int code;

    identify(&who, opts);
    code = sendmail_tls_make(&tls, opts, err);
    if (code == 0) {
        code = find_spool(spool, opts, err);
    }
    if (code == 0) {
        submission = submission_of(&who);
        code = sendmail_session(opts, &submission, spool, &stored, err);
    }
    if (code == 0 && stored > 0 && !opts->queue_only) {
        code = sendmail_deliver(spool, opts, who.hostname, &tls, err);
    }
    sendmail_tls_deinit(&tls);
    return code;
}

static int verify(const sendmail_options *opts, mail_error *err)
{
    mail_submission submission;
    caller who;

    identify(&who, opts);
    submission = submission_of(&who);
    return sendmail_verify(opts, &submission, err);
}

static bool note_file(const char *name, void *arg)
{
    (void)name;
    *(bool *)arg = true;
    return false;
}

/* Whether anything waits in `drop`, or there are messages that are tried now. Exit codes. */
static int make_due(const char *spool, const sendmail_options *opts, bool *is_mine, mail_error *err)
{
    const char *at = opts->flush_domain != NULL ? strrchr(opts->flush_domain, '@') : NULL;
    mail_queue_selector which = {
        .ids = &opts->flush_id,
        .id_count = opts->flush_id != NULL ? 1 : 0,
        .domain = mail_span_text(at != NULL ? at + 1 : opts->flush_domain),
        .sender = mail_span_text(opts->flush_sender),
        .all = opts->flush_id == NULL && opts->flush_domain == NULL && opts->flush_sender == NULL,
    };
    bool has_files = false;
    mail_operator *op;
    int64_t changed = 0;
    int code = mail_operator_open(&op, spool, true, NULL, err);

    (void)mail_drop_list(spool, note_file, &has_files);
    *is_mine = has_files;
    if (code == MAIL_ENOENT) {
        return 0; /* no queue yet */
    }
    if (code != MAIL_OK) {
        return exit_code_of_error(code);
    }
    changed = mail_operator_change(op, MAIL_OPERATOR_RETRY, &which, err);
    *is_mine = !mail_operator_has_owner(op) && (changed > 0 || has_files);
    mail_operator_close(op);
    return changed < 0 ? exit_code_of_error((int)changed) : 0;
}

static int flush_queue(const sendmail_options *opts, mail_error *err)
{
    char spool[4096];
    bool is_mine = false;
    sendmail_tls tls;
    caller who;
    int code;

    identify(&who, opts);
    code = sendmail_tls_make(&tls, opts, err);
    if (code == 0) {
        code = find_spool(spool, opts, err);
    }
    if (code == 0) {
        code = make_due(spool, opts, &is_mine, err);
    }
    if (code == 0 && is_mine) {
        code = sendmail_deliver(spool, opts, who.hostname, &tls, err);
    }
    sendmail_tls_deinit(&tls);
    return code;
}

static int list_queue(const sendmail_options *opts, mail_error *err)
{
    char spool[MAIL_SPOOL_PATH_SIZE];
    int code = find_spool(spool, opts, err);

    int listed = code == 0 ? mailq_print(spool, err) : MAIL_OK;

    return listed == MAIL_OK ? code : exit_code_of_error(listed);
}

int main(int argc, char **argv)
{
    sendmail_options opts;
    char problem[200];
    mail_error err = {0};
    int code = EX_OK;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    umask(077);
    switch (sendmail_options_parse(&opts, argc, argv, problem)) {
    case SENDMAIL_HELP:
        fputs(help, stdout);
        break;
    case SENDMAIL_VERSION:
        puts("sendmail (libmail) " MAIL_VERSION);
        break;
    case SENDMAIL_VERIFY:
        code = verify(&opts, &err);
        break;
    case SENDMAIL_SESSION:
        code = hold_session(&opts, &err);
        break;
    case SENDMAIL_FLUSH:
        code = flush_queue(&opts, &err);
        break;
    case SENDMAIL_MAILQ:
        code = list_queue(&opts, &err);
        break;
    case SENDMAIL_NOTHING:
        break;
    case SENDMAIL_USAGE:
        fprintf(stderr, "sendmail: %s\n", problem);
        code = EX_USAGE;
        break;
    case SENDMAIL_SEND:
        code = send_message(&opts, &err);
        break;
    }
    if (code != EX_OK && err.text[0] != '\0') {
        fprintf(stderr, "sendmail: %s\n", err.text);
    }
    sendmail_options_deinit(&opts);
    return code;
}
