/* SPDX-License-Identifier: MIT */
#include "party.h"

static void takes_a_message(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        char bytes[100];
        world w;
        party p;
        int fd;

        party_begin(&p, &w, kind);
        p.box.bytes = bytes;
        p.box.keep = sizeof(bytes);
        p.accepted = MAIL_SPAN("Queued as 17");
        fd = guest_begins(&p);
        assert_int_equal(mail_smtp_service_sessions(p.service), 1);
        guest_asks(&p, fd, "Subject: hi\r\n\r\n..dot\r\n.\r\n", "250 2.0.0 Queued as 17\r\n");
        assert_span_equal(mail_span_of(bytes, p.box.length), "Subject: hi\r\n\r\n.dot\r\n");
        assert_int_equal(p.box.finished, 1);
        p.accepted = MAIL_SPAN("");
        guest_asks(&p, fd, "MAIL FROM:<>\r\n", "250");
        guest_asks(&p, fd, "RCPT TO:<b@mx.example>\r\n", "250");
        guest_asks(&p, fd, "DATA\r\n", "354");
        guest_asks(&p, fd, "again\r\n.\r\n", "250 2.0.0 OK\r\n");
        guest_asks(&p, fd, "QUIT\r\n", "221");
        guest_hears_the_end(&p, fd);
        assert_string_equal(p.heard, " CONNECT HELO MAIL RCPT DATA MAIL RCPT DATA CLOSE");
        assert_int_equal(mail_smtp_service_sessions(p.service), 0);
        party_end(&p);
    }
}

/* SX-003: all replies to a group in order, and here in one write. */
static void answers_a_pipelined_group_in_one_write(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        unsigned writes;
        unsigned reads;
        world w;
        party p;
        int fd;

        party_begin(&p, &w, kind);
        fd = guest_open(&p);
        guest_hears(&p, fd, "220");
        guest_asks(&p, fd, "EHLO client.example\r\n", "250");
        reads = w.calls[CALL_READ];
        writes = w.calls[CALL_WRITE];
        guest_says(&p, fd,
                   "MAIL FROM:<a@client.example>\r\nRCPT TO:<b@mx.example>\r\n"
                   "RCPT TO:<c@mx.example>\r\nDATA\r\n");
        guest_hears(&p, fd, "250 2.1.0");
        guest_hears(&p, fd, "250 2.1.5");
        guest_hears(&p, fd, "250 2.1.5");
        guest_hears(&p, fd, "354");
        guest_asks(&p, fd, "text\r\n.\r\n", "250");
        assert_int_equal(w.calls[CALL_READ] - reads, 2);
        assert_int_equal(w.calls[CALL_WRITE] - writes, 2);
        close(fd);
        world_until(&w, p.opened == 0);
        party_end(&p);
    }
}

static void every_question_may_be_answered_later(void **state)
{
    static const mail_smtp_event_type questions[] = {
        MAIL_SMTP_EV_CONNECT, MAIL_SMTP_EV_HELO, MAIL_SMTP_EV_MAIL,
        MAIL_SMTP_EV_RCPT,    MAIL_SMTP_EV_DATA, MAIL_SMTP_EV_END,
    };

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (size_t i = 0; i < MAIL_COUNT(questions); i++) {
            world w;
            party p;
            int fd;

            mail_test_case(mail_smtp_event_name(questions[i]));
            party_begin(&p, &w, kind);
            p.slow = questions[i];
            p.has_bin = questions[i] != MAIL_SMTP_EV_END;
            fd = guest_open(&p);
            /* All behind the open question waits, in the session and then in the socket. */
            world_until(&w, p.opened == 1);
            if (i > 0) {
                guest_hears(&p, fd, "220");
            }
            guest_says(&p, fd, i > 0 ? "EHLO client.example\r\n" : "");
            world_until(&w, i < 2 || strstr(p.heard, "HELO") != NULL);
            guest_says(&p, fd,
                       i > 0 ? "MAIL FROM:<a@b.example>\r\nRCPT TO:<b@mx.example>\r\nDATA\r\n"
                               "text\r\n.\r\nQUIT\r\n"
                             : "");
            world_until(&w, strstr(p.heard, mail_smtp_event_name(questions[i])) != NULL);
            world_idle(&w);
            p.slow = MAIL_SMTP_EV_NONE;
            party_answer(&p, questions[i], p.ticket);
            assert_int_equal(mail_smtp_service_answer(p.ticket, NULL), MAIL_ECANCELED);
            guest_says(&p, fd, i > 0 ? "" : "QUIT\r\n");
            guest_hears(&p, fd, i > 0 ? "250" : "220");
            for (int more = i > 0 ? 4 : 0; more > 0; more--) {
                guest_hears(&p, fd, more == 2 ? "354" : "250");
            }
            guest_hears(&p, fd, "221");
            guest_hears_the_end(&p, fd);
            world_until(&w, mail_smtp_service_sessions(p.service) == 0);
            party_end(&p);
        }
    }
}

/* QR-011, SS-037: 250 only for what is safe, and the right word for what is not. */
static void the_end_of_the_sink_is_the_verdict(void **state)
{
    static const mail_reply looping = {554, {5, 4, 6}, {"Looping", 7}};
    static const struct {
        const char *name;
        int code;
        bool later;
        bool in_write;
        const mail_reply *refusal;
        const char *want;
    } cases[] = {
        {"stored", MAIL_OK, false, false, NULL, "250 2.0.0 OK"},
        {"stored later", MAIL_OK, true, false, NULL, "250 2.0.0 OK"},
        {"disk full", MAIL_ENOSPC, false, false, NULL, "452 4.3.1"},
        {"disk full later", MAIL_ENOSPC, true, false, NULL, "452 4.3.1"},
        {"disk full in the middle", MAIL_ENOSPC, false, true, NULL, "452 4.3.1"},
        {"disk broken", MAIL_EIO, true, false, NULL, "451 4.3.0"},
        {"too big in the middle", MAIL_ELIMIT, false, true, NULL, "552 5.3.4"},
        {"the policy knows better", MAIL_EINVAL, false, true, &looping, "554 5.4.6 Looping"},
        {"the policy knows better later", MAIL_EINVAL, true, false, &looping, "554 5.4.6 Looping"},
    };

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
            world w;
            party p;
            int fd;

            mail_test_case(cases[i].name);
            party_begin(&p, &w, kind);
            p.refusal = cases[i].refusal;
            p.box.finish_code = cases[i].later ? MAIL_EAGAIN : cases[i].code;
            p.box.write_code = cases[i].in_write ? cases[i].code : MAIL_OK;
            p.box.fail_after = 10;
            fd = guest_begins(&p);
            guest_says(&p, fd, "one line\r\nand another\r\n");
            world_idle(&w);
            guest_says(&p, fd, "the last one\r\n.\r\n");
            if (cases[i].later) {
                world_until(&w, p.box.finished == 1);
                p.box.fn(cases[i].code, p.box.fn_arg);
            }
            guest_hears(&p, fd, cases[i].want);
            assert_int_equal(p.refusal_code, cases[i].code);
            assert_int_equal(p.box.aborted, cases[i].in_write ? 1 : 0);
            /* And the session goes on. */
            p.box.finish_code = MAIL_OK;
            p.box.write_code = MAIL_OK;
            guest_asks(&p, fd, "MAIL FROM:<>\r\n", "250");
            guest_asks(&p, fd, "RCPT TO:<b@mx.example>\r\n", "250");
            guest_asks(&p, fd, "DATA\r\n", "354");
            guest_asks(&p, fd, "text\r\n.\r\n", "250 2.0.0 OK");
            guest_asks(&p, fd, "QUIT\r\n", "221");
            guest_hears_the_end(&p, fd);
            party_end(&p);
        }
    }
}

/* A body that reads back as it was sent, whatever room the sink has. */
static void feeds_a_sink_no_more_than_it_has_room_for(void **state)
{
    static const size_t rooms[] = {1, 2, 3, 7, 100, 3000};
    static const struct {
        const char *name;
        bool by_bdat;
        size_t full_every;
    } cases[] = {
        {"DATA", false, 0},
        {"DATA, full now and then", false, 500},
        {"BDAT", true, 0},
        {"BDAT, full now and then", true, 500},
    };
    static char text[20001];
    static char kept[30000];

    (void)state;
    for (size_t i = 0; i < 20000; i++) {
        text[i] = (char)(i % 50 == 48 ? '\r' : i % 50 == 49 ? '\n' : 'a' + i / 50 % 26);
    }
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (size_t i = 0; i < MAIL_COUNT(cases) * MAIL_COUNT(rooms); i++) {
            bool by_bdat = cases[i % MAIL_COUNT(cases)].by_bdat;
            char all[21000] = "MAIL FROM:<>\r\nRCPT TO:<b@mx.example>\r\n";
            world w;
            party p;
            int fd;

            mail_test_case(cases[i % MAIL_COUNT(cases)].name);
            party_begin(&p, &w, kind);
            p.box = (bin){.bytes = kept,
                          .keep = sizeof(kept),
                          .room = rooms[i / MAIL_COUNT(cases)],
                          .full_every = cases[i % MAIL_COUNT(cases)].full_every};
            fd = guest_open(&p);
            guest_hears(&p, fd, "220");
            guest_asks(&p, fd, "EHLO client.example\r\n", "250");
            if (by_bdat) {
                strcat(all, "BDAT 5000\r\n");
                sprintf(all + strlen(all), "%.5000s", text);
                strcat(all, "BDAT 15000 LAST\r\n");
                strcat(all, text + 5000);
            } else {
                strcat(strcat(strcat(all, "DATA\r\n"), text), ".\r\n");
            }
            guest_says(&p, fd, all);
            while (p.box.finished == 0) {
                bin_empty(&p.box);
                world_step(&w);
            }
            assert_int_equal(p.box.length, 20000);
            assert_memory_equal(kept, text, 20000);
            for (int replies = by_bdat ? 3 : 2; replies > 0; replies--) {
                guest_hears(&p, fd, "250");
            }
            guest_hears(&p, fd, by_bdat ? "250" : "354");
            if (!by_bdat) {
                guest_hears(&p, fd, "250");
            }
            guest_asks(&p, fd, "QUIT\r\n", "221");
            guest_hears_the_end(&p, fd);
            party_end(&p);
        }
    }
}

#define LARGE (50U * 1024 * 1024)

static void a_large_message_takes_little_memory(void **state)
{
    static char block[65536];

    (void)state;
    for (size_t i = 0; i < sizeof(block); i++) {
        block[i] = (char)(i % 64 == 62 ? '\r' : i % 64 == 63 ? '\n' : 'x');
    }
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_smtp_server_options engine = MAIL_SMTP_SERVER_OPTIONS_INIT;
        mail_test_walk mem;
        size_t sent = 0;
        size_t most = 0;
        world w;
        party p;
        int fd;

        mail_test_mem_init(&mem);
        engine.hostname = MAIL_SPAN("mx.example");
        engine.max_message_bytes = LARGE + 1;
        world_open(&w, kind, NULL);
        assert_int_equal(party_open(&p, &w, &mem.mem, &engine, NULL), MAIL_OK);
        p.box.full_every = 100000;
        fd = guest_begins(&p);
        while (sent < LARGE) {
            size_t n =
                LARGE - sent < sizeof(block) - sent % 64 ? LARGE - sent : sizeof(block) - sent % 64;
            ssize_t code = send(fd, block + sent % 64, n, MSG_NOSIGNAL);

            sent += code > 0 ? (size_t)code : 0;
            bin_empty(&p.box);
            world_step(&w);
            most = mem.bytes > most ? mem.bytes : most;
        }
        guest_says(&p, fd, ".\r\n");
        while (p.box.finished == 0) {
            bin_empty(&p.box);
            world_step(&w);
        }
        guest_hears(&p, fd, "250");
        assert_int_equal(p.box.length, LARGE);
        assert_true(most < 100000);
        close(fd);
        world_until(&w, p.opened == 0);
        party_end(&p);
        mail_test_mem_check(&mem);
    }
}

/* SS-029: what breaks off is dropped, and the policy told. */
static void a_client_that_dies_leaves_nothing(void **state)
{
    static const struct {
        const char *name;
        const char *text;
        const char *heard;
        unsigned aborted;
    } cases[] = {
        {"after the greeting", "", " CONNECT CLOSE", 0},
        {"in the envelope", "EHLO c.example\r\nMAIL FROM:<>\r\n", " CONNECT HELO MAIL RESET CLOSE",
         0},
        {"in the message",
         "EHLO c.example\r\nMAIL FROM:<>\r\nRCPT TO:<b@mx.example>\r\nDATA\r\nhalf a li",
         " CONNECT HELO MAIL RCPT DATA ABORT CLOSE", 1},
        {"before the last octet",
         "EHLO c.example\r\nMAIL FROM:<>\r\nRCPT TO:<b@mx.example>\r\nDATA\r\ntext\r\n.\r",
         " CONNECT HELO MAIL RCPT DATA ABORT CLOSE", 1},
    };

    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
            world w;
            party p;
            int fd;

            mail_test_case(cases[i].name);
            party_begin(&p, &w, kind);
            fd = guest_open(&p);
            guest_hears(&p, fd, "220");
            guest_says(&p, fd, cases[i].text);
            world_idle(&w);
            close(fd);
            world_until(&w, strstr(p.heard, "CLOSE") != NULL);
            assert_string_equal(p.heard, cases[i].heard);
            assert_int_equal(p.box.aborted, cases[i].aborted);
            assert_int_equal(p.box.finished, 0);
            world_until(&w, mail_smtp_service_sessions(p.service) == 0);
            party_end(&p);
        }
    }
}

static void a_stale_ticket_is_harmless(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_ticket stale;
        bin late = {.room = 0};
        world w;
        party p;
        int fd;

        party_begin(&p, &w, kind);
        p.slow = MAIL_SMTP_EV_DATA;
        fd = guest_open(&p);
        guest_hears(&p, fd, "220");
        guest_says(&p, fd, "EHLO c.example\r\nMAIL FROM:<>\r\nRCPT TO:<b@mx.example>\r\nDATA\r\n");
        world_until(&w, strstr(p.heard, "DATA") != NULL);
        stale = p.ticket;
        w.fail_at[CALL_WRITE] = w.calls[CALL_WRITE] + 1; /* the client is lost under an answer */
        w.failure = -EPIPE;
        p.reply = MAIL_REPLY(451, 4, 3, 0, "Later");
        assert_int_equal(mail_smtp_service_answer(stale, &p.reply), MAIL_OK);
        world_until(&w, strstr(p.heard, "CLOSE") != NULL);
        bin_reset(&late);
        assert_int_equal(mail_smtp_service_take(stale, &late.sink, MAIL_SPAN("")), MAIL_ECANCELED);
        assert_int_equal(late.aborted, 1);
        close(fd);
        /* The slot has a new tenant, who is not answered for. */
        world_until(&w, mail_smtp_service_sessions(p.service) == 0);
        p.slow = MAIL_SMTP_EV_CONNECT;
        fd = guest_open(&p);
        world_until(&w, p.opened == 1);
        assert_int_equal(p.ticket.slot, stale.slot);
        assert_int_equal(mail_smtp_service_answer(stale, NULL), MAIL_ECANCELED);
        assert_int_equal(mail_smtp_service_answer((mail_ticket){p.service, 99, 1}, NULL),
                         MAIL_ECANCELED);
        assert_int_equal(mail_smtp_service_answer(p.ticket, NULL), MAIL_OK);
        guest_hears(&p, fd, "220");
        close(fd);
        party_end(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_a_message),
        cmocka_unit_test(answers_a_pipelined_group_in_one_write),
        cmocka_unit_test(every_question_may_be_answered_later),
        cmocka_unit_test(the_end_of_the_sink_is_the_verdict),
        cmocka_unit_test(feeds_a_sink_no_more_than_it_has_room_for),
        cmocka_unit_test(a_large_message_takes_little_memory),
        cmocka_unit_test(a_client_that_dies_leaves_nothing),
        cmocka_unit_test(a_stale_ticket_is_harmless),
    };

    return mail_test_run(tests);
}
