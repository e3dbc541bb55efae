/* SPDX-License-Identifier: MIT */
/*
 * Octets are counted from the first of the session, so that a reply can be held
 * against its command: one that comes before the whole of its command was sent
 * answers something else, or is forged.
 */
#include "smtp/client.h"

#include <assert.h>

#include "base/mem.h"

/* What an idle session keeps: the replies and the octets of an ordinary message. */
#define RING_KEEP 64
#define OUT_KEEP  (16 * 1024)

void smtp_wire_init(smtp_wire *wire, const mail_mem *mem, size_t limit)
{
    *wire = (smtp_wire){.mem = mem, .sent_at = SMTP_WIRE_UNTIMED};
    buffer_init(&wire->out, mem, limit);
}

void smtp_wire_deinit(smtp_wire *wire)
{
    buffer_deinit(&wire->out);
    mem_free(wire->mem, wire->ring, wire->capacity * sizeof(*wire->ring));
}

int smtp_wire_reserve(smtp_wire *wire, size_t count)
{
    size_t capacity = 16;
    smtp_expected *ring;

    assert(wire->count == 0);
    while (capacity < count) {
        capacity *= 2;
    }
    if (capacity == wire->capacity || (capacity < wire->capacity && wire->capacity <= RING_KEEP)) {
        return MAIL_OK;
    }
    ring = mem_alloc(wire->mem, capacity * sizeof(*ring));
    if (ring == NULL) {
        return MAIL_ENOMEM;
    }
    mem_free(wire->mem, wire->ring, wire->capacity * sizeof(*ring));
    wire->ring = ring;
    wire->capacity = capacity;
    wire->first = 0;
    return MAIL_OK;
}

bool smtp_wire_takes(const smtp_wire *wire, size_t length)
{
    return wire->count < wire->capacity && buffer_room(&wire->out) >= length;
}

char *smtp_wire_space(smtp_wire *wire, size_t length)
{
    return buffer_space(&wire->out, length);
}

void smtp_wire_commit(smtp_wire *wire, size_t length)
{
    assert(wire->open == 0);
    if (buffer_length(&wire->out) == 0) {
        wire->sent_at = SMTP_WIRE_UNTIMED;
    }
    buffer_added(&wire->out, length);
    wire->queued += length;
}

void smtp_wire_expect(smtp_wire *wire, smtp_command command, uint32_t index)
{
    size_t place = (wire->first + wire->count) & (wire->capacity - 1);

    assert(wire->count < wire->capacity);
    wire->ring[place] = (smtp_expected){wire->queued, index, (uint8_t)command};
    wire->count++;
}

const smtp_expected *smtp_wire_head(const smtp_wire *wire)
{
    return wire->count > 0 ? &wire->ring[wire->first] : NULL;
}

void smtp_wire_pop(smtp_wire *wire, mail_time now)
{
    wire->first = (wire->first + 1) & (wire->capacity - 1);
    wire->count--;
    wire->waits_since = now;
}

bool smtp_wire_has_sent(const smtp_wire *wire, uint64_t offset)
{
    return wire->sent >= offset;
}

mail_span smtp_wire_out(const smtp_wire *wire)
{
    mail_span out = buffer_bytes(&wire->out);

    return mail_span_first(out, out.length - wire->open);
}

void smtp_wire_sent(smtp_wire *wire, mail_time now, size_t n)
{
    const smtp_expected *head = smtp_wire_head(wire);

    assert(n <= buffer_length(&wire->out) - wire->open);
    if (n == 0) {
        return;
    }
    if (head != NULL && wire->sent < head->end && wire->sent + n >= head->end) {
        wire->waits_since = now;
    }
    buffer_consume(&wire->out, n);
    wire->sent += n;
    wire->sent_at = now;
}

void smtp_wire_time(smtp_wire *wire, mail_time now)
{
    if (wire->sent_at == SMTP_WIRE_UNTIMED) {
        wire->sent_at = now;
    }
}

void smtp_wire_clear(smtp_wire *wire)
{
    buffer_clear(&wire->out, 0);
    wire->open = 0;
    wire->count = 0;
}

void smtp_wire_wipe(smtp_wire *wire)
{
    buffer *out = &wire->out;

    if (out->data != NULL) {
        explicit_bzero(out->data, out->start);
        explicit_bzero(out->data + out->end, out->capacity - out->end);
    }
}

void smtp_wire_rest(smtp_wire *wire)
{
    if (buffer_length(&wire->out) == 0) {
        buffer_clear(&wire->out, OUT_KEEP);
    }
}

/* What an octet of the chunk costs besides: the header, for the first one. */
static size_t chunk_header(const smtp_wire *wire)
{
    return wire->open > 0 ? 0 : SMTP_WIRE_CHUNK_HEADER;
}

bool smtp_wire_takes_chunk(const smtp_wire *wire, size_t length)
{
    return buffer_room(&wire->out) >= chunk_header(wire) + length;
}

size_t smtp_wire_chunk_room(const smtp_wire *wire)
{
    return smtp_wire_takes_chunk(wire, 0) ? buffer_room(&wire->out) - chunk_header(wire) : 0;
}

char *smtp_wire_chunk_space(smtp_wire *wire, size_t length)
{
    size_t header = chunk_header(wire);
    char *to = buffer_space(&wire->out, header + length);

    if (to == NULL) {
        return NULL;
    }
    buffer_added(&wire->out, header);
    wire->open += header;
    return to + header;
}

void smtp_wire_chunk_added(smtp_wire *wire, size_t length)
{
    assert(wire->open > 0);
    buffer_added(&wire->out, length);
    wire->open += length;
}

/*
 * The header is shorter than what was kept free for it: what stands before the chunk,
 * a few commands, moves up against it.
 */
void smtp_wire_chunk_close(smtp_wire *wire, mail_span header)
{
    size_t before = buffer_length(&wire->out) - wire->open;
    size_t gap = SMTP_WIRE_CHUNK_HEADER - header.length;
    char *start = wire->out.data + wire->out.start;

    assert(wire->open >= SMTP_WIRE_CHUNK_HEADER && header.length <= SMTP_WIRE_CHUNK_HEADER);
    memmove(start + gap, start, before);
    memcpy(start + gap + before, header.data, header.length);
    buffer_consume(&wire->out, gap);
    if (before == 0) {
        wire->sent_at = SMTP_WIRE_UNTIMED;
    }
    wire->queued += wire->open - gap;
    wire->open = 0;
}

void smtp_wire_chunk_drop(smtp_wire *wire)
{
    wire->out.end -= wire->open;
    wire->open = 0;
}
