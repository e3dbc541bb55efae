/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <mail/store.h>

static int append(mail_store *store, const char *path, const char *text)
{
    mail_sink *sink;
    int code = mail_store_append(store, path, &sink, NULL);

    if (code != MAIL_OK) {
        return code;
    }
    code = mail_sink_write(sink, mail_span_text(text));
    if (code != MAIL_OK) {
        mail_sink_abort(sink);
        return code;
    }
    return mail_sink_finish(sink, NULL, NULL);
}

static void assert_reads(mail_source *source, const char *want)
{
    mail_span bytes;

    assert_int_equal(mail_source_peek(source, &bytes), MAIL_OK);
    assert_span_equal(bytes, want);
    mail_source_drop(source, bytes.length);
    assert_int_equal(mail_source_peek(source, &bytes), MAIL_OK);
    assert_int_equal(bytes.length, 0);
    mail_source_close(source);
}

static void shows_a_frozen_list(void **state)
{
    mail_store *store;
    mail_mailbox *box;
    mail_mailbox *again;
    mail_source *source;
    mail_error err;

    (void)state;
    assert_int_equal(mail_memory_store_create(&store, NULL), MAIL_OK);
    assert_int_equal(append(store, "alice", "one\r\n"), MAIL_OK);
    assert_int_equal(append(store, "alice", "two"), MAIL_OK);
    assert_int_equal(append(store, "bob", "his\r\n"), MAIL_OK);
    assert_int_equal(mail_mailbox_open(&box, store, "alice", NULL), MAIL_OK);
    assert_int_equal(mail_mailbox_open(&again, store, "alice", &err), MAIL_EBUSY);
    assert_string_equal(err.text, "alice: in use");
    assert_int_equal(append(store, "alice", "three\r\n"), MAIL_OK);
    assert_int_equal(box->count, 2);
    assert_int_equal(box->messages[0].size, 5);
    assert_string_not_equal(box->messages[0].id, box->messages[1].id);
    assert_int_equal(mail_mailbox_read(box, 0, &source), MAIL_OK);
    assert_int_equal(mail_mailbox_remove(box, (const uint8_t[]){1}), MAIL_OK);
    assert_int_equal(mail_mailbox_remove(box, (const uint8_t[]){1}), MAIL_OK);
    mail_mailbox_close(box);
    assert_reads(source, "one\r\n"); /* lives as long as somebody reads it */
    assert_int_equal(mail_mailbox_open(&box, store, "alice", NULL), MAIL_OK);
    assert_int_equal(box->count, 2);
    assert_int_equal(mail_mailbox_read(box, 0, &source), MAIL_OK);
    assert_reads(source, "two\r\n");
    mail_mailbox_close(box);
    mail_store_destroy(store);
}

static void fails_cleanly_without_memory(void **state)
{
    (void)state;
    MAIL_TEST_WALK(walk)
    {
        mail_store *store = NULL;
        mail_mailbox *box = NULL;
        mail_source *source = NULL;
        int code = mail_memory_store_create(&store, &walk.mem);

        if (code == MAIL_OK) {
            code = append(store, "alice", "one");
        }
        if (code == MAIL_OK) {
            code = mail_mailbox_open(&box, store, "alice", NULL);
        }
        if (code == MAIL_OK) {
            assert_int_equal(box->count, 1);
            code = mail_mailbox_read(box, 0, &source);
        }
        assert_int_equal(code, walk.failed ? MAIL_ENOMEM : MAIL_OK);
        if (source != NULL) {
            mail_source_close(source);
        }
        mail_mailbox_close(box);
        mail_store_destroy(store);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_a_frozen_list),
        cmocka_unit_test(fails_cleanly_without_memory),
    };

    return mail_test_run(tests);
}
