/* SPDX-License-Identifier: MIT */
/*
 * sendmail: takes a message from a program or script, stores it durably in a
 * spool, and only then exits 0. If a relay owns the spool it goes on from there;
 * otherwise this program delivers what it can within a short time.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

#include <mail/drop.h>
#include <mail/header.h>
#include <mail/operator.h>
#include <mail/version.h>

#include "exit_code.h"
#include "mailq.h"
#include "sendmail_caller.h"
#include "sendmail_deliver.h"
#include "sendmail_message.h"
#include "sendmail_options.h"
#include "sendmail_rights.h"
#include "sendmail_session.h"
#include "sendmail_verify.h"
#include "standard_files.h"

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
    "  -bp, -bpc             list what waits, as mailq does; count it\n"
    "  -G                    leave the header as it is\n"
    "  -v                    say on standard error what happens\n"
    "  --spool DIR           where to store ($LIBMAIL_SPOOL, " MAIL_SYSTEM_SPOOL
    ", the user's own)\n"
    "  --smarthost HOST:PORT send everything there, not to the recipients' hosts\n"
    "  --tls-out LEVEL       none, may, require or verify (may)\n"
    "  --tls-ca FILE         whom to trust, PEM (the system's list)\n"
    "  --auth-out HOST:PORT=USER,SOURCE\n"
    "                        who we are to the smart host; SOURCE: file:PATH or command:COMMAND\n"
    "  --resolver ADDR[:PORT] DNS server; repeatable (those of the system)\n"
    "  --smtp-port N         port of the recipients' hosts (25)\n"
    "  --allow-private-mx    hosts on loopback and private addresses may be used\n"
    "  --wait[=SECONDS]      wait (60); the exit code tells what became of the message\n"
    "  --explain             say on standard error what is done, step by step\n"
    "  --help, --version\n"
    "Letters that other sendmails know are accepted and skipped.\n";

/* The envelope sender: -f with or without brackets or display name, or the user. */
static int parse_sender(mail_path *sender, const sendmail_options *opts, const sendmail_caller *who,
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
        mail_error_set(err, MAIL_EINVAL, "-f: %.100s: not an address", text);
        return EX_USAGE;
    }
    *sender = mailbox.path;
    if (sender->local_length == sender->length) {
        char whole[2 * MAIL_PATH_MAX + 2];

        snprintf(whole, sizeof(whole), "%s@%s", sender->text, who->hostname);
        if (mail_path_from_text(mail_span_text(whole), MAIL_PATH_UTF8, sender) != MAIL_OK) {
            mail_error_set(err, MAIL_EINVAL, "-f: %.100s: not an address", whole);
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
            mail_error_set(err, MAIL_EINVAL, "-R: %.100s: neither full nor hdrs", opts->ret);
            return EX_USAGE;
        }
        envelope->ret = full ? MAIL_RET_FULL : MAIL_RET_HDRS;
    }
    if (opts->envid != NULL && !is_envid(opts->envid)) {
        mail_error_set(err, MAIL_EINVAL, "-V: not printable ASCII, or more than 100 octets");
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
    int code;

    sendmail_rights_take();
    code = mail_spool_find(opts->spool, path, err);
    sendmail_rights_leave();
    if (code != MAIL_OK) {
        return EX_CONFIG;
    }
    if (make_folders(path) < 0) {
        mail_error_set(err, MAIL_EPERM, "%.150s: cannot be made a spool: %s", path,
                       strerror(errno));
        return EX_CANTCREAT;
    }
    return 0;
}

/* A call that may send: who wants it, where mail is kept, how it goes out. */
typedef struct errand {
    const sendmail_options *opts;
    sendmail_caller who;
    char spool[MAIL_SPOOL_PATH_SIZE];
    sendmail_tls tls;
    mail_operator
        *owner; /* of the spool, who tells what becomes of the message; NULL: nobody does */
} errand;

/* Stores what was read so far and what is still to come. 0: it is on the disk. */
static int drop(errand *er, sendmail_message *message, const mail_envelope *envelope,
                char name[MAIL_DROP_NAME_SIZE], mail_error *err)
{
    mail_sink *sink;
    int begun = mail_drop_begin(&sink, er->spool, envelope, NULL, name, err);
    int code;

    if (begun != MAIL_OK) {
        return exit_code_of_error(begun);
    }
    code = sendmail_message_write(message, sink, err);
    if (code != 0) {
        mail_sink_abort(sink);
        return code;
    }
    if (er->opts->wait && !er->opts->queue_only) {
        (void)mail_operator_await(&er->owner, er->spool, name, NULL, NULL);
    }
    begun = mail_sink_finish(sink, NULL, NULL);
    if (begun != MAIL_OK) {
        mail_error_set(err, begun, "cannot store the message: %s", mail_strerror(begun));
    }
    return exit_code_of_error(begun);
}

/* Reads, completes and stores the message. 0: it is on the disk. */
static int store(errand *er, const mail_submission *submission, mail_envelope *envelope,
                 mail_error *err)
{
    const sendmail_options *opts = er->opts;
    char name[MAIL_DROP_NAME_SIZE];
    sendmail_message message;
    int code = sendmail_message_begin(&message, opts, submission, envelope, err);

    if (code == 0) {
        sendmail_rights_take();
        code = drop(er, &message, envelope, name, err);
        sendmail_rights_leave();
    }
    if (code == 0 && (opts->explain || opts->verbose)) {
        fprintf(stderr, "sendmail: stored as %s/drop/%s for %zu recipient(s)\n", er->spool, name,
                mail_envelope_count(envelope));
    }
    sendmail_message_deinit(&message);
    return code;
}

static errand errand_of(const sendmail_options *opts)
{
    errand er = {.opts = opts};

    sendmail_identify(&er.who, opts);
    return er;
}

/* Before anything is stored it is known how it could go out. */
static int prepare(errand *er, mail_error *err)
{
    int code = sendmail_tls_make(&er->tls, er->opts, err);

    return code == 0 ? find_spool(er->spool, er->opts, err) : code;
}

/* The end of it: `code` is what came of it so far. */
static int deliver(errand *er, int code, bool is_wanted, mail_error *err)
{
    sendmail_rights_drop();
    if (code == 0 && is_wanted) {
        code = sendmail_deliver(er->spool, er->opts, er->who.hostname, &er->tls, er->owner, err);
    }
    mail_operator_close(er->owner);
    sendmail_tls_deinit(&er->tls);
    return code;
}

static int send_message(const sendmail_options *opts, mail_error *err)
{
    errand er = errand_of(opts);
    mail_submission submission = sendmail_submission(&er.who);
    mail_envelope envelope;
    mail_path sender;
    int code = parse_sender(&sender, opts, &er.who, err);

    mail_envelope_init(&envelope, NULL);
    if (code == 0) {
        code = set_parameters(&envelope, opts, &sender, err);
    }
    if (code == 0) {
        code = prepare(&er, err);
    }
    if (code == 0) {
        submission.from = sender.length > 0 ? mail_path_text(&sender) : submission.from;
        code = store(&er, &submission, &envelope, err);
    }
    mail_envelope_deinit(&envelope);
    return deliver(&er, code, !opts->queue_only, err);
}

static int hold_session(const sendmail_options *opts, mail_error *err)
{
    errand er = errand_of(opts);
    mail_submission submission = sendmail_submission(&er.who);
    size_t stored = 0;
    int code = prepare(&er, err);

    if (code == 0) {
        sendmail_rights_take();
        code = sendmail_session(opts, &submission, er.spool, &stored, err);
        sendmail_rights_leave();
    }
    return deliver(&er, code, stored > 0 && !opts->queue_only, err);
}

static int verify(const sendmail_options *opts, mail_error *err)
{
    mail_submission submission;
    sendmail_caller who;

    sendmail_identify(&who, opts);
    submission = sendmail_submission(&who);
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
    errand er = errand_of(opts);
    bool is_mine = false;
    int code = prepare(&er, err);

    if (code == 0) {
        code = make_due(er.spool, opts, &is_mine, err);
    }
    return deliver(&er, code, is_mine, err);
}

/* Exim's -bpc. */
static int count_queue(const sendmail_options *opts, mail_error *err)
{
    char spool[MAIL_SPOOL_PATH_SIZE];
    mail_queue_stats stats = {.messages = 0};
    mail_operator *op;
    int code = mail_spool_find(opts->spool, spool, err);

    if (code == MAIL_OK) {
        code = mail_operator_open(&op, spool, false, NULL, err);
    }
    if (code == MAIL_OK) {
        code = mail_operator_stats(op, &stats, err);
        mail_operator_close(op);
    }
    if (code != MAIL_OK && code != MAIL_ENOENT) {
        return exit_code_of_error(code);
    }
    printf("%" PRIu64 "\n", stats.messages + stats.dropped);
    return fflush(stdout) == 0 ? EX_OK : EX_IOERR;
}

static int list_queue(const sendmail_options *opts, mail_error *err)
{
    char spool[MAIL_SPOOL_PATH_SIZE];
    int code = find_spool(spool, opts, err);
    int listed = code == 0 ? mailq_print(spool, MAIL_QUEUE_MAILQ, err) : MAIL_OK;

    return listed == MAIL_OK ? code : exit_code_of_error(listed);
}

int main(int argc, char **argv)
{
    sendmail_options opts;
    char problem[200];
    mail_error err = {0};
    int code = EX_OK;

    standard_files_open();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit on the length of files is met as a full disk */
    umask(077);
    sendmail_rights_leave();
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
    case SENDMAIL_COUNT:
        code = count_queue(&opts, &err);
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
    return code;
}
