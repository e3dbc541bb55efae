/* SPDX-License-Identifier: MIT */
/*
 * Opens a spool whose one segment holds what the input says, and does with it all that can
 * be done. The input is a row of records, so that it gets past the sums:
 *
 *     control   bits 0-2 the type (0: octets as they are), 3 a wrong sum, 4 a gap in the
 *               sequence, 5 the body's sum wrong, 6-7 unsafe
 *     id        two bits of it count
 *     head      two octets of length, then the head
 *     body      one octet of length, then the body
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <mail/queue.h>

#include "base/crc32c.h"
#include "queue/head.h"
#include "queue/queue.h"
#include "queue/record.h"
#include "queue/wire.h"
#include "support/fault_files.h"

#define SEGMENT "spool/log/0000000000000001.seg"
#define SIZE    65536
#define FIRST   4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static mail_time now(void *arg)
{
    return *(mail_time *)arg;
}

static mail_wall wall(void *arg)
{
    return 1700000000 + *(mail_time *)arg / MAIL_SECOND;
}

typedef struct builder {
    wire_reader in;
    uint64_t generation;
    uint64_t sequence;
    char image[SIZE];
    size_t at;
} builder;

static void add_octets(builder *b, mail_span octets)
{
    if (octets.length <= SIZE - b->at && octets.length > 0) {
        memcpy(b->image + b->at, octets.data, octets.length);
        b->at += octets.length;
    }
}

static void add_record(builder *b, unsigned control, uint64_t id, mail_span head, mail_span body)
{
    queue_header header = {
        .type = (queue_record_type)(control & 7),
        .unsafe = 1 + (control >> 6),
        .head_length = (uint32_t)head.length,
        .body_length = body.length,
        .sequence = b->sequence += 1 + (control >> 4 & 1),
        .generation = b->generation,
        .id = id,
        .tick = 5,
        .body_crc = crc32c(0, body.data, body.length) ^ (control >> 5 & 1),
        .wall = 1700000000,
    };
    char *record = b->image + b->at;

    if (queue_header_total(&header) > SIZE - b->at) {
        return;
    }
    b->at += QUEUE_RECORD_SIZE;
    add_octets(b, head);
    add_octets(b, body);
    queue_header_write(&header, record);
    record[12] ^= (char)(control >> 3 & 1);
    b->at = (size_t)(record - b->image) + (size_t)queue_header_total(&header);
}

static void build(builder *b)
{
    char start[QUEUE_START_SIZE];

    queue_start_write(&(queue_start){0}, start);
    add_record(b, QUEUE_RECORD_START, 0, mail_span_of(start, sizeof(start)), MAIL_SPAN(""));
    while (b->in.left > 0) {
        unsigned control = (unsigned)wire_take(&b->in, 1);
        uint64_t id = 1 + (wire_take(&b->in, 1) & 3);
        size_t length = (size_t)wire_take(&b->in, 2);
        mail_span head;
        mail_span body;

        length = length < b->in.left ? length : b->in.left;
        head = wire_take_bytes(&b->in, length);
        length = (size_t)wire_take(&b->in, 1);
        length = length < b->in.left ? length : b->in.left;
        body = wire_take_bytes(&b->in, length);
        if ((control & 7) == 0) {
            add_octets(b, head);
        } else {
            add_record(b, control, id, head, body);
        }
    }
}

static void write_image(const mail_files *files, builder *b)
{
    struct iovec part = {b->image, b->at};
    char generation[8];
    int fd = files->ops->open(files, FILE_CWD, SEGMENT, FILE_WRITE);

    assert(fd >= 0);
    if (file_read_all(files, fd, generation, 8, 40) != 8) {
        abort();
    }
    b->generation = wire_get(generation, 8);
    build(b);
    part.iov_len = b->at;
    if (b->at > 0 && file_write_all(files, fd, &part, 1, FIRST) != 0) {
        abort();
    }
    files->ops->close(files, fd);
}

static bool see(const mail_queue_item *item, void *arg)
{
    size_t *octets = arg;

    for (size_t i = 0; i < item->recipient_count; i++) {
        *octets += item->recipients[i].address.length + item->recipients[i].last_reply.length;
    }
    return true;
}

static void drain(mail_source *source)
{
    mail_span span;

    while (mail_source_peek(source, &span) == MAIL_OK && span.length > 0) {
        mail_source_drop(source, span.length);
    }
    mail_source_close(source);
}

static void deliver(mail_queue *queue, unsigned step)
{
    mail_lane *lane = mail_queue_take_lane(queue);
    mail_reply reply = MAIL_REPLY(450, 4, 2, 0, "later");
    mail_source *source;
    mail_lease *lease;

    if (lane == NULL) {
        return;
    }
    if (mail_lane_lease(lane, &lease) == MAIL_OK) {
        if (mail_lease_body(lease, &source) == MAIL_OK) {
            drain(source);
        }
        for (size_t i = 0; i < mail_envelope_count(mail_lease_envelope(lease)); i++) {
            mail_lease_report(lease, i, step % 3 == 0 ? MAIL_QUEUE_RETRY : MAIL_QUEUE_DONE, &reply,
                              false);
        }
        mail_lease_end(lease);
    }
    mail_lane_give_back(lane, INT64_MIN);
}

static void use(mail_queue *queue, mail_time *clock)
{
    mail_queue_selector all = {.all = true};
    size_t octets = 0;

    (void)mail_queue_list(queue, &all, see, &octets);
    (void)mail_queue_unhold(queue, &all);
    for (unsigned i = 0; i < 24; i++) {
        deliver(queue, i);
        queue_step(queue);
        *clock += MAIL_MINUTE;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fault_files *disk = fault_files_create(1);
    mail_time clock = 1000 * MAIL_HOUR;
    mail_queue_options opts = {
        .size = sizeof(opts),
        .files = fault_files_table(disk),
        .random = fault_files_random(disk),
        .segment_bytes = SIZE,
        .manual = true,
        .now = now,
        .wall = wall,
        .clock_arg = &clock,
    };
    builder *b = calloc(1, sizeof(*b));
    mail_queue *queue;

    assert(b != NULL);
    b->in = wire_reader_of(mail_span_of(data, size));
    if (mail_queue_open(&queue, "spool", &opts, NULL) != MAIL_OK) {
        abort();
    }
    mail_queue_close(queue);
    write_image(opts.files, b);
    for (int i = 0; i < 2; i++) { /* what the first leaves behind must be sound */
        if (mail_queue_open(&queue, "spool", &opts, NULL) != MAIL_OK) {
            abort();
        }
        use(queue, &clock);
        mail_queue_close(queue);
    }
    if (fault_files_handles(disk) != 0) {
        abort();
    }
    free(b);
    fault_files_destroy(disk);
    return 0;
}
