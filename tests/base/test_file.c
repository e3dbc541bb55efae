/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <errno.h>
#include <unistd.h>

#include "base/file.h"

static int count_entry(const char *name, void *arg)
{
    (void)name;
    ++*(int *)arg;
    return 0;
}

static void does_what_its_table_says(void **state)
{
    const mail_files *fs = &file_system;
    char *path = mail_test_make_dir();
    struct iovec parts[2] = {{"hello ", 6}, {"world", 5}};
    char *data;
    size_t length;
    file_info info;
    uint64_t free_bytes;
    int entries = 0;
    int dir;
    int fd;

    (void)state;
    dir = fs->ops->open_dir(fs, FILE_CWD, path);
    assert_true(dir >= 0);
    assert_int_equal(fs->ops->open(fs, dir, "a", FILE_READ), -ENOENT);
    fd = fs->ops->open(fs, dir, "a", FILE_WRITE | FILE_CREATE | FILE_NEW);
    assert_true(fd >= 0);
    assert_int_equal(fs->ops->open(fs, dir, "a", FILE_WRITE | FILE_CREATE | FILE_NEW), -EEXIST);
    assert_int_equal(file_write_all(fs, fd, parts, 2, 0), 0);
    assert_int_equal(fs->ops->sync_data(fs, fd), 0);
    assert_int_equal(fs->ops->lock(fs, fd), 0);
    fs->ops->close(fs, fd);
    assert_int_equal(fs->ops->rename(fs, dir, "a", dir, "b"), 0);
    assert_int_equal(fs->ops->sync(fs, dir), 0);
    assert_int_equal(fs->ops->info_at(fs, dir, "b", &info), 0);
    assert_int_equal(info.size, 11);
    assert_int_equal(info.mode, 0600);
    assert_true(info.is_file);
    assert_int_equal(file_load(fs, dir, "b", 11, NULL, &data, &length), MAIL_OK);
    assert_string_equal(data, "hello world");
    free(data);
    assert_int_equal(file_load(fs, dir, "b", 10, NULL, &data, &length), MAIL_ELIMIT);
    assert_int_equal(fs->ops->make_dir(fs, dir, "sub"), 0);
    assert_int_equal(fs->ops->list(fs, dir, count_entry, &entries), 0);
    assert_int_equal(entries, 2);
    assert_int_equal(fs->ops->free_bytes(fs, dir, &free_bytes), 0);
    fs->ops->close(fs, dir);
    mail_test_remove_dir(path);
}

static void follows_no_link_and_shares_no_lock(void **state)
{
    const mail_files *fs = &file_system;
    char *path = mail_test_make_dir();
    int dir = fs->ops->open_dir(fs, FILE_CWD, path);
    int first;
    int second;

    (void)state;
    assert_int_equal(symlinkat("/etc/passwd", dir, "link"), 0);
    assert_int_equal(fs->ops->open(fs, dir, "link", FILE_READ), -ELOOP);
    assert_int_equal(symlinkat("/tmp", dir, "folder"), 0);
    assert_int_equal(fs->ops->open_dir(fs, dir, "folder"), -ENOTDIR);
    first = fs->ops->open(fs, dir, "lock", FILE_WRITE | FILE_CREATE);
    second = fs->ops->open(fs, dir, "lock", FILE_WRITE | FILE_CREATE);
    assert_int_equal(fs->ops->lock(fs, first), 0);
    assert_int_equal(fs->ops->lock(fs, second), -EAGAIN);
    fs->ops->close(fs, first);
    assert_int_equal(fs->ops->lock(fs, second), 0);
    fs->ops->close(fs, second);
    fs->ops->close(fs, dir);
    mail_test_remove_dir(path);
}

/* Writes at most 3 bytes at a time. */
static ssize_t short_write(const mail_files *fs, int fd, const struct iovec *parts, int count,
                           uint64_t offset)
{
    struct iovec part = *parts;

    (void)fs;
    (void)count;
    part.iov_len = part.iov_len < 3 ? part.iov_len : 3;
    return file_system.ops->write(&file_system, fd, &part, 1, offset);
}

static void carries_on_after_short_writes(void **state)
{
    mail_files_ops ops = *file_system.ops;
    const mail_files fs = {&ops};
    char *path = mail_test_make_dir();
    int dir = fs.ops->open_dir(&fs, FILE_CWD, path);
    struct iovec parts[3] = {{"hello ", 6}, {"", 0}, {"world", 5}};
    char data[12] = {0};
    int fd;

    (void)state;
    ops.write = short_write;
    fd = fs.ops->open(&fs, dir, "a", FILE_WRITE | FILE_CREATE);
    assert_int_equal(file_write_all(&fs, fd, parts, 3, 2), 0);
    assert_int_equal(file_read_all(&fs, fd, data, 11, 2), 11);
    assert_string_equal(data, "hello world");
    fs.ops->close(&fs, fd);
    fs.ops->close(&fs, dir);
    mail_test_remove_dir(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(does_what_its_table_says),
        cmocka_unit_test(follows_no_link_and_shares_no_lock),
        cmocka_unit_test(carries_on_after_short_writes),
    };

    return mail_test_run(tests);
}
