/* SPDX-License-Identifier: MIT */
/* Stories for the simulated world, which anybody may write. */
#include "world/story.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

/* What a player relies on. */
static void check_event(const story *st, const story_event *event)
{
    require(event->at >= 0 && event->at < st->length);
    require(event->host < st->host_count || event->deed == STORY_SERVFAIL);
    require(event->span >= -STORY_JUMP_MAX && event->span <= STORY_JUMP_MAX);
    if (event->deed == STORY_SENDS) {
        require(event->rcpt_count > 0 && event->rcpt_count <= STORY_MESSAGE_RCPTS_MAX);
        require(event->first_rcpt + event->rcpt_count <= st->rcpt_count);
        require(memchr(event->subject, '\0', sizeof(event->subject)) != NULL);
    }
    if (event->deed == STORY_SENDS || event->deed == STORY_READS) {
        require(event->mailbox < st->mailbox_count);
        require(event->host == st->mailboxes[event->mailbox].host);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static story st;
    mail_error err = {0};
    int code = story_read(&st, mail_span_of(data, size), "story", &err);

    if (code != MAIL_OK) {
        require((code == MAIL_EINVAL || code == MAIL_ELIMIT) && err.text[0] != '\0');
        return 0;
    }
    require(st.length > 0 && st.length <= STORY_LENGTH_MAX);
    for (size_t i = 0; i < st.event_count; i++) {
        check_event(&st, &st.events[i]);
        require(i == 0 || st.events[i - 1].at <= st.events[i].at);
    }
    for (size_t i = 0; i < st.mailbox_count; i++) {
        require(st.mailboxes[i].host < st.host_count);
    }
    for (size_t i = 0; i < st.mx_count; i++) {
        require(st.mxs[i].host < st.host_count);
    }
    return 0;
}
