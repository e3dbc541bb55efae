/* SPDX-License-Identifier: MIT */
#include "dns/name.h"

#include "base/ascii.h"

#define HEADER_OCTETS 12
#define LABEL_MAX     63
#define NAME_MAX_WIRE 255 /* RFC 1035, section 2.3.4: with length octets and the root */

/*
 * A walk over the labels of one name. A pointer must lead to before the run of
 * labels that it ends (`run`), so that every jump gets strictly nearer to the
 * start of the packet and no loop can exist.
 */
typedef struct labels {
    mail_span packet;
    size_t at;
    size_t run;    /* where the present run of labels began */
    size_t end;    /* behind the name in the place it was met; 0 until known */
    size_t octets; /* of the name so far, uncompressed */
} labels;

typedef enum step {
    STEP_LABEL,
    STEP_ROOT,
    STEP_BAD
} step;

static unsigned octet(const labels *walk, size_t at)
{
    return (unsigned char)walk->packet.data[at];
}

static bool follow_pointer(labels *walk)
{
    size_t target;

    if (walk->packet.length - walk->at < 2) {
        return false;
    }
    target = (octet(walk, walk->at) & 0x3fU) << 8 | octet(walk, walk->at + 1);
    if (target >= walk->run || target < HEADER_OCTETS) {
        return false;
    }
    if (walk->end == 0) {
        walk->end = walk->at + 2;
    }
    walk->at = target;
    walk->run = target;
    return true;
}

static step next_label(labels *walk, mail_span *label)
{
    size_t length;

    for (;;) {
        if (walk->at >= walk->packet.length) {
            return STEP_BAD;
        }
        length = octet(walk, walk->at);
        if ((length & 0xc0U) != 0xc0U) {
            break;
        }
        if (!follow_pointer(walk)) {
            return STEP_BAD;
        }
    }
    walk->octets += 1 + length;
    if (length > LABEL_MAX || walk->octets > NAME_MAX_WIRE ||
        length >= walk->packet.length - walk->at) {
        return STEP_BAD;
    }
    *label = mail_span_of(walk->packet.data + walk->at + 1, length);
    walk->at += 1 + length;
    if (length > 0) {
        return STEP_LABEL;
    }
    if (walk->end == 0) {
        walk->end = walk->at;
    }
    return STEP_ROOT;
}

bool dns_name_skip(mail_span packet, size_t at, size_t *end)
{
    labels walk = {.packet = packet, .at = at, .run = at};
    mail_span label;
    step got;

    do {
        got = next_label(&walk, &label);
    } while (got == STEP_LABEL);
    *end = walk.end;
    return got == STEP_ROOT;
}

/*
 * A hyphen at the edge of a label is refused as in every host name (RFC 1123, section
 * 2.1); an underscore is not, as it begins names such as _dmarc and occurs in others.
 */
static bool label_is_clean(mail_span label)
{
    if (label.length == 0 || label.length > LABEL_MAX || label.data[0] == '-' ||
        label.data[label.length - 1] == '-') {
        return false;
    }
    for (size_t i = 0; i < label.length; i++) {
        char c = label.data[i];

        if (!ascii_is_alpha(c) && !ascii_is_digit(c) && c != '-' && c != '_') {
            return false;
        }
    }
    return true;
}

static size_t put_label(char *out, size_t length, mail_span label)
{
    if (length > 0) {
        out[length++] = '.';
    }
    for (size_t i = 0; i < label.length; i++) {
        out[length++] = ascii_lower(label.data[i]);
    }
    return length;
}

bool dns_name_text(mail_span packet, size_t at, char out[MAIL_DOMAIN_SIZE])
{
    labels walk = {.packet = packet, .at = at, .run = at};
    size_t length = 0;
    mail_span label;
    step got;

    for (got = next_label(&walk, &label); got == STEP_LABEL; got = next_label(&walk, &label)) {
        if (!label_is_clean(label)) {
            break;
        }
        length = put_label(out, length, label);
    }
    if (got != STEP_ROOT) {
        out[0] = '\0';
        return false;
    }
    if (length == 0) {
        out[length++] = '.';
    }
    out[length] = '\0';
    return true;
}

/* A dot inside a label is no dot between two, and a NUL not the end of the name. */
static bool label_begins(mail_span label, const char *name)
{
    for (size_t i = 0; i < label.length; i++) {
        if (label.data[i] == '.' || label.data[i] == '\0' ||
            ascii_lower(label.data[i]) != name[i]) {
            return false;
        }
    }
    return name[label.length] == '.' || name[label.length] == '\0';
}

bool dns_name_is(mail_span packet, size_t at, const char *name)
{
    labels walk = {.packet = packet, .at = at, .run = at};
    mail_span label;
    step got;

    for (got = next_label(&walk, &label); got == STEP_LABEL; got = next_label(&walk, &label)) {
        if (!label_begins(label, name)) {
            return false;
        }
        name += label.length;
        name += *name == '.';
    }
    return got == STEP_ROOT && *name == '\0';
}

bool dns_name_is_clean(mail_span name)
{
    /* The length octet of the first label and the root come on top of the text. */
    if (name.length == 0 || name.length + 2 > NAME_MAX_WIRE) {
        return false;
    }
    for (size_t at = 0; at <= name.length; at++) {
        mail_span rest = mail_span_from(name, at);
        const char *dot = rest.length > 0 ? memchr(rest.data, '.', rest.length) : NULL;
        mail_span label =
            mail_span_first(rest, dot != NULL ? (size_t)(dot - rest.data) : rest.length);

        if (!label_is_clean(label)) {
            return false;
        }
        at += label.length;
    }
    return true;
}

bool dns_name_is_in(const char *name, const char *zone)
{
    size_t length = strlen(name);
    size_t zone_length = strlen(zone);

    if (strcmp(zone, ".") == 0 || strcmp(name, zone) == 0) {
        return true;
    }
    return length > zone_length && name[length - zone_length - 1] == '.' &&
           strcmp(name + length - zone_length, zone) == 0;
}
