/* SPDX-License-Identifier: MIT */
#include "mta/post.h"

#include "mta/deliver.h"
#include "mta/local.h"

/*
 * Messages that end together share what it costs to make them safe, and those under way come
 * again after a crash: while workers are at it no more are begun, however often the agent looks.
 */
static void begins_no_more_while_mailboxes_are_busy(void **state)
{
    size_t begun;
    post p;

    (void)state;
    post_open(&p, WORLD_POLL);
    for (int i = 0; i < 60; i++) {
        SEND(&p, "", "you@there.example");
    }
    post_start(&p, ROUTES("*=local"), NULL);
    world_until(&p.k.w, local_count(p.deliver->local) > 0);
    begun = local_count(p.deliver->local);
    for (int i = 0; i < 5; i++) {
        local_go_on(p.deliver->local);
    }
    assert_int_equal(local_count(p.deliver->local), begun);
    world_until(&p.k.w, local_count(p.deliver->local) == 0);
    post_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(begins_no_more_while_mailboxes_are_busy),
    };

    return mail_test_run(tests);
}
