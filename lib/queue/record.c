/* SPDX-License-Identifier: MIT */
#include "queue/record.h"

#include "base/crc32c.h"
#include "queue/wire.h"

/* "MQr1", and where the fields lie. */
#define MAGIC 0x3172514dU

enum {
    AT_MAGIC = 0,
    AT_TYPE = 4,
    AT_UNSAFE = 5,
    AT_HEAD_LENGTH = 8,
    AT_HEAD_CRC = 12,
    AT_BODY_LENGTH = 16,
    AT_SEQUENCE = 24,
    AT_GENERATION = 32,
    AT_ID = 40,
    AT_TICK = 48,
    AT_BODY_CRC = 52,
    AT_WALL = 56
};

/* Of the fixed header and the head, without the field that holds it. */
static uint32_t head_crc(const char *record, size_t head_length)
{
    uint32_t crc = crc32c(0, record, AT_HEAD_CRC);

    return crc32c(crc, record + AT_BODY_LENGTH, QUEUE_RECORD_SIZE - AT_BODY_LENGTH + head_length);
}

void queue_header_write(const queue_header *header, char *record)
{
    wire_put(record + AT_MAGIC, MAGIC, 4);
    wire_put(record + AT_TYPE, header->type, 1);
    wire_put(record + AT_UNSAFE, header->unsafe, 3);
    wire_put(record + AT_HEAD_LENGTH, header->head_length, 4);
    wire_put(record + AT_BODY_LENGTH, header->body_length, 8);
    wire_put(record + AT_SEQUENCE, header->sequence, 8);
    wire_put(record + AT_GENERATION, header->generation, 8);
    wire_put(record + AT_ID, header->id, 8);
    wire_put(record + AT_TICK, header->tick, 4);
    wire_put(record + AT_BODY_CRC, header->body_crc, 4);
    wire_put(record + AT_WALL, (uint64_t)header->wall, 8);
    wire_put(record + AT_HEAD_CRC, head_crc(record, header->head_length), 4);
}

bool queue_header_read(const char *record, queue_header *header)
{
    uint64_t type = wire_get(record + AT_TYPE, 1);

    if (wire_get(record + AT_MAGIC, 4) != MAGIC || type < QUEUE_RECORD_START ||
        type > QUEUE_RECORD_END) {
        return false;
    }
    *header = (queue_header){
        .type = (queue_record_type)type,
        .unsafe = (uint32_t)wire_get(record + AT_UNSAFE, 3),
        .head_length = (uint32_t)wire_get(record + AT_HEAD_LENGTH, 4),
        .body_length = wire_get(record + AT_BODY_LENGTH, 8),
        .sequence = wire_get(record + AT_SEQUENCE, 8),
        .generation = wire_get(record + AT_GENERATION, 8),
        .id = wire_get(record + AT_ID, 8),
        .tick = (uint32_t)wire_get(record + AT_TICK, 4),
        .body_crc = (uint32_t)wire_get(record + AT_BODY_CRC, 4),
        .wall = (mail_wall)wire_get(record + AT_WALL, 8),
    };
    return header->body_length <= QUEUE_RECORD_MAX;
}

bool queue_header_check(const queue_header *header, const char *record)
{
    return wire_get(record + AT_HEAD_CRC, 4) == head_crc(record, header->head_length);
}

/* Crockford's digits: no letter that is read as another, none that makes words. */
static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

void queue_id_print(uint64_t id, char *out)
{
    for (int i = QUEUE_ID_DIGITS - 1; i >= 0; i--) {
        out[i] = digits[id & 31];
        id >>= 5;
    }
    out[QUEUE_ID_DIGITS] = '\0';
}

bool queue_id_parse(mail_span text, uint64_t *id)
{
    uint64_t value = 0;

    if (text.length != QUEUE_ID_DIGITS || text.data[0] > 'F') { /* 64 bits end in the first digit */
        return false;
    }
    for (size_t i = 0; i < text.length; i++) {
        const char *digit = text.data[i] != '\0' ? strchr(digits, text.data[i]) : NULL;

        if (digit == NULL) {
            return false;
        }
        value = value << 5 | (uint64_t)(digit - digits);
    }
    *id = value;
    return true;
}
