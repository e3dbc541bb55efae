/* SPDX-License-Identifier: MIT */
#include "queue/intake.h"

#include <assert.h>

#include "base/crc32c.h"
#include "base/mem.h"
#include "queue/large.h"

/*
 * A message gathers in memory behind its head, in the very block that the writer hands to
 * the disk. One that grows too long for the log, or for the memory all messages on their
 * way in may have, goes on in a file of its own: then the block is only what is on its way
 * to that file.
 */

#define ROOM  ((size_t)256 << 10) /* what one write may have */
#define FIRST ((size_t)2 << 10)   /* room for the body of a message of unknown length */

/* Kept for the next messages: no larger block than this, and in all so much for each intake. */
#define KEEP_BLOCK ((size_t)64 << 10)
#define KEEP_BYTES ((size_t)1 << 20)

/*
 * A large body goes to its file in pieces of so much: what begins and ends with pages, and many of
 * them at a time, costs the system least. It sets out for the disk while more of it arrives.
 */
#define PIECE   ((size_t)128 << 10)
#define SET_OUT (16 * PIECE)

static bool is_large(const queue_sink *sink)
{
    return sink->record.large_fd >= 0;
}

/* Octets of body in the block. */
static size_t gathered(const queue_sink *sink)
{
    return sink->length - QUEUE_RECORD_SIZE - sink->head_length;
}

static int reserve(queue_sink *sink, size_t length)
{
    mail_queue *queue = sink->intake->queue;
    size_t before = sink->record.capacity;
    int code = queue_record_reserve(queue->mem, &sink->record, length + QUEUE_RECORD_ALIGN);

    atomic_fetch_add(&queue->filling_bytes, sink->record.capacity - before);
    return code;
}

static void free_block(queue_sink *sink)
{
    mail_queue *queue = sink->intake->queue;

    mem_free(queue->mem, sink->record.data, sink->record.capacity);
    sink->record.data = NULL;
    sink->record.capacity = 0;
}

/* Writes the first `length` octets of what has gathered, and `more`, to the large body's file. */
static int write_out(queue_sink *sink, size_t length, mail_span more)
{
    const mail_files *files = sink->intake->queue->opts.files;
    char *body = sink->record.data + QUEUE_RECORD_SIZE + sink->head_length;
    struct iovec parts[2] = {{body, length}, {(void *)(uintptr_t)more.data, more.length}};
    uint64_t end = sink->written + length + more.length;
    int code;

    code = file_write_all(files, sink->record.large_fd, parts, 2, sink->written);
    if (code < 0) {
        return mail_error_from_errno(-code);
    }
    if (sink->written / SET_OUT != end / SET_OUT) {
        files->ops->begin_sync(files, sink->record.large_fd);
    }
    sink->written = end;
    memmove(body, body + length, gathered(sink) - length);
    sink->length -= length;
    return MAIL_OK;
}

/* Moves the body to a file of its own. */
static int spill(queue_sink *sink)
{
    mail_queue *queue = sink->intake->queue;
    int code;

    code = queue_large_create(queue->opts.files, queue->large_dir, sink->record.header.id,
                              sink->promised, &sink->record.large_fd);
    if (code != MAIL_OK) {
        return code;
    }
    return write_out(sink, gathered(sink) - gathered(sink) % PIECE, mail_span_of(NULL, 0));
}

/* Writes whole pieces; what is left of `bytes` waits for more. */
static int write_pieces(queue_sink *sink, mail_span *bytes)
{
    int code = MAIL_OK;

    while (code == MAIL_OK && gathered(sink) + bytes->length >= PIECE) {
        size_t lacking = PIECE - gathered(sink);

        code = write_out(sink, gathered(sink), mail_span_first(*bytes, lacking));
        *bytes = mail_span_from(*bytes, lacking);
    }
    return code;
}

static bool must_spill(const queue_sink *sink, size_t more)
{
    const mail_queue *queue = sink->intake->queue;
    size_t length = gathered(sink) + more;

    if (is_large(sink) || queue->large_dir < 0) {
        return false;
    }
    return length > queue->opts.large_bytes ||
           (length > QUEUE_SPILL_MIN && atomic_load(&queue->filling_bytes) > QUEUE_FILLING_MAX);
}

static size_t sink_room(mail_sink *base)
{
    queue_sink *sink = (queue_sink *)base;
    mail_intake *intake = sink->intake;
    mail_queue *queue = intake->queue;

    if (atomic_load(&queue->waiting_bytes) <= QUEUE_WAITING_MAX) {
        return ROOM;
    }
    pthread_mutex_lock(&queue->lock);
    intake->wants_room = true;
    pthread_mutex_unlock(&queue->lock);
    if (atomic_load(&queue->waiting_bytes) <= QUEUE_WAITING_MAX) {
        return ROOM; /* it has just become less: nobody might tell of it any more */
    }
    list_remove(&sink->in_list);
    list_push_back(&intake->blocked, &sink->in_list);
    return 0;
}

static int sink_write(mail_sink *base, mail_span bytes)
{
    queue_sink *sink = (queue_sink *)base;
    int code;

    if (bytes.length == 0) {
        return MAIL_OK;
    }
    if (must_spill(sink, bytes.length)) {
        code = spill(sink);
        if (code != MAIL_OK) {
            return code;
        }
    }
    sink->body_crc = crc32c(sink->body_crc, bytes.data, bytes.length);
    queue_content_scan(&sink->content, bytes);
    code = is_large(sink) ? write_pieces(sink, &bytes) : MAIL_OK;
    if (code == MAIL_OK) {
        code = reserve(sink, sink->length + bytes.length);
    }
    if (code != MAIL_OK) {
        return code;
    }
    memcpy(sink->record.data + sink->length, bytes.data, bytes.length);
    sink->length += bytes.length;
    return MAIL_OK;
}

/* The promise was a guess of the sender's: what was set aside beyond the body goes back. */
static int finish_large(queue_sink *sink)
{
    const mail_files *files = sink->intake->queue->opts.files;
    int code = write_out(sink, gathered(sink), mail_span_of(NULL, 0));

    if (code == MAIL_OK && sink->promised > sink->written) {
        code = files->ops->truncate(files, sink->record.large_fd, sink->written);
        code = code < 0 ? mail_error_from_errno(-code) : MAIL_OK;
    }
    return code;
}

/* Fills in what only the end of the message tells. */
static void complete_head(queue_sink *sink)
{
    queue_head *head = &sink->head;
    queue_header *header = &sink->record.header;

    queue_content_end(&sink->content);
    head->size = sink->content.size;
    head->flags |= sink->content.has_8bit ? QUEUE_HEAD_8BIT : 0;
    head->flags |= sink->content.has_nul ? QUEUE_HEAD_NUL : 0;
    head->flags |= sink->content.has_utf8_header ? QUEUE_HEAD_UTF8_HEADER : 0;
    if (is_large(sink)) {
        head->flags |= QUEUE_HEAD_LARGE;
        head->body_crc = sink->body_crc;
    }
    queue_head_patch(head, sink->record.data + QUEUE_RECORD_SIZE);
    header->body_length = gathered(sink);
    header->body_crc = is_large(sink) ? 0 : sink->body_crc;
    memset(sink->record.data + sink->length, 0, QUEUE_RECORD_ALIGN); /* the padding */
}

/* No other message is on its way in here: none would share the sync. */
static int submit_alone(queue_sink *sink)
{
    queue_store *store = sink->intake->queue->store;
    int code = store->ops->submit_alone(store, &sink->record);

    if (code == MAIL_OK) {
        sink->intake->owed--;
        sink->message = NULL; /* the index has it */
        queue_sink_release(sink);
    }
    return code;
}

static int submit(queue_sink *sink)
{
    mail_intake *intake = sink->intake;
    mail_queue *queue = intake->queue;

    intake->owed++;
    if (queue->opts.hand_over) {
        queue_submit(queue->store, &sink->record);
        return MAIL_EAGAIN;
    }
    if (intake->begun == 1 && queue->store->ops->submit_alone != NULL) {
        return submit_alone(sink);
    }
    queue_intake_gather(intake, &sink->record);
    return MAIL_EAGAIN;
}

static int sink_finish(mail_sink *base, mail_finish_fn *fn, void *arg)
{
    queue_sink *sink = (queue_sink *)base;
    mail_queue *queue = sink->intake->queue;
    int code = is_large(sink) ? finish_large(sink) : MAIL_OK;

    if (code != MAIL_OK) {
        queue_sink_discard(sink);
        return code;
    }
    complete_head(sink);
    sink->message->size = sink->head.size;
    sink->message->flags = sink->head.flags;
    sink->record.weight = queue_message_weight(sink->message);
    sink->finished = fn;
    sink->finished_arg = arg;
    sink->is_submitted = true;
    list_remove(&sink->in_list);
    atomic_fetch_sub(&queue->promised_bytes, sink->promised);
    atomic_fetch_sub(&queue->filling_bytes, sink->record.capacity);
    atomic_fetch_add(&queue->waiting_bytes, queue_header_total(&sink->record.header));
    sink->promised = 0;
    return submit(sink);
}

static void sink_abort(mail_sink *base)
{
    queue_sink_discard((queue_sink *)base);
}

/* Octets of memory. */
static size_t held(const queue_sink *sink)
{
    return sizeof(*sink) + sink->record.capacity;
}

static queue_sink *take_idle(mail_intake *intake)
{
    list *link = list_pop_front(&intake->idle);
    queue_sink *sink;

    if (link != NULL) {
        sink = LIST_OWNER(link, queue_sink, in_list);
        intake->idle_bytes -= held(sink);
        return sink;
    }
    sink = mem_alloc(intake->queue->mem, sizeof(*sink));
    if (sink != NULL) {
        sink->intake = intake;
        list_init(&sink->in_list);
        list_init(&sink->record.link);
    }
    return sink;
}

/* The index entry, with a lane for each recipient: once the message is safe nothing may fail. */
static int make_message(queue_sink *sink, const mail_envelope *envelope, uint64_t id)
{
    mail_queue *queue = sink->intake->queue;
    size_t count = mail_envelope_count(envelope);
    int code = MAIL_OK;

    sink->message = queue_message_create(queue, id, (uint32_t)count);
    if (sink->message == NULL) {
        return MAIL_ENOMEM;
    }
    for (size_t i = 0; i < count && code == MAIL_OK; i++) {
        mail_recipient recipient = mail_envelope_recipient(envelope, i);

        code = queue_lane_use(queue, mail_address_domain(recipient.address),
                              &sink->message->recipients[i].lane);
    }
    sink->message->sender_hash = queue_sender_hash(mail_envelope_sender(envelope));
    sink->message->arrival = sink->head.arrival;
    sink->message->arrival_tick = sink->head.tick;
    sink->message->head_length = (uint32_t)sink->head_length;
    return code;
}

/* Room for head and body at once, if the length was announced and is not outlandish. */
static int make_block(queue_sink *sink, const mail_envelope *envelope)
{
    uint64_t body = sink->promised > 0 ? sink->promised : FIRST;
    int code;

    if (body > QUEUE_SPILL_MIN) {
        body = QUEUE_SPILL_MIN; /* an announcement alone gets nobody more memory than this */
    }
    code = reserve(sink, QUEUE_RECORD_SIZE + sink->head_length + (size_t)body);
    if (code == MAIL_OK) {
        queue_head_write(&sink->head, envelope, sink->record.data + QUEUE_RECORD_SIZE);
        sink->length = QUEUE_RECORD_SIZE + sink->head_length;
    }
    return code;
}

static void set_up(queue_sink *sink, uint64_t id, size_t head_length, uint64_t expected,
                   const mail_envelope *envelope)
{
    static const mail_sink_ops ops = {sink_room, sink_write, sink_finish, sink_abort};
    mail_queue *queue = sink->intake->queue;

    sink->sink = (mail_sink){.ops = &ops};
    sink->head = (queue_head){
        .flags = (uint8_t)((envelope->smtputf8 ? QUEUE_HEAD_SMTPUTF8 : 0) |
                           (envelope->requiretls ? QUEUE_HEAD_REQUIRETLS : 0)),
        .tick = queue_tick(queue, queue_now(queue)),
        .arrival = queue_wall(queue),
    };
    sink->record.header = (queue_header){
        .type = QUEUE_RECORD_MESSAGE,
        .head_length = (uint32_t)head_length,
        .id = id,
    };
    sink->record.sink = sink;
    sink->record.is_urgent = true;
    sink->record.is_alone = false;
    sink->record.large_fd = -1;
    sink->content = (queue_content){0};
    sink->head_length = head_length;
    sink->body_crc = 0;
    sink->written = 0;
    sink->promised = expected;
    sink->length = QUEUE_RECORD_SIZE + head_length;
    atomic_fetch_add(&queue->promised_bytes, expected);
    atomic_fetch_add(&queue->filling_bytes, sink->record.capacity);
}

int queue_sink_begin(mail_intake *intake, const mail_envelope *envelope, uint64_t expected,
                     queue_sink **out)
{
    mail_queue *queue = intake->queue;
    size_t head_length = queue_head_length(envelope);
    queue_sink *sink;
    uint64_t id;
    int code;

    /* A head that would fill a good part of a segment is no envelope. */
    if (head_length == 0 || head_length > queue->opts.segment_bytes / 4) {
        return MAIL_ELIMIT;
    }
    sink = take_idle(intake);
    if (sink == NULL) {
        return MAIL_ENOMEM;
    }
    intake->begun++;
    id = atomic_fetch_add(&queue->next_id, 1);
    set_up(sink, id, head_length, expected, envelope);
    code = make_message(sink, envelope, id);
    if (code == MAIL_OK) {
        code = make_block(sink, envelope);
    }
    if (code == MAIL_OK && must_spill(sink, (size_t)expected)) {
        code = spill(sink);
    }
    if (code != MAIL_OK) {
        queue_sink_discard(sink);
        return code;
    }
    *out = sink;
    return MAIL_OK;
}

void queue_sink_discard(queue_sink *sink)
{
    mail_queue *queue = sink->intake->queue;

    if (!sink->is_submitted) {
        atomic_fetch_sub(&queue->promised_bytes, sink->promised);
        atomic_fetch_sub(&queue->filling_bytes, sink->record.capacity);
    }
    if (is_large(sink)) {
        queue->opts.files->ops->close(queue->opts.files, sink->record.large_fd);
        queue_large_remove(queue->opts.files, queue->large_dir, sink->record.header.id);
        sink->record.large_fd = -1;
    }
    queue_sink_release(sink);
}

void queue_sink_release(queue_sink *sink)
{
    mail_intake *intake = sink->intake;
    mail_queue *queue = intake->queue;

    if (sink->message != NULL) {
        queue_message_destroy(queue, sink->message);
        sink->message = NULL;
    }
    if (is_large(sink)) {
        queue->opts.files->ops->close(queue->opts.files, sink->record.large_fd);
        sink->record.large_fd = -1;
    }
    sink->is_submitted = false;
    list_remove(&sink->in_list);
    assert(intake->begun > 0);
    intake->begun--;
    if (sink->record.capacity > KEEP_BLOCK) {
        free_block(sink);
    }
    if (intake->idle_bytes + held(sink) > KEEP_BYTES) {
        queue_sink_destroy(sink);
        return;
    }
    list_push_front(&intake->idle, &sink->in_list);
    intake->idle_bytes += held(sink);
}

void queue_sink_destroy(queue_sink *sink)
{
    mail_queue *queue = sink->intake->queue;

    free_block(sink);
    mem_free(queue->mem, sink, sizeof(*sink));
}
