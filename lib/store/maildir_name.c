/* SPDX-License-Identifier: MIT */
#include "store/maildir.h"

#include <gnutls/crypto.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/ascii.h"

static void parse_field(mail_span field, maildir_name *out)
{
    if (field.length < 2 || field.data[1] != '=') {
        return;
    }
    if (field.data[0] == 'S') {
        out->has_size = ascii_number(mail_span_from(field, 2), UINT64_MAX, &out->size);
    } else if (field.data[0] == 'W') {
        out->has_wire_size = ascii_number(mail_span_from(field, 2), UINT64_MAX, &out->wire_size);
    }
}

void maildir_name_parse(const char *text, maildir_name *out)
{
    size_t length = strcspn(text, ":");
    const char *end = text + length;

    *out = (maildir_name){.base = mail_span_of(text, length)};
    for (const char *at = text; at < end;) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma != NULL ? comma : end;

        parse_field(mail_span_of(at, (size_t)(stop - at)), out);
        at = stop + 1;
    }
}

/* With a clock of the owner's there are no microseconds: the counter keeps the order. */
mail_wall maildir_now(const maildir *md, unsigned *micro_out)
{
    struct timespec now = {0};

    if (md->wall != NULL) {
        now.tv_sec = (time_t)md->wall(md->wall_arg);
    } else {
        clock_gettime(CLOCK_REALTIME, &now);
    }
    if (micro_out != NULL) {
        *micro_out = (unsigned)(now.tv_nsec / 1000);
    }
    return now.tv_sec;
}

/*
 * Time gives the order; process, counter and chance keep names apart where the clock
 * jumps back and the number of a process comes again.
 */
void maildir_name_make(maildir *md, char out[MAILDIR_NAME_SIZE])
{
    unsigned count = atomic_fetch_add_explicit(&md->deliveries, 1, memory_order_relaxed);
    unsigned micro;
    mail_wall now = maildir_now(md, &micro);

    snprintf(out, MAILDIR_NAME_SIZE, "%" PRId64 ".M%06uP%ldQ%06uR%08" PRIx32 ".%s", now, micro,
             md->process, count % 1000000, (uint32_t)random_u64(md->random), md->hostname);
}

/* RFC 1939, section 7: 1 to 70 octets 0x21 to 0x7E. */
static bool is_id(mail_span base)
{
    for (size_t i = 0; i < base.length; i++) {
        if (base.data[i] < 0x21 || base.data[i] > 0x7e) {
            return false;
        }
    }
    return base.length > 0 && base.length <= MAIL_MESSAGE_ID_MAX;
}

void maildir_name_id(mail_span base, char out[MAIL_MESSAGE_ID_MAX + 1])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[32];

    if (is_id(base)) {
        memcpy(out, base.data, base.length);
        out[base.length] = '\0';
        return;
    }
    gnutls_hash_fast(GNUTLS_DIG_SHA256, base.data, base.length, digest);
    for (size_t i = 0; i < sizeof(digest); i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[2 * sizeof(digest)] = '\0';
}

uint64_t maildir_name_time(mail_span base)
{
    uint64_t value = 0;
    size_t length = 0;

    while (length < base.length && ascii_is_digit(base.data[length])) {
        length++;
    }
    return ascii_number(mail_span_first(base, length), UINT64_MAX, &value) ? value : 0;
}
