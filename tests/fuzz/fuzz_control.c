/* SPDX-License-Identifier: MIT */
/*
 * Reads the input as a request to a spool's owner, and writes what was understood: it must
 * read as the same again. Then as the lines of a message in a list.
 */
#include <stdlib.h>

#include "mta/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static bool is_same(const control_request *a, const control_request *b)
{
    bool same = a->verb == b->verb && a->which.all == b->which.all &&
                a->which.id_count == b->which.id_count &&
                mail_span_equal(a->which.domain, b->which.domain) &&
                mail_span_equal(a->which.sender, b->which.sender);

    for (size_t i = 0; same && i < a->which.id_count; i++) {
        same = strcmp(a->which.ids[i], b->which.ids[i]) == 0;
    }
    return same;
}

static void check_request(mail_span line)
{
    control_request first;
    control_request second;
    mail_span again;
    buffer text;

    if (control_request_parse(line, &first, NULL) != MAIL_OK) {
        return;
    }
    buffer_init(&text, NULL, 1 << 20);
    require(control_request_print(first.verb, &first.which, &text) == MAIL_OK);
    again = buffer_bytes(&text);
    again.length--;
    require(control_request_parse(again, &second, NULL) == MAIL_OK);
    require(is_same(&first, &second));
    buffer_deinit(&text);
}

static bool print_again(const mail_queue_item *item, void *arg)
{
    require(control_item_print(item, arg) == MAIL_OK);
    return true;
}

static void check_item(mail_span lines)
{
    bool go_on = false;
    buffer first;
    buffer second;

    buffer_init(&first, NULL, 64 << 20);
    buffer_init(&second, NULL, 64 << 20);
    if (control_item_parse(lines, NULL, print_again, &first, &go_on) == MAIL_OK) {
        require(control_item_parse(buffer_bytes(&first), NULL, print_again, &second, &go_on) ==
                MAIL_OK);
        require(go_on && mail_span_equal(buffer_bytes(&first), buffer_bytes(&second)));
    }
    buffer_deinit(&first);
    buffer_deinit(&second);
}

static void check_outcome(mail_span rest)
{
    mail_delivery first;
    mail_delivery second;
    mail_span line;
    buffer text;

    if (!control_outcome_parse(rest, &first)) {
        return;
    }
    buffer_init(&text, NULL, 64 << 20);
    require(control_outcome_print(&first, &text) == MAIL_OK);
    line = buffer_bytes(&text);
    require(memcmp(line.data, "outcome ", 8) == 0);
    line = mail_span_from(
        mail_span_first(line,
                        (size_t)((const char *)memchr(line.data, '\n', line.length) - line.data)),
        8);
    require(control_outcome_parse(line, &second) && second.kind == first.kind &&
            second.recipient.length == first.recipient.length);
    buffer_deinit(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mail_queue_stats stats = {0};

    check_request(mail_span_of(data, size));
    check_item(mail_span_of(data, size));
    check_outcome(mail_span_of(data, size));
    control_stats_parse(mail_span_of(data, size), &stats);
    return 0;
}
