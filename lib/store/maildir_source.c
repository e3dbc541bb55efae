/* SPDX-License-Identifier: MIT */
#include "store/maildir.h"

#include <assert.h>

#include "base/mem.h"
#include "store/wire.h"

/*
 * A piece of the file is read into the back half of the block and brought into wire
 * form from the front of it on: that never catches up with what is still to be read.
 */
typedef struct file_source {
    mail_source source;
    const mail_mem *mem;
    const mail_files *fs;
    int fd;
    bool at_end;
    wire_reader wire;
    uint64_t offset; /* in the file */
    size_t start;    /* of what can be lent */
    size_t end;
    char block[2 * MAILDIR_CHUNK];
} file_source;

static int fill(file_source *src)
{
    char *raw = src->block + MAILDIR_CHUNK;
    ssize_t n = src->fs->ops->read(src->fs, src->fd, raw, MAILDIR_CHUNK, src->offset);

    if (n < 0) {
        return maildir_code(n);
    }
    src->start = 0;
    src->at_end = n == 0;
    src->offset += (uint64_t)n;
    src->end = n == 0 ? wire_reader_end(&src->wire, src->block)
                      : wire_reader_put(&src->wire, mail_span_of(raw, (size_t)n), src->block);
    return MAIL_OK;
}

static int source_peek(mail_source *source, mail_span *out)
{
    file_source *src = (file_source *)source;

    if (src->start == src->end && !src->at_end) {
        int code = fill(src);

        if (code != MAIL_OK) {
            return code;
        }
    }
    *out = mail_span_of(src->block + src->start, src->end - src->start);
    return MAIL_OK;
}

static void source_drop(mail_source *source, size_t n)
{
    file_source *src = (file_source *)source;

    assert(n <= src->end - src->start);
    src->start += n;
}

static void source_close(mail_source *source)
{
    file_source *src = (file_source *)source;

    src->fs->ops->close(src->fs, src->fd);
    mem_free(src->mem, src, sizeof(*src));
}

int maildir_source_create(mail_source **out, const maildir *md, int fd)
{
    static const mail_source_ops ops = {source_peek, source_drop, source_close};
    file_source *src = mem_resize(md->mem, NULL, 0, sizeof(*src)); /* the block need not be zero */

    if (src == NULL) {
        return MAIL_ENOMEM;
    }
    src->source = (mail_source){.ops = &ops};
    src->mem = md->mem;
    src->fs = md->fs;
    src->fd = fd;
    src->at_end = false;
    src->wire = (wire_reader){0};
    src->offset = 0;
    src->start = 0;
    src->end = 0;
    *out = &src->source;
    return MAIL_OK;
}
