/* SPDX-License-Identifier: MIT */
/*
 * Whatever lies in a folder that others may write: what is taken for a message must
 * come out the same when it is dropped again.
 */
#include <errno.h>
#include <stdlib.h>

#include "mta/drop.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

/* A disk with one file on it, which can be read and written. */
typedef struct one_file {
    mail_files files;
    char *data;
    size_t size;
} one_file;

static one_file *file_of(const mail_files *fs)
{
    return (one_file *)(uintptr_t)fs;
}

static int one_open(const mail_files *fs, int dir, const char *name, int flags)
{
    (void)dir;
    (void)name;
    if (flags & FILE_NEW) {
        free(file_of(fs)->data);
        file_of(fs)->data = NULL;
        file_of(fs)->size = 0;
    }
    return 1;
}

static int one_open_dir(const mail_files *fs, int dir, const char *name)
{
    (void)fs;
    (void)dir;
    (void)name;
    return 2;
}

static void one_close(const mail_files *fs, int fd)
{
    (void)fs;
    (void)fd;
}

static ssize_t one_read(const mail_files *fs, int fd, void *to, size_t size, uint64_t offset)
{
    const one_file *file = file_of(fs);
    size_t n = offset < file->size ? file->size - (size_t)offset : 0;

    (void)fd;
    n = n < size ? n : size;
    if (n > 0) {
        memcpy(to, file->data + offset, n);
    }
    return (ssize_t)n;
}

static ssize_t one_write(const mail_files *fs, int fd, const struct iovec *parts, int count,
                         uint64_t offset)
{
    one_file *file = file_of(fs);
    size_t n = 0;

    (void)fd;
    require(offset == file->size);
    for (int i = 0; i < count; i++) {
        if (parts[i].iov_len > 0) {
            file->data = realloc(file->data, file->size + parts[i].iov_len);
            require(file->data != NULL);
            memcpy(file->data + file->size, parts[i].iov_base, parts[i].iov_len);
            file->size += parts[i].iov_len;
            n += parts[i].iov_len;
        }
    }
    return (ssize_t)n;
}

static int one_sync(const mail_files *fs, int fd)
{
    (void)fs;
    (void)fd;
    return 0;
}

static int one_info(const mail_files *fs, int fd, file_info *out)
{
    (void)fd;
    *out = (file_info){.size = file_of(fs)->size, .links = 1, .is_file = true};
    return 0;
}

static int one_rename(const mail_files *fs, int from_dir, const char *from, int to_dir,
                      const char *to)
{
    (void)fs;
    (void)from_dir;
    (void)from;
    (void)to_dir;
    (void)to;
    return 0;
}

static const mail_files_ops one_ops = {
    .open = one_open,
    .open_dir = one_open_dir,
    .close = one_close,
    .read = one_read,
    .write = one_write,
    .sync = one_sync,
    .info = one_info,
    .rename = one_rename,
};

static void copy(mail_drop *from, mail_sink *to)
{
    for (;;) {
        mail_span bytes;

        require(mail_source_peek(mail_drop_body(from), &bytes) == MAIL_OK);
        if (bytes.length == 0) {
            return;
        }
        require(mail_sink_write(to, bytes) == MAIL_OK);
        mail_source_drop(mail_drop_body(from), bytes.length);
    }
}

static void require_same(const mail_envelope *a, const mail_envelope *b)
{
    require(mail_span_equal(mail_envelope_sender(a), mail_envelope_sender(b)));
    require(mail_span_equal(mail_envelope_envid(a), mail_envelope_envid(b)));
    require(a->ret == b->ret && a->body == b->body && a->smtputf8 == b->smtputf8);
    require(mail_envelope_count(a) == mail_envelope_count(b));
    for (size_t i = 0; i < mail_envelope_count(a); i++) {
        mail_recipient x = mail_envelope_recipient(a, i);
        mail_recipient y = mail_envelope_recipient(b, i);

        require(mail_span_equal(x.address, y.address) && mail_span_equal(x.orcpt, y.orcpt));
        require(x.notify == y.notify);
    }
}

static void drop_again(mail_drop *drop, size_t expected)
{
    one_file second = {.files = {&one_ops}};
    const drop_seams seams = {.files = &second.files};
    mail_sink *sink;
    mail_drop *again;

    require(drop_begin(&sink, &seams, "x", mail_drop_envelope(drop), NULL, NULL, NULL) == MAIL_OK);
    copy(drop, sink);
    require(mail_sink_finish(sink, NULL, NULL) == MAIL_OK);
    require(drop_open(&again, &second.files, "x", "y", NULL, NULL) == MAIL_OK);
    require(mail_drop_size(again) == expected);
    require_same(mail_drop_envelope(drop), mail_drop_envelope(again));
    mail_drop_close(again);
    free(second.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    one_file first = {.files = {&one_ops}, .data = (char *)(uintptr_t)data, .size = size};
    mail_drop *drop;
    int code = drop_open(&drop, &first.files, "x", "y", NULL, NULL);

    if (code == MAIL_OK) {
        require(mail_envelope_count(mail_drop_envelope(drop)) > 0);
        require(mail_drop_size(drop) < size);
        drop_again(drop, (size_t)mail_drop_size(drop));
        mail_drop_close(drop);
    } else {
        require(code == MAIL_EDAMAGED || code == MAIL_EVERSION);
    }
    return 0;
}
