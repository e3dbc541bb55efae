/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mail/store.h>

#include "store/failing_files.h"

/* A store over a fresh folder `dir`, and the mailbox DIR/example.org/alice. */
typedef struct fixture {
    char *dir;
    char box[4096];
    failing_files files;
    mail_store *store;
} fixture;

static mail_wall fixed_wall(void *arg)
{
    return *(mail_wall *)arg;
}

static void set_up(fixture *fx, const mail_mem *mem)
{
    static mail_wall wall = 1700000000;
    mail_maildir_options opts = MAIL_MAILDIR_OPTIONS_INIT;

    *fx = (fixture){.dir = mail_test_make_dir(), .files = {.fs = {&failing_ops}}};
    snprintf(fx->box, sizeof(fx->box), "%s/example.org/alice", fx->dir);
    opts.mem = mem;
    opts.files = &fx->files.fs;
    opts.hostname = MAIL_SPAN("mx/1:x");
    opts.wall = fixed_wall;
    opts.wall_arg = &wall;
    assert_int_equal(mail_maildir_create(&fx->store, &opts), MAIL_OK);
}

static void tear_down(fixture *fx)
{
    mail_store_destroy(fx->store);
    mail_test_remove_dir(fx->dir);
}

static int append(const fixture *fx, mail_span text)
{
    mail_sink *sink;
    int code = mail_store_append(fx->store, fx->box, &sink, NULL);

    if (code != MAIL_OK) {
        return code;
    }
    code = mail_sink_write(sink, text);
    if (code != MAIL_OK) {
        mail_sink_abort(sink);
        return code;
    }
    return mail_sink_finish(sink, NULL, NULL);
}

static void deliver(const fixture *fx, const char *text)
{
    assert_int_equal(append(fx, mail_span_text(text)), MAIL_OK);
}

/* How many files the subfolder holds; the name of one of them into `name`. */
static size_t count_files(const fixture *fx, const char *sub, char name[256])
{
    char path[4200];
    struct dirent *entry;
    size_t count = 0;
    DIR *dir;

    snprintf(path, sizeof(path), "%s/%s", fx->box, sub);
    dir = opendir(path);
    if (dir == NULL) {
        return 0;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.') {
            snprintf(name, 256, "%s", entry->d_name);
            count++;
        }
    }
    closedir(dir);
    return count;
}

static void put_file(const fixture *fx, const char *name, const char *content)
{
    char path[4400];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", fx->box, name);
    file = fopen(path, "wb");
    assert_non_null(file);
    fputs(content, file);
    fclose(file);
}

static void move_file(const fixture *fx, const char *from, const char *to)
{
    char old[4400];
    char new[4400];

    snprintf(old, sizeof(old), "%s/%s", fx->box, from);
    snprintf(new, sizeof(new), "%s/%s", fx->box, to);
    assert_int_equal(rename(old, new), 0);
}

static mail_mailbox *open_box(const fixture *fx)
{
    mail_mailbox *box;

    assert_int_equal(mail_mailbox_open(&box, fx->store, fx->box, NULL), MAIL_OK);
    return box;
}

static void assert_message(mail_mailbox *box, size_t index, const char *want)
{
    mail_source *source;
    mail_span bytes;
    char text[256];
    size_t length = 0;

    assert_int_equal(mail_mailbox_read(box, index, &source), MAIL_OK);
    for (;;) {
        assert_int_equal(mail_source_peek(source, &bytes), MAIL_OK);
        if (bytes.length == 0) {
            break;
        }
        assert_true(length < sizeof(text));
        text[length++] = *bytes.data;
        mail_source_drop(source, 1);
    }
    mail_source_close(source);
    assert_span_equal(mail_span_of(text, length), want);
    assert_int_equal(box->messages[index].size, strlen(want));
}

/* MD-001, MD-002, MD-003, MD-006, MD-007, MD-010. */
static void delivers_into_new_and_only_there(void **state)
{
    fixture fx;
    char name[256];
    char path[8192];
    char text[64] = {0};
    struct stat st;
    FILE *file;

    (void)state;
    set_up(&fx, NULL);
    deliver(&fx, "Subject: x\r\n\r\nhello\r\n");
    assert_int_equal(count_files(&fx, "tmp", name), 0);
    assert_int_equal(count_files(&fx, "cur", name), 0);
    assert_int_equal(count_files(&fx, "new", name), 1);
    assert_memory_equal(name, "1700000000.M000000P", 19);
    assert_non_null(strstr(name, ".mx\\0571\\072x,S=18,W=21"));
    assert_null(strchr(name, ':'));
    snprintf(path, sizeof(path), "%s/new/%s", fx.box, name);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(fx.box, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    file = fopen(path, "rb");
    assert_int_equal(fread(text, 1, sizeof(text), file), 18);
    assert_string_equal(text, "Subject: x\n\nhello\n");
    fclose(file);
    tear_down(&fx);
}

static void takes_a_message_of_any_size_in_any_pieces(void **state)
{
    static char text[300000];
    static const size_t pieces[] = {1, 7, 77, 16383, 16384, 16385, 65536, sizeof(text)};
    fixture fx;
    mail_mailbox *box;

    (void)state;
    set_up(&fx, NULL);
    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = i % 100 == 98 ? '\r' : i % 100 == 99 ? '\n' : (char)('a' + i % 23);
    }
    for (size_t i = 0; i < MAIL_COUNT(pieces); i++) {
        mail_span rest = mail_span_of(text, sizeof(text));
        mail_sink *sink;

        assert_int_equal(mail_store_append(fx.store, fx.box, &sink, NULL), MAIL_OK);
        while (rest.length > 0) {
            size_t n = rest.length < pieces[i] ? rest.length : pieces[i];

            assert_true(mail_sink_room(sink) >= n);
            assert_int_equal(mail_sink_write(sink, mail_span_first(rest, n)), MAIL_OK);
            rest = mail_span_from(rest, n);
        }
        assert_int_equal(mail_sink_finish(sink, NULL, NULL), MAIL_OK);
    }
    box = open_box(&fx);
    assert_int_equal(box->count, MAIL_COUNT(pieces));
    for (size_t i = 0; i < box->count; i++) {
        mail_span rest = mail_span_of(text, sizeof(text));
        mail_source *source;
        mail_span bytes;

        assert_int_equal(box->messages[i].size, sizeof(text));
        assert_int_equal(mail_mailbox_read(box, i, &source), MAIL_OK);
        while (mail_source_peek(source, &bytes) == MAIL_OK && bytes.length > 0) {
            assert_true(bytes.length <= rest.length);
            assert_memory_equal(bytes.data, rest.data, bytes.length);
            rest = mail_span_from(rest, bytes.length);
            mail_source_drop(source, bytes.length);
        }
        assert_int_equal(rest.length, 0);
        mail_source_close(source);
    }
    mail_mailbox_close(box);
    tear_down(&fx);
}

static void shows_nothing_of_an_aborted_message(void **state)
{
    fixture fx;
    mail_sink *sink;
    char name[256];

    (void)state;
    set_up(&fx, NULL);
    assert_int_equal(mail_store_append(fx.store, fx.box, &sink, NULL), MAIL_OK);
    assert_int_equal(mail_sink_write(sink, MAIL_SPAN("half of")), MAIL_OK);
    assert_int_equal(count_files(&fx, "tmp", name), 1);
    mail_sink_abort(sink);
    assert_int_equal(count_files(&fx, "tmp", name), 0);
    assert_int_equal(count_files(&fx, "new", name), 0);
    tear_down(&fx);
}

/* MD-001: whatever fails, on a full disk or a broken one, is reported and leaves nothing behind. */
static void leaves_nothing_when_any_operation_fails(void **state)
{
    static const int errors[] = {-ENOSPC, -EIO, -EACCES};
    static char large[100000];

    (void)state;
    memset(large, 'x', sizeof(large));
    for (size_t i = 0; i < MAIL_COUNT(errors); i++) {
        for (unsigned fail_at = 1;; fail_at++) {
            fixture fx;
            char name[256];
            int code;

            set_up(&fx, NULL);
            fx.files.fail_at = fail_at;
            fx.files.with = errors[i];
            code = append(&fx, mail_span_of(large, sizeof(large)));
            if (code != MAIL_OK) {
                assert_int_equal(code, mail_error_from_errno(-errors[i]));
                assert_int_equal(count_files(&fx, "new", name), 0);
                assert_int_equal(count_files(&fx, "tmp", name), 0);
            } else {
                assert_int_equal(count_files(&fx, "new", name), 1);
            }
            fx.files.fail_at = 0;
            deliver(&fx, "next\r\n"); /* and the next one finds all in order */
            tear_down(&fx);
            if (!fx.files.failed) {
                break;
            }
        }
    }
}

#define GROUP 5

/* Finishes as many as can be written, together; how many were delivered. */
static size_t deliver_group(const fixture *fx)
{
    mail_sink *sinks[GROUP];
    int codes[GROUP];
    size_t count = 0;
    size_t good = 0;

    for (size_t i = 0; i < GROUP; i++) {
        if (mail_store_append(fx->store, fx->box, &sinks[count], NULL) != MAIL_OK) {
            continue;
        }
        if (mail_sink_write(sinks[count], MAIL_SPAN("hello\r\n")) == MAIL_OK) {
            count++;
        } else {
            mail_sink_abort(sinks[count]);
        }
    }
    mail_store_finish(fx->store, sinks, count, codes);
    for (size_t i = 0; i < count; i++) {
        good += codes[i] == MAIL_OK;
    }
    return good;
}

/* MD-001: what fails for one is not said of another; what fails for the folder fails for all. */
static void delivers_a_group_each_for_itself(void **state)
{
    bool failed = true;

    (void)state;
    for (unsigned fail_at = 1; failed; fail_at++) {
        fixture fx;
        char name[256];
        size_t good;

        set_up(&fx, NULL);
        fx.files.fail_at = fail_at;
        fx.files.with = -EIO;
        good = deliver_group(&fx);
        failed = fx.files.failed;
        assert_int_equal(count_files(&fx, "new", name), good);
        assert_int_equal(count_files(&fx, "tmp", name), strcmp(fx.files.operation, "unlink") == 0);
        assert_true(failed || good == GROUP);
        tear_down(&fx);
    }
}

static unsigned syncs;

static bool counts_syncs(const char *operation, const char *name)
{
    (void)name;
    syncs += strcmp(operation, "sync") == 0;
    return false;
}

static void syncs_the_folder_of_a_group_once(void **state)
{
    fixture fx;

    (void)state;
    set_up(&fx, NULL);
    deliver(&fx, "hello\r\n"); /* makes the mailbox */
    syncs = 0;
    fx.files.fails = counts_syncs;
    assert_int_equal(deliver_group(&fx), GROUP);
    assert_int_equal(syncs, GROUP + 1);
    tear_down(&fx);
}

static bool fails_hard_links(const char *operation, const char *name)
{
    (void)name;
    return strcmp(operation, "link") == 0;
}

/* MD-011. */
static void delivers_where_there_are_no_hard_links(void **state)
{
    fixture fx;
    char name[256];

    (void)state;
    set_up(&fx, NULL);
    fx.files.fails = fails_hard_links;
    fx.files.with = -EPERM;
    deliver(&fx, "a\r\n");
    deliver(&fx, "b\r\n");
    assert_int_equal(count_files(&fx, "new", name), 2);
    assert_int_equal(count_files(&fx, "tmp", name), 0);
    tear_down(&fx);
}

static int link_but_lose_the_answer(const mail_files *fs, int from_dir, const char *from,
                                    int to_dir, const char *to)
{
    (void)fs;
    assert_int_equal(file_system.ops->link(&file_system, from_dir, from, to_dir, to), 0);
    return -EIO;
}

/* MD-011: over NFS the count of links tells that the lost answer was yes. */
static void believes_the_link_count_more_than_the_answer(void **state)
{
    mail_files_ops ops = failing_ops;
    fixture fx;
    char name[256];

    (void)state;
    set_up(&fx, NULL);
    ops.link = link_but_lose_the_answer;
    fx.files.fs.ops = &ops;
    deliver(&fx, "a\r\n");
    assert_int_equal(count_files(&fx, "new", name), 1);
    assert_int_equal(count_files(&fx, "tmp", name), 0);
    tear_down(&fx);
}

static unsigned taken_names;

static bool takes_three_names(const char *operation, const char *name)
{
    (void)name;
    return (strcmp(operation, "link") == 0 || strcmp(operation, "open") == 0) &&
           taken_names++ % 4 != 3;
}

/* MD-002: a name that is taken, in tmp or in new, is not the end. */
static void tries_other_names_when_one_is_taken(void **state)
{
    fixture fx;
    char name[256];

    (void)state;
    set_up(&fx, NULL);
    taken_names = 0;
    fx.files.fails = takes_three_names;
    fx.files.with = -EEXIST;
    deliver(&fx, "a\r\n");
    assert_int_equal(taken_names, 8);
    assert_int_equal(count_files(&fx, "new", name), 1);
    tear_down(&fx);
}

static void *deliver_ten(void *arg)
{
    const fixture *fx = arg;

    for (int i = 0; i < 10; i++) {
        if (append(fx, MAIL_SPAN("hello\r\n")) != MAIL_OK) {
            return arg;
        }
    }
    return NULL;
}

/* MD-002: all of them find the mailbox missing, or half made by another. */
static void delivers_from_many_threads_at_once(void **state)
{
    pthread_t threads[4];
    fixture fx;
    mail_mailbox *box;

    (void)state;
    set_up(&fx, NULL);
    mail_store_destroy(fx.store);
    assert_int_equal(mail_maildir_create(&fx.store, NULL), MAIL_OK);
    for (size_t i = 0; i < MAIL_COUNT(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, deliver_ten, &fx), 0);
    }
    for (size_t i = 0; i < MAIL_COUNT(threads); i++) {
        void *failed;

        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    box = open_box(&fx);
    assert_int_equal(box->count, 10 * MAIL_COUNT(threads));
    mail_mailbox_close(box);
    tear_down(&fx);
}

/* MD-010. */
static void follows_no_symbolic_link_inside_a_maildir(void **state)
{
    fixture fx;
    char path[4400];
    char elsewhere[4400];

    (void)state;
    set_up(&fx, NULL);
    deliver(&fx, "a\r\n");
    snprintf(path, sizeof(path), "%s/tmp", fx.box);
    snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", fx.dir);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(mkdir(elsewhere, 0700), 0);
    assert_int_equal(symlink(elsewhere, path), 0);
    assert_int_equal(append(&fx, MAIL_SPAN("b\r\n")), MAIL_EINVAL);
    tear_down(&fx);
}

static void refuses_a_path_through_a_file(void **state)
{
    fixture fx;
    mail_mailbox *box;
    mail_error err;

    (void)state;
    set_up(&fx, NULL);
    deliver(&fx, "a\r\n");
    put_file(&fx, "file", "");
    strcat(fx.box, "/file");
    assert_int_equal(append(&fx, MAIL_SPAN("b\r\n")), MAIL_EINVAL);
    assert_int_equal(mail_mailbox_open(&box, fx.store, fx.box, &err), MAIL_EINVAL);
    assert_non_null(strstr(err.text, "file: invalid input"));
    tear_down(&fx);
}

/* MD-005. */
static void tidies_what_crashes_left_in_tmp(void **state)
{
    fixture fx;
    char name[256];
    char path[4400];
    struct timespec times[2] = {{.tv_sec = 1700000000 - 36 * 3600},
                                {.tv_sec = 1700000000 - 36 * 3600}};

    (void)state;
    set_up(&fx, NULL);
    deliver(&fx, "a\r\n");
    put_file(&fx, "tmp/old", "half");
    put_file(&fx, "tmp/young", "half");
    snprintf(path, sizeof(path), "%s/tmp/young", fx.box);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    times[0].tv_sec = times[1].tv_sec -= 1;
    snprintf(path, sizeof(path), "%s/tmp/old", fx.box);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    mail_mailbox_close(open_box(&fx));
    assert_int_equal(count_files(&fx, "tmp", name), 1);
    assert_string_equal(name, "young");
    put_file(&fx, "tmp/old", "half");
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    for (int i = 0; i < 256; i++) {
        deliver(&fx, "a\r\n");
    }
    assert_int_equal(count_files(&fx, "tmp", name), 1);
    tear_down(&fx);
}

static void takes_a_missing_mailbox_for_an_empty_one(void **state)
{
    fixture fx;
    mail_mailbox *box;
    char path[4200];

    (void)state;
    set_up(&fx, NULL);
    box = open_box(&fx);
    assert_int_equal(box->count, 0);
    mail_mailbox_close(box);
    assert_int_equal(mkdir(strcat(strcpy(fx.box, fx.dir), "/half"), 0700), 0);
    box = open_box(&fx);
    assert_int_equal(box->count, 0);
    mail_mailbox_close(box);
    deliver(&fx, "a\r\n"); /* and completes it at the first delivery */
    assert_int_equal(rmdir(strcat(strcpy(path, fx.box), "/cur")), 0);
    box = open_box(&fx); /* as a crash may leave it */
    assert_int_equal(box->count, 1);
    mail_mailbox_close(box);
    tear_down(&fx);
}

/* PO-007, PO-016: one session at a time; the lock goes with it. */
static void lets_one_session_in_at_a_time(void **state)
{
    fixture fx;
    mail_mailbox *first;
    mail_mailbox *second;
    mail_error err;

    (void)state;
    set_up(&fx, NULL);
    deliver(&fx, "a\r\n");
    first = open_box(&fx);
    assert_int_equal(mail_mailbox_open(&second, fx.store, fx.box, &err), MAIL_EBUSY);
    assert_non_null(strstr(err.text, "alice: in use"));
    deliver(&fx, "b\r\n"); /* delivery does not wait for sessions */
    mail_mailbox_close(first);
    second = open_box(&fx);
    assert_int_equal(second->count, 2);
    mail_mailbox_close(second);
    tear_down(&fx);
}

/* PO-008, MD-004, PO-021: oldest first, whatever the folder; ids that flags don't change. */
static void keeps_its_list_while_messages_come_move_and_vanish(void **state)
{
    fixture fx;
    mail_mailbox *box;
    mail_source *source;
    char path[4400];

    (void)state;
    set_up(&fx, NULL);
    deliver(&fx, "a\r\n");
    put_file(&fx, "cur/1600000001.old,S=2:2,S", "1\n");
    put_file(&fx, "new/1600000000.older", "0\n");
    put_file(&fx, "new/nonsense", "n\n");
    box = open_box(&fx);
    assert_int_equal(box->count, 4);
    assert_message(box, 0, "n\r\n");
    assert_message(box, 1, "0\r\n");
    assert_message(box, 2, "1\r\n");
    assert_message(box, 3, "a\r\n");
    assert_string_equal(box->messages[1].id, "1600000000.older");
    assert_string_equal(box->messages[2].id, "1600000001.old,S=2");
    deliver(&fx, "b\r\n");
    move_file(&fx, "new/1600000000.older", "cur/1600000000.older:2,");
    move_file(&fx, "cur/1600000001.old,S=2:2,S", "cur/1600000001.old,S=2:2,RS");
    assert_int_equal(box->count, 4);
    assert_message(box, 1, "0\r\n");
    assert_message(box, 2, "1\r\n");
    snprintf(path, sizeof(path), "%s/new/nonsense", fx.box);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mail_mailbox_read(box, 0, &source), MAIL_ENOENT); /* PO-040 */
    assert_message(box, 1, "0\r\n");
    mail_mailbox_close(box);
    box = open_box(&fx);
    assert_int_equal(box->count, 4);
    assert_string_equal(box->messages[0].id, "1600000000.older");
    assert_string_equal(box->messages[1].id, "1600000001.old,S=2");
    assert_message(box, 3, "b\r\n");
    mail_mailbox_close(box);
    tear_down(&fx);
}

/* MD-012: no list of ids is kept that could be lost; a folder brought back from elsewhere has them. */
static void knows_messages_by_their_names_alone(void **state)
{
    static const char *const before[] = {"new/1600000003.c", "cur/1600000001.a:2,S",
                                         "new/1600000002.b,S=2"};
    static const char *const after[] = {"cur/1600000002.b,S=2:2,", "new/1600000003.c",
                                        "cur/1600000001.a:2,RS"};
    static const char *const ids[] = {"1600000001.a", "1600000002.b,S=2", "1600000003.c"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        fixture fx;
        mail_mailbox *box;

        set_up(&fx, NULL);
        deliver(&fx, "the last\r\n"); /* makes the folders */
        for (size_t j = 0; j < MAIL_COUNT(ids); j++) {
            put_file(&fx, i == 0 ? before[j] : after[j], "1\n");
        }
        box = open_box(&fx);
        assert_int_equal(box->count, MAIL_COUNT(ids) + 1);
        for (size_t j = 0; j < MAIL_COUNT(ids); j++) {
            assert_string_equal(box->messages[j].id, ids[j]);
        }
        mail_mailbox_close(box);
        tear_down(&fx);
    }
}

/* PO-015: what is marked, none else, wherever it has moved; what is gone is gone. */
static void removes_what_is_marked(void **state)
{
    fixture fx;
    mail_mailbox *box;
    char name[256];
    char path[4400];

    (void)state;
    set_up(&fx, NULL);
    deliver(&fx, "gone\r\n");
    deliver(&fx, "a\r\n");
    put_file(&fx, "new/1.one", "1\n");
    put_file(&fx, "new/2.two", "2\n");
    box = open_box(&fx);
    assert_int_equal(box->count, 4);
    move_file(&fx, "new/1.one", "cur/1.one:2,S");
    snprintf(path, sizeof(path), "%s/new/%s", fx.box, box->messages[2].id);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mail_mailbox_remove(box, (const uint8_t[]){0x05}), MAIL_OK);
    mail_mailbox_close(box);
    box = open_box(&fx);
    assert_int_equal(box->count, 2);
    assert_message(box, 0, "2\r\n");
    assert_message(box, 1, "a\r\n");
    fx.files.fail_at = fx.files.count + 1;
    fx.files.with = -EACCES;
    assert_int_equal(mail_mailbox_remove(box, (const uint8_t[]){0x03}), MAIL_EPERM);
    mail_mailbox_close(box);
    assert_int_equal(count_files(&fx, "new", name), 1); /* the other one was still removed */
    assert_string_equal(name, "2.two");
    tear_down(&fx);
}

static void lists_a_message_seen_twice_once(void **state)
{
    fixture fx;
    mail_mailbox *box;

    (void)state;
    set_up(&fx, NULL);
    deliver(&fx, "a\r\n");
    put_file(&fx, "new/1.one", "1\n");
    put_file(&fx, "cur/1.one:2,", "1\n");
    put_file(&fx, "cur/1.one:2,S", "1\n");
    box = open_box(&fx);
    assert_int_equal(box->count, 2);
    assert_string_equal(box->messages[0].id, "1.one");
    mail_mailbox_close(box);
    tear_down(&fx);
}

/* MD-007, PO-009: a size in a name is believed only if the file agrees. */
static void trusts_sizes_that_match(void **state)
{
    static const struct {
        const char *name;
        const char *content;
        uint64_t want;
    } cases[] = {
        {"new/1,S=4,W=6", "a\nb\n", 6},
        {"new/2,S=4,W=5", "a\nb\n", 5}, /* within what is possible: not read */
        {"new/3,S=5,W=6", "a\nb\n", 6},
        {"new/4,S=4,W=3", "a\nb\n", 6},
        {"new/5,S=4,W=11", "a\nb\n", 6},
        {"new/6,S=4", "a\nb\n", 6},
        {"new/7,W=9", "a\nb\n", 6},
        {"new/8,S=99999999999999999999999,W=6", "a\nb", 6},
        {"new/9,S=-4,W=6", "a\r\nb\r\n", 6},
        {"new/10,S=0,W=0", "", 0},
        {"new/11", "", 0},
    };
    fixture fx;
    mail_mailbox *box;

    (void)state;
    set_up(&fx, NULL);
    deliver(&fx, "a\r\n");
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        put_file(&fx, cases[i].name, cases[i].content);
    }
    box = open_box(&fx);
    assert_int_equal(box->count, MAIL_COUNT(cases) + 1);
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_test_case(cases[i].name);
        assert_string_equal(box->messages[i].id, cases[i].name + 4);
        assert_int_equal(box->messages[i].size, cases[i].want);
    }
    mail_mailbox_close(box);
    tear_down(&fx);
}

/* PO-019: 1 to 70 octets 0x21 to 0x7E, whatever a file is called. */
static void gives_every_message_a_valid_id(void **state)
{
    static const char *const names[] = {
        "new/plain",
        "new/with a blank",
        "new/\xc3\xa4",
        "new/1234567890123456789012345678901234567890123456789012345678901234567890",
        "new/12345678901234567890123456789012345678901234567890123456789012345678901",
    };
    fixture fx;
    mail_mailbox *box;

    (void)state;
    set_up(&fx, NULL);
    deliver(&fx, "a\r\n");
    for (size_t i = 0; i < MAIL_COUNT(names); i++) {
        put_file(&fx, names[i], "x\n");
    }
    box = open_box(&fx);
    assert_int_equal(box->count, MAIL_COUNT(names) + 1);
    for (size_t i = 0; i < box->count; i++) {
        size_t length = strlen(box->messages[i].id);

        assert_in_range(length, 1, 70);
        for (size_t j = 0; j < length; j++) {
            assert_in_range(box->messages[i].id[j], 0x21, 0x7e);
        }
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(box->messages[i].id, box->messages[j].id);
        }
    }
    mail_mailbox_close(box);
    tear_down(&fx);
}

static void skips_what_is_no_message(void **state)
{
    fixture fx;
    mail_mailbox *box;
    char path[4400];

    (void)state;
    set_up(&fx, NULL);
    deliver(&fx, "a\r\n");
    put_file(&fx, "new/.hidden", "x\n");
    snprintf(path, sizeof(path), "%s/new/folder", fx.box);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/new/fifo", fx.box);
    assert_int_equal(mkfifo(path, 0600), 0);
    snprintf(path, sizeof(path), "%s/new/link", fx.box);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    box = open_box(&fx);
    assert_int_equal(box->count, 1);
    mail_mailbox_close(box);
    tear_down(&fx);
}

static void reports_every_failure_to_open(void **state)
{
    fixture fx;
    unsigned before;

    (void)state;
    set_up(&fx, NULL);
    deliver(&fx, "a\r\n");
    put_file(&fx, "new/unsized", "x\n");
    for (unsigned at = 1;; at++) {
        mail_mailbox *box = NULL;
        int code;

        fx.files.failed = false;
        fx.files.with = -EIO;
        before = fx.files.count;
        fx.files.fail_at = before + at;
        code = mail_mailbox_open(&box, fx.store, fx.box, NULL);
        if (code == MAIL_OK) {
            assert_int_equal(box->count, 2);
            mail_mailbox_close(box);
        } else {
            assert_int_equal(code, MAIL_EIO);
        }
        if (!fx.files.failed) {
            break;
        }
    }
    tear_down(&fx);
}

static void fails_cleanly_without_memory(void **state)
{
    (void)state;
    MAIL_TEST_WALK(walk)
    {
        fixture fx = {.dir = mail_test_make_dir(), .files = {.fs = {&failing_ops}}};
        mail_maildir_options opts = MAIL_MAILDIR_OPTIONS_INIT;
        mail_mailbox *box = NULL;
        mail_source *source = NULL;
        int code;

        snprintf(fx.box, sizeof(fx.box), "%s/box", fx.dir);
        opts.mem = &walk.mem;
        code = mail_maildir_create(&fx.store, &opts);
        for (int i = 0; code == MAIL_OK && i < 20; i++) {
            code = append(&fx, MAIL_SPAN("one\r\n"));
        }
        if (code == MAIL_OK) {
            put_file(&fx, "new/1.one", "1\n");
            code = mail_mailbox_open(&box, fx.store, fx.box, NULL);
        }
        if (code == MAIL_OK) {
            move_file(&fx, "new/1.one", "cur/1.one:2,S");
            code = mail_mailbox_read(box, 0, &source);
        }
        if (code == MAIL_OK) {
            move_file(&fx, "cur/1.one:2,S", "cur/1.one:2,FS");
            code = mail_mailbox_remove(box, (const uint8_t[]){1, 0, 0});
        }
        assert_int_equal(code, walk.failed ? MAIL_ENOMEM : MAIL_OK);
        if (source != NULL) {
            mail_source_close(source);
        }
        mail_mailbox_close(box);
        tear_down(&fx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delivers_into_new_and_only_there),
        cmocka_unit_test(takes_a_message_of_any_size_in_any_pieces),
        cmocka_unit_test(shows_nothing_of_an_aborted_message),
        cmocka_unit_test(leaves_nothing_when_any_operation_fails),
        cmocka_unit_test(delivers_a_group_each_for_itself),
        cmocka_unit_test(syncs_the_folder_of_a_group_once),
        cmocka_unit_test(delivers_where_there_are_no_hard_links),
        cmocka_unit_test(believes_the_link_count_more_than_the_answer),
        cmocka_unit_test(tries_other_names_when_one_is_taken),
        cmocka_unit_test(delivers_from_many_threads_at_once),
        cmocka_unit_test(follows_no_symbolic_link_inside_a_maildir),
        cmocka_unit_test(refuses_a_path_through_a_file),
        cmocka_unit_test(tidies_what_crashes_left_in_tmp),
        cmocka_unit_test(takes_a_missing_mailbox_for_an_empty_one),
        cmocka_unit_test(lets_one_session_in_at_a_time),
        cmocka_unit_test(keeps_its_list_while_messages_come_move_and_vanish),
        cmocka_unit_test(knows_messages_by_their_names_alone),
        cmocka_unit_test(removes_what_is_marked),
        cmocka_unit_test(lists_a_message_seen_twice_once),
        cmocka_unit_test(trusts_sizes_that_match),
        cmocka_unit_test(gives_every_message_a_valid_id),
        cmocka_unit_test(skips_what_is_no_message),
        cmocka_unit_test(reports_every_failure_to_open),
        cmocka_unit_test(fails_cleanly_without_memory),
    };

    return mail_test_run(tests);
}
