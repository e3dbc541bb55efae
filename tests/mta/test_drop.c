/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "mta/drop.h"

/* The system's files, of which one operation fails. */
typedef struct flaky_files {
    mail_files files;
    mail_files_ops ops;
    int fail_at; /* which operation from 1; 0: none */
    int count;
    bool failed;
} flaky_files;

static bool fails(const mail_files *fs)
{
    flaky_files *self = (flaky_files *)(uintptr_t)fs;

    self->count++;
    self->failed = self->failed || self->count == self->fail_at;
    return self->count == self->fail_at;
}

static int flaky_open(const mail_files *fs, int dir, const char *name, int flags)
{
    return fails(fs) ? -EIO : file_system.ops->open(fs, dir, name, flags);
}

static int flaky_open_dir(const mail_files *fs, int dir, const char *name)
{
    return fails(fs) ? -EIO : file_system.ops->open_dir(fs, dir, name);
}

static ssize_t flaky_read(const mail_files *fs, int fd, void *to, size_t size, uint64_t offset)
{
    return fails(fs) ? -EIO : file_system.ops->read(fs, fd, to, size, offset);
}

static ssize_t flaky_write(const mail_files *fs, int fd, const struct iovec *parts, int count,
                           uint64_t offset)
{
    return fails(fs) ? -ENOSPC : file_system.ops->write(fs, fd, parts, count, offset);
}

static int flaky_sync(const mail_files *fs, int fd)
{
    return fails(fs) ? -EIO : file_system.ops->sync(fs, fd);
}

static int flaky_info(const mail_files *fs, int fd, file_info *out)
{
    return fails(fs) ? -EIO : file_system.ops->info(fs, fd, out);
}

static int flaky_rename(const mail_files *fs, int from_dir, const char *from, int to_dir,
                        const char *to)
{
    return fails(fs) ? -EIO : file_system.ops->rename(fs, from_dir, from, to_dir, to);
}

static int flaky_make_dir(const mail_files *fs, int dir, const char *name)
{
    return fails(fs) ? -EIO : file_system.ops->make_dir(fs, dir, name);
}

static void flaky_init(flaky_files *self, int fail_at)
{
    *self = (flaky_files){.ops = *file_system.ops, .fail_at = fail_at};
    self->ops.open = flaky_open;
    self->ops.open_dir = flaky_open_dir;
    self->ops.read = flaky_read;
    self->ops.write = flaky_write;
    self->ops.sync = flaky_sync;
    self->ops.info = flaky_info;
    self->ops.rename = flaky_rename;
    self->ops.make_dir = flaky_make_dir;
    self->files.ops = &self->ops;
}

static void fill_envelope(mail_envelope *envelope, const mail_mem *mem)
{
    const mail_recipient first = {.address = MAIL_SPAN("\"a b\"@example.org"),
                                  .orcpt = MAIL_SPAN("rfc822;c+2Bd@example.org"),
                                  .notify = MAIL_NOTIFY_SUCCESS | MAIL_NOTIFY_FAILURE};
    const mail_recipient second = {.address = MAIL_SPAN("root")};

    mail_envelope_init(envelope, mem);
    assert_int_equal(
        mail_envelope_set_sender(envelope, MAIL_SPAN("me@example.org"), MAIL_SPAN("an id+")),
        MAIL_OK);
    assert_int_equal(mail_envelope_add(envelope, &first), MAIL_OK);
    assert_int_equal(mail_envelope_add(envelope, &second), MAIL_OK);
    envelope->ret = MAIL_RET_HDRS;
    envelope->body = MAIL_BODY_8BITMIME;
    envelope->smtputf8 = true;
}

#define MESSAGE "Subject: x\r\n\r\n.body\r\n"

static int drop_message(const mail_files *fs, const char *spool, const mail_envelope *envelope,
                        const mail_mem *mem, char *name)
{
    mail_sink *sink;
    const drop_seams seams = {.files = fs};
    int code = drop_begin(&sink, &seams, spool, envelope, mem, name, NULL);

    if (code != MAIL_OK) {
        return code;
    }
    code = mail_sink_write(sink, MAIL_SPAN(MESSAGE));
    if (code != MAIL_OK) {
        mail_sink_abort(sink);
        return code;
    }
    return mail_sink_finish(sink, NULL, NULL);
}

static bool count_one(const char *name, void *arg)
{
    (void)name;
    ++*(int *)arg;
    return true;
}

static int count_messages(const char *spool)
{
    int count = 0;
    int code = mail_drop_list(spool, count_one, &count);

    assert_true(code == MAIL_OK || code == MAIL_ENOENT);
    return count;
}

static int count_entry(const char *name, void *arg)
{
    (void)name;
    ++*(int *)arg;
    return 0;
}

/* Files of any name. */
static int count_files(const char *spool)
{
    int count = 0;
    int dir = drop_open_dir(&file_system, spool);

    if (dir < 0) {
        return 0;
    }
    assert_int_equal(file_system.ops->list(&file_system, dir, count_entry, &count), 0);
    file_system.ops->close(&file_system, dir);
    return count;
}

static void gives_back_what_was_dropped(void **state)
{
    char *spool = mail_test_make_dir();
    char name[MAIL_DROP_NAME_SIZE];
    mail_envelope envelope;
    const mail_envelope *read;
    mail_recipient rcpt;
    mail_drop *drop;
    mail_span bytes;

    (void)state;
    fill_envelope(&envelope, NULL);
    assert_int_equal(drop_message(&file_system, spool, &envelope, NULL, name), MAIL_OK);
    mail_envelope_deinit(&envelope);
    assert_int_equal(count_messages(spool), 1);

    assert_int_equal(mail_drop_open(&drop, spool, name, NULL, NULL), MAIL_OK);
    read = mail_drop_envelope(drop);
    assert_span_equal(mail_envelope_sender(read), "me@example.org");
    assert_span_equal(mail_envelope_envid(read), "an id+");
    assert_int_equal(read->ret, MAIL_RET_HDRS);
    assert_int_equal(read->body, MAIL_BODY_8BITMIME);
    assert_true(read->smtputf8);
    assert_false(read->requiretls);
    assert_int_equal(mail_envelope_count(read), 2);
    rcpt = mail_envelope_recipient(read, 0);
    assert_span_equal(rcpt.address, "\"a b\"@example.org");
    assert_span_equal(rcpt.orcpt, "rfc822;c+2Bd@example.org");
    assert_int_equal(rcpt.notify, MAIL_NOTIFY_SUCCESS | MAIL_NOTIFY_FAILURE);
    rcpt = mail_envelope_recipient(read, 1);
    assert_span_equal(rcpt.address, "root");
    assert_span_equal(rcpt.orcpt, "");
    assert_int_equal(mail_drop_size(drop), strlen(MESSAGE));
    assert_int_equal(mail_drop_user(drop), getuid());

    assert_int_equal(mail_source_peek(mail_drop_body(drop), &bytes), MAIL_OK);
    assert_span_equal(bytes, MESSAGE);
    mail_source_drop(mail_drop_body(drop), bytes.length);
    assert_int_equal(mail_source_peek(mail_drop_body(drop), &bytes), MAIL_OK);
    assert_int_equal(bytes.length, 0);
    mail_drop_close(drop);

    assert_int_equal(mail_drop_remove(spool, name), MAIL_OK);
    assert_int_equal(mail_drop_remove(spool, name), MAIL_OK);
    assert_int_equal(count_files(spool), 0);
    assert_int_equal(mail_drop_open(&drop, spool, name, NULL, NULL), MAIL_ENOENT);
    mail_test_remove_dir(spool);
}

static void carries_large_messages_and_many_recipients(void **state)
{
    enum {
        RECIPIENTS = 5000,
        LENGTH = 300000
    };
    char *spool = mail_test_make_dir();
    char *large = malloc(LENGTH);
    char name[MAIL_DROP_NAME_SIZE];
    mail_source_span source;
    mail_envelope envelope;
    mail_drop *drop;
    size_t length = 0;

    (void)state;
    for (size_t i = 0; i < LENGTH; i++) {
        large[i] = (char)(i * 7 + i / 251);
    }
    mail_envelope_init(&envelope, NULL);
    for (int i = 0; i < RECIPIENTS; i++) {
        char address[64];
        mail_recipient rcpt = {.notify = 0};

        snprintf(address, sizeof(address), "someone%d@example.org", i);
        rcpt.address = mail_span_text(address);
        assert_int_equal(mail_envelope_add(&envelope, &rcpt), MAIL_OK);
    }
    mail_source_span_init(&source, mail_span_of(large, LENGTH));
    assert_int_equal(mail_drop_write(spool, &envelope, &source.source, NULL, name, NULL), MAIL_OK);
    mail_envelope_deinit(&envelope);

    assert_int_equal(mail_drop_open(&drop, spool, name, NULL, NULL), MAIL_OK);
    assert_int_equal(mail_envelope_count(mail_drop_envelope(drop)), RECIPIENTS);
    assert_span_equal(mail_envelope_sender(mail_drop_envelope(drop)), "");
    assert_int_equal(mail_drop_size(drop), LENGTH);
    for (;;) {
        mail_span bytes;

        assert_int_equal(mail_source_peek(mail_drop_body(drop), &bytes), MAIL_OK);
        if (bytes.length == 0) {
            break;
        }
        assert_true(length + bytes.length <= LENGTH);
        assert_memory_equal(bytes.data, large + length, bytes.length);
        length += bytes.length;
        mail_source_drop(mail_drop_body(drop), bytes.length);
    }
    assert_int_equal(length, LENGTH);
    mail_drop_close(drop);
    free(large);
    mail_test_remove_dir(spool);
}

/* Its writer may still have the file open: what comes in behind the message is not part of it. */
static void takes_no_more_than_there_was_when_it_was_opened(void **state)
{
    char *spool = mail_test_make_dir();
    char name[MAIL_DROP_NAME_SIZE];
    char path[600];
    mail_recipient rcpt = {.address = MAIL_SPAN("b@example.org")};
    mail_source_span source;
    mail_envelope envelope;
    mail_drop *drop;
    mail_span bytes;
    FILE *file;

    (void)state;
    mail_envelope_init(&envelope, NULL);
    assert_int_equal(mail_envelope_add(&envelope, &rcpt), MAIL_OK);
    mail_source_span_init(&source, MAIL_SPAN("Subject: x\r\n\r\n"));
    assert_int_equal(mail_drop_write(spool, &envelope, &source.source, NULL, name, NULL), MAIL_OK);
    mail_envelope_deinit(&envelope);
    assert_int_equal(mail_drop_open(&drop, spool, name, NULL, NULL), MAIL_OK);
    snprintf(path, sizeof(path), "%s/drop/%s", spool, name);
    file = fopen(path, "a");
    assert_non_null(file);
    fputs("and more\r\n", file);
    fclose(file);
    for (int i = 0; i < 14; i++) { /* octet by octet */
        assert_int_equal(mail_source_peek(mail_drop_body(drop), &bytes), MAIL_OK);
        assert_int_equal(bytes.length, 14 - i);
        mail_source_drop(mail_drop_body(drop), 1);
    }
    assert_int_equal(mail_source_peek(mail_drop_body(drop), &bytes), MAIL_OK);
    assert_int_equal(bytes.length, 0);
    mail_drop_close(drop);
    mail_test_remove_dir(spool);
}

static void refuses_more_recipients_than_anybody_has(void **state)
{
    char *spool = mail_test_make_dir();
    mail_recipient rcpt = {.address = MAIL_SPAN("b@example.org")};
    mail_envelope envelope;
    mail_error err;
    mail_sink *sink;

    (void)state;
    mail_envelope_init(&envelope, NULL);
    for (int i = 0; i <= DROP_RECIPIENTS_MAX; i++) {
        assert_int_equal(mail_envelope_add(&envelope, &rcpt), MAIL_OK);
    }
    assert_int_equal(mail_drop_begin(&sink, spool, &envelope, NULL, NULL, &err), MAIL_ELIMIT);
    assert_string_equal(err.text, "more than 100000 recipients");
    mail_envelope_deinit(&envelope);
    mail_test_remove_dir(spool);
}

static void leaves_nothing_when_aborted(void **state)
{
    char *spool = mail_test_make_dir();
    mail_envelope envelope;
    mail_sink *sink;

    (void)state;
    fill_envelope(&envelope, NULL);
    assert_int_equal(mail_drop_begin(&sink, spool, &envelope, NULL, NULL, NULL), MAIL_OK);
    assert_int_equal(mail_sink_write(sink, MAIL_SPAN(MESSAGE)), MAIL_OK);
    assert_int_equal(count_messages(spool), 0);
    mail_sink_abort(sink);
    assert_int_equal(count_files(spool), 0);
    mail_envelope_deinit(&envelope);
    mail_test_remove_dir(spool);
}

/* Either the message is there whole, or nothing is, and the code says which. */
static void says_ok_only_for_what_is_safe_whatever_fails(void **state)
{
    mail_envelope envelope;
    flaky_files flaky;
    int fail_at = 0;

    (void)state;
    fill_envelope(&envelope, NULL);
    do {
        char *spool = mail_test_make_dir();
        int code;

        flaky_init(&flaky, ++fail_at);
        code = drop_message(&flaky.files, spool, &envelope, NULL, NULL);
        assert_int_equal(code == MAIL_OK, !flaky.failed);
        assert_int_equal(count_messages(spool), code == MAIL_OK ? 1 : 0);
        assert_int_equal(count_files(spool), code == MAIL_OK ? 1 : 0);
        mail_test_remove_dir(spool);
    } while (flaky.failed);
    assert_true(fail_at > 8);
    mail_envelope_deinit(&envelope);
}

static void reports_every_failure_to_read(void **state)
{
    char *spool = mail_test_make_dir();
    char name[MAIL_DROP_NAME_SIZE];
    mail_envelope envelope;
    flaky_files flaky;
    int fail_at = 0;

    (void)state;
    fill_envelope(&envelope, NULL);
    assert_int_equal(drop_message(&file_system, spool, &envelope, NULL, name), MAIL_OK);
    mail_envelope_deinit(&envelope);
    do {
        mail_drop *drop = NULL;
        int code;

        flaky_init(&flaky, ++fail_at);
        code = drop_open(&drop, &flaky.files, spool, name, NULL, NULL);
        assert_int_equal(code, flaky.failed ? MAIL_EIO : MAIL_OK);
        mail_drop_close(drop);
    } while (flaky.failed);
    assert_true(fail_at > 3);
    mail_test_remove_dir(spool);
}

static void write_raw(const char *spool, const char *name, const char *content, size_t length)
{
    char path[512];
    FILE *file;

    snprintf(path, sizeof(path), "%s/drop", spool);
    (void)mkdir(path, 0700);
    snprintf(path, sizeof(path), "%s/drop/%s", spool, name);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(content, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

#define HEAD "libmail drop 1\nsender a@b.example\n"
#define TO   "to 0 - c@d.example\n"

static void refuses_files_that_are_not_of_its_form(void **state)
{
    static const struct {
        const char *name;
        const char *content;
        size_t length;
        int want;
    } cases[] = {
#define CONTENT(text) text, sizeof(text) - 1
        {"whole", CONTENT(HEAD TO "\nbody"), MAIL_OK},
        {"no body", CONTENT(HEAD TO "\n"), MAIL_OK},
        {"null sender", CONTENT("libmail drop 1\nsender \n" TO "\n"), MAIL_OK},
        {"empty", CONTENT(""), MAIL_EDAMAGED},
        {"newer", CONTENT("libmail drop 2\n"), MAIL_EVERSION},
        {"other", CONTENT("From: me\n\nhello\n"), MAIL_EDAMAGED},
        {"no sender", CONTENT("libmail drop 1\n" TO "\n"), MAIL_EDAMAGED},
        {"bad sender", CONTENT("libmail drop 1\nsender a b@c\n" TO "\n"), MAIL_EDAMAGED},
        {"no recipient", CONTENT(HEAD "\nbody"), MAIL_EDAMAGED},
        {"cut", CONTENT(HEAD "to 0 - c@d.ex"), MAIL_EDAMAGED},
        {"no empty line", CONTENT(HEAD TO), MAIL_EDAMAGED},
        {"unknown line", CONTENT(HEAD "colour red\n" TO "\n"), MAIL_EDAMAGED},
        {"bad ret", CONTENT(HEAD "ret all\n" TO "\n"), MAIL_EDAMAGED},
        {"bad envid", CONTENT(HEAD "envid +ZZ\n" TO "\n"), MAIL_EDAMAGED},
        {"bad notify", CONTENT(HEAD "to 9 - c@d.example\n\n"), MAIL_EDAMAGED},
        {"no notify", CONTENT(HEAD "to - c@d.example\n\n"), MAIL_EDAMAGED},
        {"bad address", CONTENT(HEAD "to 0 - c@@d.example\n\n"), MAIL_EDAMAGED},
        {"null recipient", CONTENT(HEAD "to 0 - \n\n"), MAIL_EDAMAGED},
        {"a CR", CONTENT(HEAD "to 0 - c@d.example\r\n\r\n"), MAIL_EDAMAGED},
        {"a NUL", CONTENT("libmail drop 1\nsender a\0@b.example\n" TO "\n"), MAIL_EDAMAGED},
    };
    char *spool = mail_test_make_dir();

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_drop *drop = NULL;

        mail_test_case(cases[i].name);
        write_raw(spool, "x.mail", cases[i].content, cases[i].length);
        assert_int_equal(mail_drop_open(&drop, spool, "x.mail", NULL, NULL), cases[i].want);
        mail_drop_close(drop);
    }
    mail_test_remove_dir(spool);
}

static void refuses_a_line_without_end(void **state)
{
    enum {
        LENGTH = 100000
    };
    char *spool = mail_test_make_dir();
    char *content = malloc(LENGTH);
    mail_drop *drop;

    (void)state;
    memset(content, 'a', LENGTH);
    memcpy(content, HEAD, strlen(HEAD));
    write_raw(spool, "x.mail", content, LENGTH);
    assert_int_equal(mail_drop_open(&drop, spool, "x.mail", NULL, NULL), MAIL_EDAMAGED);
    free(content);
    mail_test_remove_dir(spool);
}

/* HOSTILE.md, section 7: links, pipes and folders in a writable folder. */
static void opens_only_plain_files_of_one_link(void **state)
{
    char *spool = mail_test_make_dir();
    mail_drop *drop;
    char from[512];
    char to[512];

    (void)state;
    write_raw(spool, "x.mail", HEAD TO "\nbody", strlen(HEAD TO "\nbody"));
    snprintf(from, sizeof(from), "%s/drop/x.mail", spool);
    snprintf(to, sizeof(to), "%s/drop/symlink.mail", spool);
    assert_int_equal(symlink(from, to), 0);
    assert_int_equal(mail_drop_open(&drop, spool, "symlink.mail", NULL, NULL), MAIL_EDAMAGED);

    snprintf(to, sizeof(to), "%s/drop/fifo.mail", spool);
    assert_int_equal(mkfifo(to, 0600), 0);
    assert_int_equal(mail_drop_open(&drop, spool, "fifo.mail", NULL, NULL), MAIL_EDAMAGED);

    snprintf(to, sizeof(to), "%s/drop/folder.mail", spool);
    assert_int_equal(mkdir(to, 0700), 0);
    assert_int_equal(mail_drop_open(&drop, spool, "folder.mail", NULL, NULL), MAIL_EDAMAGED);

    snprintf(to, sizeof(to), "%s/drop/hard.mail", spool);
    assert_int_equal(link(from, to), 0);
    assert_int_equal(mail_drop_open(&drop, spool, "hard.mail", NULL, NULL), MAIL_EDAMAGED);
    mail_test_remove_dir(spool);
}

/* A relay that is not root must be able to read what root drops. */
static void what_root_drops_is_the_owners_of_the_spool(void **state)
{
    static const uid_t owner = 65534;
    mail_envelope envelope;
    char name[MAIL_DROP_NAME_SIZE];
    char path[512];
    struct stat st;
    char *spool;

    (void)state;
    if (geteuid() != 0) {
        print_message("only root can give anything away\n");
        skip();
    }
    spool = mail_test_make_dir();
    assert_int_equal(chown(spool, owner, (gid_t)-1), 0);
    fill_envelope(&envelope, NULL);
    assert_int_equal(drop_message(&file_system, spool, &envelope, NULL, name), MAIL_OK);
    snprintf(path, sizeof(path), "%s/drop", spool);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_uid, owner);
    snprintf(path, sizeof(path), "%s/drop/%s", spool, name);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_uid, owner);
    assert_int_equal(st.st_mode & 07777, 0600);
    mail_envelope_deinit(&envelope);
    mail_test_remove_dir(spool);
}

static void sets_aside_what_cannot_be_taken(void **state)
{
    char *spool = mail_test_make_dir();

    (void)state;
    write_raw(spool, "x.mail", "junk", 4);
    write_raw(spool, "y.part", "junk", 4);
    assert_int_equal(count_messages(spool), 1);
    assert_int_equal(mail_drop_set_aside(spool, "x.mail"), MAIL_OK);
    assert_int_equal(mail_drop_set_aside(spool, "x.mail"), MAIL_ENOENT);
    assert_int_equal(count_messages(spool), 0);
    assert_int_equal(count_files(spool), 2);
    mail_test_remove_dir(spool);
}

static void sweeps_up_what_was_never_finished(void **state)
{
    char *spool = mail_test_make_dir();
    char path[600];
    file_info info;
    int dir;

    (void)state;
    drop_sweep(&file_system, spool, INT64_MAX); /* there is no folder yet */
    write_raw(spool, "x.mail", "junk", 4);
    for (int i = 0; i < 100; i++) {
        char name[32];

        snprintf(name, sizeof(name), "%d.part", i);
        write_raw(spool, name, "junk", 4);
        snprintf(path, sizeof(path), "%s/drop/folder%d.part", spool, i);
        assert_int_equal(mkdir(path, 0700), 0); /* it stays, and keeps nothing else there */
    }
    dir = drop_open_dir(&file_system, spool);
    assert_int_equal(file_system.ops->info_at(&file_system, dir, "0.part", &info), 0);
    file_system.ops->close(&file_system, dir);
    drop_sweep(&file_system, spool, info.mtime); /* none is older than itself */
    assert_int_equal(count_files(spool), 201);
    drop_sweep(&file_system, spool, info.mtime + 60);
    drop_sweep(&file_system, spool, info.mtime + 60);
    assert_int_equal(count_files(spool), 101);
    assert_int_equal(count_messages(spool), 1);
    mail_test_remove_dir(spool);
}

static void refuses_what_would_break_out_of_its_line(void **state)
{
    static const char *const addresses[] = {"a@b\nto 0 - evil@example.org", "a\r@b"};
    char *spool = mail_test_make_dir();

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(addresses); i++) {
        const mail_recipient rcpt = {.address = mail_span_text(addresses[i])};
        const mail_recipient good = {.address = MAIL_SPAN("a@b"), .orcpt = MAIL_SPAN("x y")};
        mail_envelope envelope;
        mail_sink *sink;

        mail_test_case(addresses[i]);
        mail_envelope_init(&envelope, NULL);
        assert_int_equal(mail_envelope_add(&envelope, &rcpt), MAIL_OK);
        assert_int_equal(mail_drop_begin(&sink, spool, &envelope, NULL, NULL, NULL), MAIL_EINVAL);
        mail_envelope_reset(&envelope);
        assert_int_equal(mail_envelope_add(&envelope, &good), MAIL_OK);
        assert_int_equal(mail_drop_begin(&sink, spool, &envelope, NULL, NULL, NULL), MAIL_EINVAL);
        mail_envelope_reset(&envelope);
        assert_int_equal(mail_envelope_set_sender(&envelope, rcpt.address, MAIL_SPAN("")), MAIL_OK);
        assert_int_equal(mail_envelope_add(&envelope, &(mail_recipient){.address = MAIL_SPAN("a")}),
                         MAIL_OK);
        assert_int_equal(mail_drop_begin(&sink, spool, &envelope, NULL, NULL, NULL), MAIL_EINVAL);
        mail_envelope_deinit(&envelope);
    }
    assert_int_equal(count_files(spool), 0);
    mail_test_remove_dir(spool);
}

static void pokes_the_owner_if_there_is_one(void **state)
{
    char *spool = mail_test_make_dir();
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    (void)state;
    assert_false(mail_drop_poke(spool));
    snprintf(at.sun_path, sizeof(at.sun_path), "%s/control", spool);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_false(mail_drop_poke(spool));
    assert_int_equal(listen(fd, 1), 0);
    assert_true(mail_drop_poke(spool));
    close(fd);
    assert_false(mail_drop_poke(spool));
    mail_test_remove_dir(spool);
}

static void survives_every_failed_allocation(void **state)
{
    char *spool = mail_test_make_dir();
    mail_envelope envelope;

    (void)state;
    fill_envelope(&envelope, NULL);
    MAIL_TEST_WALK(walk)
    {
        char name[MAIL_DROP_NAME_SIZE];
        int code = drop_message(&file_system, spool, &envelope, &walk.mem, name);

        if (code == MAIL_OK) {
            mail_drop *drop = NULL;

            code = mail_drop_open(&drop, spool, name, &walk.mem, NULL);
            mail_drop_close(drop);
            assert_int_equal(mail_drop_remove(spool, name), MAIL_OK);
        }
        assert_int_equal(code, walk.failed ? MAIL_ENOMEM : MAIL_OK);
        assert_int_equal(count_files(spool), 0);
    }
    mail_envelope_deinit(&envelope);
    mail_test_remove_dir(spool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_back_what_was_dropped),
        cmocka_unit_test(carries_large_messages_and_many_recipients),
        cmocka_unit_test(takes_no_more_than_there_was_when_it_was_opened),
        cmocka_unit_test(refuses_more_recipients_than_anybody_has),
        cmocka_unit_test(leaves_nothing_when_aborted),
        cmocka_unit_test(says_ok_only_for_what_is_safe_whatever_fails),
        cmocka_unit_test(reports_every_failure_to_read),
        cmocka_unit_test(refuses_files_that_are_not_of_its_form),
        cmocka_unit_test(refuses_a_line_without_end),
        cmocka_unit_test(opens_only_plain_files_of_one_link),
        cmocka_unit_test(what_root_drops_is_the_owners_of_the_spool),
        cmocka_unit_test(sets_aside_what_cannot_be_taken),
        cmocka_unit_test(sweeps_up_what_was_never_finished),
        cmocka_unit_test(refuses_what_would_break_out_of_its_line),
        cmocka_unit_test(pokes_the_owner_if_there_is_one),
        cmocka_unit_test(survives_every_failed_allocation),
    };

    return mail_test_run(tests);
}
