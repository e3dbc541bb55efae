/* SPDX-License-Identifier: MIT */
/* A user's message on its way into a sink that has little room, or fails. */
#include "mta/kit.h"

#include "mta/submit.h"
#include "net/party.h"

#define USERS "anna@example.org:{PLAIN}pencil\n"

#define MESSAGE                                                                                    \
    "From: anna@example.org\r\nDate: Mon, 13 Nov 2023 10:00:00 +0100\r\n"                          \
    "Message-ID: <1@client.example>\r\nTo: eve@example.net\r\n\r\nbody\r\nof two lines\r\n"

/* The front whose users they are, the sink behind, and what the writer hears. */
typedef struct desk {
    kit k;
    mail_accounts *accounts;
    submit *sb;
    bin box;
    char bytes[2000];
    unsigned woken;
    unsigned finished;
    int code;
} desk;

static void on_woken(void *arg)
{
    ((desk *)arg)->woken++;
}

static void on_finished(int code, void *arg)
{
    desk *d = arg;

    d->finished++;
    d->code = code;
}

static void desk_open(desk *d)
{
    mail_receive_options opts = MAIL_RECEIVE_OPTIONS_INIT;

    memset(d, 0, sizeof(*d));
    assert_int_equal(mail_accounts_parse(&d->accounts, MAIL_SPAN(USERS), "users", NULL, NULL),
                     MAIL_OK);
    opts.accounts = d->accounts;
    kit_open(&d->k, WORLD_POLL);
    kit_receive(&d->k, &opts);
    d->box.bytes = d->bytes;
    d->box.keep = sizeof(d->bytes);
    d->sb = submit_create(d->k.receive);
    assert_non_null(d->sb);
}

static void desk_begin(desk *d, bool completes)
{
    bin_reset(&d->box);
    submit_begin(d->sb, &d->box.sink, MAIL_SPAN("anna@example.org"), MAIL_SPAN("anna@example.org"),
                 completes);
    d->sb->sink.on_room = on_woken;
    d->sb->sink.on_room_arg = d;
    d->finished = 0;
}

static void desk_close(desk *d)
{
    submit_destroy(d->sb);
    kit_close(&d->k);
    mail_accounts_unref(d->accounts);
}

/* Writes `text` in pieces; where there is no room the box is emptied. */
static int write_all(desk *d, mail_span text, size_t piece)
{
    mail_sink *sink = &d->sb->sink;
    int code = MAIL_OK;

    while (code == MAIL_OK && text.length > 0) {
        size_t room = mail_sink_room(sink);
        size_t n = text.length < piece ? text.length : piece;

        if (room == 0) {
            unsigned before = d->woken;

            assert_true(d->box.is_full);
            bin_empty(&d->box);
            assert_true(d->woken > before || d->box.is_full);
            continue;
        }
        n = n < room ? n : room;
        code = mail_sink_write(sink, mail_span_first(text, n));
        text = mail_span_from(text, n);
    }
    return code;
}

static void goes_through_whatever_room_there_is(void **state)
{
    static const struct {
        const char *name;
        size_t piece, room, full_every;
    } cases[] = {
        {"at once", 10000, 0, 0},
        {"octet by octet", 1, 0, 0},
        {"into little room", 10000, 7, 0},
        {"in small pieces into little room", 3, 2, 0},
        {"into a sink that is full now and then", 10000, 7, 50},
        {"into one that mostly is", 5, 1, 2},
    };

    (void)state;
    for (size_t i = 0; i < 2 * MAIL_COUNT(cases); i++) {
        size_t n = i % MAIL_COUNT(cases);
        desk d;
        int code;

        mail_test_case(cases[n].name);
        desk_open(&d);
        d.box.room = cases[n].room;
        d.box.full_every = cases[n].full_every;
        desk_begin(&d, i < MAIL_COUNT(cases));
        assert_int_equal(write_all(&d, MAIL_SPAN(MESSAGE), cases[n].piece), MAIL_OK);
        code = mail_sink_finish(&d.sb->sink, on_finished, &d);
        while (code == MAIL_EAGAIN && d.finished == 0) {
            bin_empty(&d.box);
        }
        assert_int_equal(code == MAIL_EAGAIN ? d.code : code, MAIL_OK);
        assert_int_equal(d.box.finished, 1);
        assert_span_equal(mail_span_of(d.bytes, d.box.length), MESSAGE);
        desk_close(&d);
    }
}

/* The end comes while the header still waits for room. */
static void ends_when_all_is_poured(void **state)
{
    desk d;

    (void)state;
    desk_open(&d);
    d.box.full_every = 20;
    d.box.room = 20;
    desk_begin(&d, true);
    assert_int_equal(mail_sink_write(&d.sb->sink, MAIL_SPAN(MESSAGE)), MAIL_OK);
    assert_int_equal(mail_sink_room(&d.sb->sink), 0);
    assert_int_equal(mail_sink_finish(&d.sb->sink, on_finished, &d), MAIL_EAGAIN);
    assert_int_equal(d.box.finished, 0);
    while (d.finished == 0) {
        assert_true(d.box.is_full);
        bin_empty(&d.box);
    }
    assert_int_equal(d.code, MAIL_OK);
    assert_int_equal(d.box.finished, 1);
    assert_span_equal(mail_span_of(d.bytes, d.box.length), MESSAGE);
    desk_close(&d);
}

static void tells_of_what_goes_wrong_behind_it(void **state)
{
    desk d;

    (void)state;
    desk_open(&d);
    d.box.room = 20;
    d.box.full_every = 20;
    d.box.write_code = MAIL_ENOSPC;
    d.box.fail_after = 60;
    desk_begin(&d, true);
    assert_int_equal(mail_sink_write(&d.sb->sink, MAIL_SPAN(MESSAGE)), MAIL_OK);
    while (mail_sink_room(&d.sb->sink) == 0) {
        bin_empty(&d.box);
    }
    assert_int_equal(mail_sink_write(&d.sb->sink, MAIL_SPAN("x")), MAIL_ENOSPC);
    assert_null(submit_refusal(d.sb));
    mail_sink_abort(&d.sb->sink);
    assert_int_equal(d.box.aborted, 1);

    /* The same with nobody left to write. */
    desk_begin(&d, true);
    assert_int_equal(mail_sink_write(&d.sb->sink, MAIL_SPAN(MESSAGE)), MAIL_OK);
    assert_int_equal(mail_sink_finish(&d.sb->sink, on_finished, &d), MAIL_EAGAIN);
    while (d.finished == 0) {
        bin_empty(&d.box);
    }
    assert_int_equal(d.code, MAIL_ENOSPC);
    assert_int_equal(d.box.aborted, 1);
    desk_close(&d);
}

static void gives_up_when_its_writer_goes(void **state)
{
    desk d;

    (void)state;
    desk_open(&d);
    d.box.full_every = 20;
    d.box.room = 20;
    desk_begin(&d, true);
    assert_int_equal(mail_sink_write(&d.sb->sink, MAIL_SPAN(MESSAGE)), MAIL_OK);
    assert_int_equal(mail_sink_finish(&d.sb->sink, on_finished, &d), MAIL_EAGAIN);
    submit_destroy(d.sb);
    d.sb = NULL;
    assert_int_equal(d.finished, 1);
    assert_int_equal(d.code, MAIL_ECANCELED);
    assert_int_equal(d.box.aborted, 1);
    desk_close(&d);
}

static void says_what_is_wrong_with_a_header(void **state)
{
    static const struct {
        const char *name;
        const char *text;
        size_t length; /* 0: up to the NUL */
        bool completes;
        uint16_t code;
    } cases[] = {
        {"another's", "From: eve@example.net\r\n\r\n", 0, true, 550},
        {"not whole at the end", "From: eve@example.net", 0, true, 550},
        {"NUL", "X: \0\r\n\r\n", 8, true, 550},
        {"NUL where nothing is added", "X: \0\r\n\r\n", 8, false, 550},
        {"CR", "X: y\rFrom: eve@example.net\r\n\r\n", 0, true, 550},
        {"CR where nothing is added", "X: y\rFrom: eve@example.net\r\n\r\n", 0, false, 550},
        {"CR at the end", "X: y\r", 0, false, 550},
        {"LF", "X: y\nFrom: eve@example.net\r\n\r\n", 0, true, 550},
        {"LF where nothing is added", "X: y\r\n\nFrom: eve@example.net\r\n\r\n", 0, false, 550},
        {"no field", "X: y\r\nno field\r\n\r\n", 0, false, 550},
        {"no field at the end", "X: y\r\nno field", 0, false, 550},
    };
    desk d;

    (void)state;
    desk_open(&d);
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_span text = mail_span_of(cases[i].text, cases[i].length > 0 ? cases[i].length
                                                                         : strlen(cases[i].text));
        int code;

        mail_test_case(cases[i].name);
        desk_begin(&d, cases[i].completes);
        assert_null(submit_refusal(d.sb));
        code = mail_sink_write(&d.sb->sink, text);
        if (code == MAIL_OK) {
            code = mail_sink_finish(&d.sb->sink, on_finished, &d);
        } else {
            mail_sink_abort(&d.sb->sink);
        }
        assert_int_not_equal(code, MAIL_OK);
        assert_int_equal(submit_refusal(d.sb)->code, cases[i].code);
        assert_int_equal(d.box.aborted, 1);
        assert_int_equal(d.box.length, 0);
    }
    desk_close(&d);
}

/* BDAT is not looked at: what has LF for line ends is completed all the same. */
static void mends_line_ends_of_the_header(void **state)
{
    desk d;

    (void)state;
    desk_open(&d);
    desk_begin(&d, true);
    assert_int_equal(write_all(&d,
                               MAIL_SPAN("From: anna@example.org\n"
                                         "Date: Mon, 13 Nov 2023 10:00:00 +0100\n"
                                         "Message-ID: <1@client.example>\nTo: eve@example.net\n"
                                         "\nbody\r\nof two lines\r\n"),
                               10000),
                     MAIL_OK);
    assert_int_equal(mail_sink_finish(&d.sb->sink, on_finished, &d), MAIL_OK);
    assert_span_equal(mail_span_of(d.bytes, d.box.length), MESSAGE);
    desk_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_through_whatever_room_there_is),
        cmocka_unit_test(ends_when_all_is_poured),
        cmocka_unit_test(tells_of_what_goes_wrong_behind_it),
        cmocka_unit_test(gives_up_when_its_writer_goes),
        cmocka_unit_test(says_what_is_wrong_with_a_header),
        cmocka_unit_test(mends_line_ends_of_the_header),
    };

    return mail_test_run(tests);
}
