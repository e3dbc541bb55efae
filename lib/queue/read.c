/* SPDX-License-Identifier: MIT */
#include "queue/queue.h"

#include "base/crc32c.h"
#include "base/mem.h"
#include "queue/large.h"

/* A record up to this long is read whole, with its body, in one go. */
#define WHOLE ((uint64_t)32 << 10)
/* What a longer body is read by. */
#define CHUNK ((size_t)64 << 10)

/* Reads `length` octets of a record and checks header and head, which lie therein. */
static int read_record(mail_queue *queue, queue_place place, char *data, size_t length,
                       queue_header *header)
{
    int code = queue->store->ops->read(queue->store, place, 0, data, length);

    if (code != MAIL_OK) {
        return code;
    }
    if (!queue_header_read(data, header) || header->head_length > length - QUEUE_RECORD_SIZE ||
        !queue_header_check(header, data)) {
        return MAIL_EDAMAGED;
    }
    return MAIL_OK;
}

/* Whether the record is the one that the index speaks of. */
static bool fits(const queue_message *message, const queue_loaded *loaded)
{
    const queue_header *header = &loaded->header;
    bool is_large = (loaded->head.flags & QUEUE_HEAD_LARGE) != 0;

    return header->type == QUEUE_RECORD_MESSAGE && header->id == queue_message_id(message) &&
           header->head_length == message->head_length && loaded->head.count == message->count &&
           loaded->head.size == message->size &&
           header->body_length == (is_large ? 0 : message->size);
}

static int check_body(const queue_message *message, queue_loaded *loaded)
{
    size_t start = QUEUE_RECORD_SIZE + message->head_length;

    loaded->body = mail_span_of(loaded->data + start, (size_t)message->size);
    return crc32c(0, loaded->body.data, loaded->body.length) == loaded->header.body_crc
               ? MAIL_OK
               : MAIL_EDAMAGED;
}

int queue_load(mail_queue *queue, const queue_message *message, queue_loaded *out)
{
    bool is_large = (message->flags & QUEUE_HEAD_LARGE) != 0;
    bool is_whole = !is_large && queue_message_weight(message) <= WHOLE;
    int code;

    *out = (queue_loaded){.length = QUEUE_RECORD_SIZE + message->head_length};
    out->length += is_whole ? (size_t)message->size : 0;
    out->data = mem_resize(queue->mem, NULL, 0, out->length);
    if (out->data == NULL) {
        return MAIL_ENOMEM;
    }
    code = read_record(queue, message->place, out->data, out->length, &out->header);
    if (code == MAIL_OK &&
        (!queue_head_read(mail_span_of(out->data + QUEUE_RECORD_SIZE, message->head_length),
                          &out->head) ||
         !fits(message, out))) {
        code = MAIL_EDAMAGED;
    }
    if (code == MAIL_OK && is_whole) {
        code = check_body(message, out);
    }
    if (code != MAIL_OK) {
        queue_unload(queue, out);
    }
    return code;
}

void queue_unload(mail_queue *queue, queue_loaded *loaded)
{
    mem_free(queue->mem, loaded->data, loaded->length);
    loaded->data = NULL;
}

int queue_load_outcomes(mail_queue *queue, queue_place place, char **data_out, size_t *length_out)
{
    char fixed[QUEUE_RECORD_SIZE];
    queue_header header;
    size_t length;
    char *data;
    int code;

    code = queue->store->ops->read(queue->store, place, 0, fixed, sizeof(fixed));
    if (code != MAIL_OK) {
        return code;
    }
    if (!queue_header_read(fixed, &header) || header.type != QUEUE_RECORD_OUTCOME ||
        header.head_length > queue->opts.segment_bytes) {
        return MAIL_EDAMAGED;
    }
    length = QUEUE_RECORD_SIZE + header.head_length;
    data = mem_resize(queue->mem, NULL, 0, length);
    if (data == NULL) {
        return MAIL_ENOMEM;
    }
    code = read_record(queue, place, data, length, &header);
    if (code != MAIL_OK) {
        mem_free(queue->mem, data, length);
        return code;
    }
    *data_out = data;
    *length_out = length;
    return MAIL_OK;
}

/* A body that comes from the disk bit by bit. Its last bit is lent only once the whole is right. */
typedef struct body_source {
    mail_source source;
    mail_queue *queue;
    queue_place place; /* pinned; 0: a file of its own */
    int fd;
    uint64_t start; /* of the body in the record */
    uint64_t size;
    uint64_t read;
    uint32_t crc;
    uint32_t want_crc;
    int code;
    mail_span rest;
    size_t capacity;
    char data[];
} body_source;

static int read_chunk(body_source *self, size_t length)
{
    const mail_files *files = self->queue->opts.files;
    ssize_t n;

    if (self->place != 0) {
        return self->queue->store->ops->read(self->queue->store, self->place,
                                             self->start + self->read, self->data, length);
    }
    n = file_read_all(files, self->fd, self->data, length, self->read);
    if (n < 0) {
        return mail_error_from_errno((int)-n);
    }
    return (size_t)n == length ? MAIL_OK : MAIL_EDAMAGED;
}

static int next_chunk(body_source *self)
{
    uint64_t left = self->size - self->read;
    size_t length = left < self->capacity ? (size_t)left : self->capacity;
    int code = read_chunk(self, length);

    if (code != MAIL_OK) {
        return code;
    }
    self->read += length;
    self->crc = crc32c(self->crc, self->data, length);
    if (self->read == self->size && self->crc != self->want_crc) {
        return MAIL_EDAMAGED;
    }
    self->rest = mail_span_of(self->data, length);
    return MAIL_OK;
}

static int body_peek(mail_source *source, mail_span *out)
{
    body_source *self = (body_source *)source;

    if (self->code == MAIL_OK && self->rest.length == 0 && self->read < self->size) {
        self->code = next_chunk(self);
    }
    *out = self->rest;
    return self->code;
}

static void body_drop(mail_source *source, size_t n)
{
    body_source *self = (body_source *)source;

    self->rest = mail_span_from(self->rest, n);
}

static void body_close(mail_source *source)
{
    body_source *self = (body_source *)source;
    mail_queue *queue = self->queue;

    if (self->place != 0) {
        queue->store->ops->unpin(queue->store, self->place);
    }
    if (self->fd >= 0) {
        queue->opts.files->ops->close(queue->opts.files, self->fd);
    }
    mem_free(queue->mem, self, sizeof(*self) + self->capacity);
}

static body_source *create_source(mail_queue *queue, size_t capacity)
{
    static const mail_source_ops ops = {body_peek, body_drop, body_close};
    body_source *self = mem_resize(queue->mem, NULL, 0, sizeof(*self) + capacity);

    if (self != NULL) {
        *self = (body_source){.source = {.ops = &ops}, .queue = queue, .fd = -1};
        self->capacity = capacity;
    }
    return self;
}

/* A copy of what was read and checked already. */
static int open_whole(mail_queue *queue, mail_span body, mail_source **out)
{
    body_source *self = create_source(queue, body.length);

    if (self == NULL) {
        return MAIL_ENOMEM;
    }
    memcpy(self->data, body.data, body.length);
    self->rest = mail_span_of(self->data, body.length);
    *out = &self->source;
    return MAIL_OK;
}

int queue_body_open(mail_queue *queue, const queue_message *message, const queue_loaded *loaded,
                    mail_source **out)
{
    body_source *self;
    int code;

    if (loaded->body.data != NULL) {
        return open_whole(queue, loaded->body, out);
    }
    self = create_source(queue, CHUNK);
    if (self == NULL) {
        return MAIL_ENOMEM;
    }
    self->size = message->size;
    if (message->flags & QUEUE_HEAD_LARGE) {
        self->want_crc = loaded->head.body_crc;
        code = queue_large_open(queue->opts.files, queue->large_dir, queue_message_id(message),
                                message->size, &self->fd);
        if (code != MAIL_OK) {
            body_close(&self->source);
            return code;
        }
    } else {
        self->want_crc = loaded->header.body_crc;
        self->start = QUEUE_RECORD_SIZE + message->head_length;
        self->place = message->place;
        queue->store->ops->pin(queue->store, self->place);
    }
    *out = &self->source;
    return MAIL_OK;
}

void queue_give_up(mail_queue *queue, queue_message *message)
{
    queue_record *note = queue_note_begin(queue, message, message->count);

    if (note == NULL) {
        return; /* it will be met again */
    }
    queue->store->ops->set_aside(queue->store, message->place, queue_message_weight(message));
    queue->stats.damaged++;
    for (uint32_t i = 0; i < message->count; i++) {
        queue_recipient *recipient = &message->recipients[i];

        if (recipient->flags & QUEUE_LEASED) {
            recipient->flags |= QUEUE_REMOVING;
        } else if (recipient->lane != NULL) {
            queue_set_held(queue, recipient, false);
            queue_index_close(queue, recipient);
            queue_note_add(queue, note, recipient, mail_span_of(NULL, 0));
        }
    }
    queue_note_commit(queue, note, message);
}
