/* SPDX-License-Identifier: MIT */
#include "msg/recipients.h"

#include "base/mem.h"
#include "base/random.h"

#define FIRST_SIZE 32

/* The slot of `address`, or the free one where it belongs. */
static uint32_t *find(const recipients *rc, mail_span address)
{
    size_t at = (size_t)hash_bytes(&rc->seed, address) & (rc->size - 1);

    while (rc->slots[at] != 0) {
        mail_recipient rcpt = mail_envelope_recipient(rc->envelope, rc->slots[at] - 1);

        if (mail_span_equal(rcpt.address, address)) {
            break;
        }
        at = (at + 1) & (rc->size - 1);
    }
    return &rc->slots[at];
}

/* Enters what the envelope holds into a table at most half full. */
static int rebuild(recipients *rc)
{
    size_t count = mail_envelope_count(rc->envelope);
    size_t size = FIRST_SIZE;
    uint32_t *slots;

    while (size / 2 <= count) {
        size *= 2;
    }
    slots = mem_alloc(rc->envelope->mem, size * sizeof(*slots));
    if (slots == NULL) {
        return MAIL_ENOMEM;
    }
    recipients_deinit(rc);
    rc->slots = slots;
    rc->size = size;
    for (size_t i = 0; i < count; i++) {
        *find(rc, mail_envelope_recipient(rc->envelope, i).address) = (uint32_t)i + 1;
    }
    return MAIL_OK;
}

int recipients_init(recipients *rc, mail_envelope *envelope)
{
    *rc = (recipients){.envelope = envelope};
    random_fill(NULL, &rc->seed, sizeof(rc->seed));
    return rebuild(rc);
}

void recipients_deinit(recipients *rc)
{
    if (rc->envelope != NULL) {
        mem_free(rc->envelope->mem, rc->slots, rc->size * sizeof(*rc->slots));
        rc->slots = NULL;
        rc->size = 0;
    }
}

int recipients_add(recipients *rc, mail_span address, bool *added)
{
    mail_recipient rcpt = {.address = address, .notify = rc->notify};
    uint32_t *slot = find(rc, address);
    int code;

    *added = *slot == 0;
    if (!*added) {
        return MAIL_OK;
    }
    code = mail_envelope_add(rc->envelope, &rcpt);
    if (code != MAIL_OK) {
        return code;
    }
    *slot = (uint32_t)mail_envelope_count(rc->envelope);
    return mail_envelope_count(rc->envelope) * 2 < rc->size ? MAIL_OK : rebuild(rc);
}
