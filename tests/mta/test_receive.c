/* SPDX-License-Identifier: MIT */
#include "mta/kit.h"

#include <mail/drop.h>

static bool has_user(const mail_path *address, void *arg)
{
    (void)arg;
    return mail_span_equal_nocase(mail_path_local(address), MAIL_SPAN("anna"));
}

static const mail_span domains[] = {{"example.org", 11}, {"[127.0.0.1]", 11}};

/* Local domains, one user, and nobody that may relay. */
static mail_receive_options strict_options(void)
{
    mail_receive_options opts = MAIL_RECEIVE_OPTIONS_INIT;

    opts.local_domains = domains;
    opts.local_count = MAIL_COUNT(domains);
    opts.has_user = has_user;
    return opts;
}

static void set_aliases(kit *k, const char *text)
{
    kit_set_aliases(k, text, domains, MAIL_COUNT(domains));
}

static int greet(kit *k)
{
    return kit_greet(k, &k->at);
}

/* Receives, and has a client that has said EHLO. */
static int open_desk(kit *k, int kind, mail_receive_options *opts)
{
    kit_open(k, kind);
    kit_receive(k, opts);
    return greet(k);
}

static void close_desk(kit *k, int fd)
{
    close(fd);
    kit_close(k);
}

static void judges_recipients(void **state)
{
    static const struct {
        const char *name;
        const char *rcpt;
        const char *reply;
    } cases[] = {
        {"known", "anna@example.org", "250 2.1.5"},
        {"domain in any case", "anna@EXAMPLE.org", "250 2.1.5"},
        {"unknown", "bob@example.org", "550 5.1.1"},
        {"postmaster", "postmaster@example.org", "250 2.1.5"}, /* SS-023 */
        {"Postmaster", "POSTMASTER@example.org", "250 2.1.5"}, /* SS-023 */
        {"quoted", "\"PostMaster\"@example.org", "250 2.1.5"},
        {"bare postmaster", "Postmaster", "250 2.1.5"}, /* SS-022 */
        {"literal of ours", "anna@[127.0.0.1]", "250 2.1.5"},
        {"alias", "team@example.org", "250 2.1.5"},
        {"alias abroad", "away@example.org", "250 2.1.5"},
        {"elsewhere", "anna@example.net", "550 5.7.1"},
        {"below", "anna@sub.example.org", "550 5.7.1"},
        {"our name", "anna@mx.example", "550 5.7.1"},
        {"percent", "anna%example.net@example.org", "550 5.1.1"},
        {"bang", "example.net!anna@example.org", "550 5.1.1"},
        {"route", "@example.org:anna@example.net", "550 5.7.1"}, /* SS-021 */
        {"quoted at", "\"anna@example.net\"@example.org", "550 5.1.1"},
        {"command", "|/bin/sh@example.org", "550 5.1.1"},
        {"path", "\"../../etc/passwd\"@example.org", "550 5.1.1"},
    };

    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_receive_options opts = strict_options();
        kit k;
        int fd;

        (void)state;
        kit_open(&k, kind);
        kit_receive(&k, &opts);
        set_aliases(&k, "team: anna, postmaster\naway: anna@example.net\n");
        fd = greet(&k);
        kit_asks(&k, fd, "MAIL FROM:<a@client.example>\r\n", "250 2.1.0");
        for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
            char line[200];

            mail_test_case(cases[i].name);
            snprintf(line, sizeof(line), "RCPT TO:<%s>\r\n", cases[i].rcpt);
            kit_asks(&k, fd, line, cases[i].reply);
        }
        assert_non_null(strstr(k.log, "refused peer=127.0.0.1 helo=client.example "
                                      "from=a@client.example to=bob@example.org"));
        close_desk(&k, fd);
    }
}

static void lets_only_those_relay_that_may(void **state)
{
    static const struct {
        const char *name;
        mail_network network;
        const char *reply;
    } cases[] = {
        {"loopback", {{.family = 4, .bytes = {127}}, 8}, "250"},
        {"exactly", {{.family = 4, .bytes = {127, 0, 0, 1}}, 32}, "250"},
        {"another", {{.family = 4, .bytes = {10}}, 8}, "550 5.7.1"},
        {"version 6", {{.family = 6, .bytes = {[15] = 1}}, 128}, "550 5.7.1"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_receive_options opts = strict_options();
        kit k;
        int fd;

        mail_test_case(cases[i].name);
        opts.relay_from = &cases[i].network;
        opts.relay_count = 1;
        fd = open_desk(&k, WORLD_POLL, &opts);
        kit_asks(&k, fd, "MAIL FROM:<>\r\n", "250"); /* SS-019 */
        kit_asks(&k, fd, "RCPT TO:<bob@elsewhere.example>\r\n", cases[i].reply);
        close_desk(&k, fd);
    }
}

static const mail_nexthop *route_of(mail_span domain, void *arg)
{
    static const mail_nexthop gone = {.kind = MAIL_NEXTHOP_ERROR,
                                      .reply = MAIL_REPLY_INIT(551, 5, 1, 6, "Moved")};
    static const mail_nexthop later = {.kind = MAIL_NEXTHOP_ERROR,
                                       .reply = MAIL_REPLY_INIT(450, 4, 2, 1, "On holiday")};
    static const mail_nexthop here = {.kind = MAIL_NEXTHOP_LOCAL};

    (void)arg;
    return mail_span_equal(domain, MAIL_SPAN("gone.example"))    ? &gone
           : mail_span_equal(domain, MAIL_SPAN("later.example")) ? &later
           : mail_span_equal(domain, MAIL_SPAN("here.example"))  ? &here
                                                                 : NULL;
}

static void refuses_at_once_what_could_only_be_returned(void **state)
{
    static const struct {
        const char *name;
        const char *rcpt;
        const char *reply;
    } cases[] = {
        {"for good", "x@gone.example", "551 5.1.6 Moved"},
        {"for now", "x@later.example", "450 4.2.1 On holiday"},
        {"no error", "x@elsewhere.example", "250"},
        {"alias", "moved@example.org", "551 5.1.6 Moved"},
        {"alias of several", "both@example.org", "250"},
        {"alias of nobody", "ghost@example.org", "550 5.1.1"},
        {"alias of several who are none", "ghosts@example.org", "550 5.1.1"},
        {"alias of one who will come back", "soon@example.org", "450 4.2.1 On holiday"},
        {"nobody's mailbox by a route", "x@here.example", "550 5.1.1 No such user here"},
        {"somebody's", "anna@here.example", "250"},
        {"the postmaster's", "Postmaster@here.example", "250"},
    };
    const mail_network loopback_only = {{.family = 4, .bytes = {127}}, 8};
    mail_receive_options opts = strict_options();
    kit k;
    int fd;

    (void)state;
    opts.relay_from = &loopback_only;
    opts.relay_count = 1;
    opts.route_of = route_of;
    kit_open(&k, WORLD_POLL);
    kit_receive(&k, &opts);
    set_aliases(&k, "moved: x@gone.example\nboth: anna, x@gone.example\nghost: nobody\n"
                    "ghosts: nobody, x@gone.example\nsoon: x@later.example\n");
    fd = greet(&k);
    kit_asks(&k, fd, "MAIL FROM:<a@client.example>\r\n", "250");
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        char line[100];

        mail_test_case(cases[i].name);
        snprintf(line, sizeof(line), "RCPT TO:<%s>\r\n", cases[i].rcpt);
        kit_asks(&k, fd, line, cases[i].reply);
    }
    close_desk(&k, fd);
}

/* RFC 5321, section 4.5.1: whoever stands for him. */
static void always_has_a_postmaster(void **state)
{
    static const struct {
        const char *aliases;
        const char *gets; /* who has the message then */
    } cases[] = {
        {"postmaster: nobody\n", "postmaster@example.org"},
        {"postmaster: x@gone.example\n", "postmaster@example.org"},
        {"postmaster: nobody, x@gone.example\n", "postmaster@example.org"},
        {"postmaster: anna\n", "anna@example.org"},
        {"postmaster: anna, nobody\n", "anna@example.org nobody@example.org"},
        {"postmaster: x@elsewhere.example\n", "x@elsewhere.example"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_receive_options opts = strict_options();
        char want[200];
        kit k;
        int fd;

        mail_test_case(cases[i].aliases);
        opts.route_of = route_of;
        kit_open(&k, WORLD_POLL);
        kit_receive(&k, &opts);
        set_aliases(&k, cases[i].aliases);
        fd = greet(&k);
        kit_asks(&k, fd, "MAIL FROM:<a@client.example>\r\n", "250");
        kit_asks(&k, fd, "RCPT TO:<postmaster>\r\n", "250");
        kit_asks(&k, fd, "RCPT TO:<Postmaster@MX.example>\r\n", "250"); /* he, once more */
        kit_asks(&k, fd, "RCPT TO:<anna@mx.example>\r\n", "550 5.7.1");
        kit_asks(&k, fd, "DATA\r\n", "354");
        kit_asks(&k, fd, ".\r\n", "250 2.0.0");
        snprintf(want, sizeof(want), "<a@client.example> %s\n", cases[i].gets);
        assert_string_equal(kit_list(&k).text, want);
        close_desk(&k, fd);
    }
}

static void puts_a_message_with_its_trace_into_the_queue(void **state)
{
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_receive_options opts = strict_options();
        char want[1000];
        kit_listing ls;
        kit k;
        char *text;
        int fd;

        (void)state;
        fd = open_desk(&k, kind, &opts);
        kit_asks(&k, fd, "MAIL FROM:<a@client.example> RET=HDRS ENVID=x+2By\r\n", "250");
        kit_asks(&k, fd, "RCPT TO:<anna@example.org> NOTIFY=SUCCESS\r\n", "250");
        kit_asks(&k, fd, "DATA\r\n", "354");
        snprintf(want, sizeof(want), "%s",
                 kit_asks(&k, fd, "Subject: hi\r\n\r\n..dots\r\n.\r\n", "250 2.0.0 queued as "));
        ls = kit_list(&k);
        assert_string_equal(ls.text, "<a@client.example> anna@example.org\n");
        assert_non_null(strstr(want, ls.id));
        text = kit_read(&k, ls.id);
        /* SS-032, SS-033, SS-034, SS-035, QR-016 */
        snprintf(want, sizeof(want),
                 "Received: from client.example ([127.0.0.1])\r\n"
                 "\tby mx.example with ESMTP id %s\r\n"
                 "\tfor <anna@example.org>;\r\n"
                 "\tTue, 14 Nov 2023 22:13:20 +0000\r\n"
                 "Subject: hi\r\n\r\n.dots\r\n",
                 ls.id);
        assert_string_equal(text, want);
        free(text);
        snprintf(want, sizeof(want),
                 "accepted queue_id=%s from=a@client.example peer=127.0.0.1 recipients=1", ls.id);
        assert_non_null(strstr(k.log, want));
        kit_asks(&k, fd, "QUIT\r\n", "221");
        close_desk(&k, fd);
    }
}

/* SS-034: for the sake of blind copies. */
static void names_no_recipient_of_several_in_the_trace(void **state)
{
    mail_receive_options opts = strict_options();
    kit_listing ls;
    kit k;
    char *text;
    int fd;

    (void)state;
    fd = open_desk(&k, WORLD_POLL, &opts);
    kit_asks(&k, fd, "MAIL FROM:<a@client.example>\r\n", "250");
    kit_asks(&k, fd, "RCPT TO:<anna@example.org>\r\n", "250");
    kit_asks(&k, fd, "RCPT TO:<postmaster@example.org>\r\n", "250");
    kit_asks(&k, fd, "RCPT TO:<anna@example.org>\r\n", "250"); /* said twice, sent once */
    kit_asks(&k, fd, "DATA\r\n", "354");
    kit_asks(&k, fd, ".\r\n", "250 2.0.0");
    ls = kit_list(&k);
    assert_string_equal(ls.text, "<a@client.example> anna@example.org postmaster@example.org\n");
    text = kit_read(&k, ls.id);
    assert_null(strstr(text, "for <"));
    assert_int_equal(strncmp(text, "Received: from client.example", 29), 0);
    free(text);

    /* The next one begins with nobody. */
    kit_asks(&k, fd, "MAIL FROM:<>\r\n", "250");
    kit_asks(&k, fd, "RCPT TO:<anna@[127.0.0.1]>\r\n", "250");
    kit_asks(&k, fd, "DATA\r\n", "354");
    kit_asks(&k, fd, "x: y\r\n.\r\n", "250 2.0.0");
    assert_string_equal(kit_list(&k).text,
                        "<a@client.example> anna@example.org postmaster@example.org\n"
                        "<> anna@[127.0.0.1]\n");
    close_desk(&k, fd);
}

static void replaces_aliases_by_what_they_stand_for(void **state)
{
    mail_receive_options opts = strict_options();
    kit k;
    int fd;

    (void)state;
    kit_open(&k, WORLD_POLL);
    kit_receive(&k, &opts);
    set_aliases(&k, "team: anna, bob, bob@example.net\npostmaster: anna\n");
    fd = greet(&k);
    kit_asks(&k, fd, "MAIL FROM:<a@client.example>\r\n", "250");
    kit_asks(&k, fd, "RCPT TO:<Team@example.org>\r\n", "250");
    kit_asks(&k, fd, "RCPT TO:<postmaster>\r\n", "250");
    kit_asks(&k, fd, "DATA\r\n", "354");
    kit_asks(&k, fd, ".\r\n", "250 2.0.0");
    assert_string_equal(kit_list(&k).text, "<a@client.example> anna@example.org bob@example.org "
                                           "bob@example.net\n");
    mail_receive_set_aliases(k.receive, NULL);
    kit_asks(&k, fd, "MAIL FROM:<a@client.example>\r\n", "250");
    kit_asks(&k, fd, "RCPT TO:<team@example.org>\r\n", "550 5.1.1");
    close_desk(&k, fd);
}

/* Those that it had already added would get the message now and again when it is repeated. */
static void takes_an_alias_whole_or_not_at_all(void **state)
{
    mail_receive_options opts = strict_options();
    mail_test_walk walk;
    kit k;
    int fd;

    (void)state;
    mail_test_mem_init(&walk);
    opts.mem = &walk.mem;
    kit_open(&k, WORLD_POLL);
    kit_receive(&k, &opts);
    set_aliases(&k, "team: anna, bob, carl, dora, emil\n");
    fd = greet(&k);
    kit_asks(&k, fd, "MAIL FROM:<a@client.example>\r\n", "250");
    walk.fail_at = walk.count + 2; /* the envelope has room for four, and then has to grow */
    kit_asks(&k, fd, "RCPT TO:<team@example.org>\r\n", "451 4.3.0");
    assert_true(walk.failed);
    kit_asks(&k, fd, "RCPT TO:<postmaster@example.org>\r\n", "250");
    kit_asks(&k, fd, "DATA\r\n", "354");
    kit_asks(&k, fd, ".\r\n", "250 2.0.0");
    assert_string_equal(kit_list(&k).text, "<a@client.example> postmaster@example.org\n");
    close_desk(&k, fd);
    mail_test_mem_check(&walk);
}

/* DS-019, DS-020 */
static void hands_on_through_an_alias_what_its_sender_asked_for(void **state)
{
    static const struct {
        const char *name;
        const char *to;
        uint8_t want;
        const char *orcpt;
        bool is_expanded;
    } cases[] = {
        {"nothing asked", "<team@example.org>", 0, "rfc822;team@example.org", false},
        {"success", "<team@example.org> NOTIFY=SUCCESS", 8, "rfc822;team@example.org", true},
        {"both", "<team@example.org> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;t", 2, "rfc822;t", true},
        {"never", "<team@example.org> NOTIFY=NEVER", 8, "rfc822;team@example.org", false},
        {"one target", "<one@example.org> NOTIFY=SUCCESS,DELAY", 5, "rfc822;one@example.org",
         false},
        {"one target, and its ORCPT", "<one@example.org> NOTIFY=SUCCESS ORCPT=rfc822;t", 1,
         "rfc822;t", false},
        {"a name in UTF-8", "<\xc3\xa4@example.org>", 0, "utf-8;\xc3\xa4@example.org", false},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_receive_options opts = strict_options();
        char line[200];
        mail_lane *lane;
        mail_lease *lease;
        char *text;
        kit k;
        int fd;

        mail_test_case(cases[i].name);
        kit_open(&k, WORLD_POLL);
        kit_receive(&k, &opts);
        set_aliases(&k, "team: anna, bob, carl\none: anna\n\xc3\xa4: anna\n");
        fd = greet(&k);
        kit_asks(&k, fd, "MAIL FROM:<a@client.example> SMTPUTF8\r\n", "250");
        snprintf(line, sizeof(line), "RCPT TO:%s\r\n", cases[i].to);
        kit_asks(&k, fd, line, "250");
        kit_asks(&k, fd, "DATA\r\n", "354");
        kit_asks(&k, fd, ".\r\n", "250 2.0.0");
        text = kit_read(&k, kit_list(&k).id);
        assert_null(strstr(text, "for <anna"));
        free(text);
        lane = mail_queue_take_lane(k.queue);
        assert_non_null(lane);
        assert_int_equal(mail_lane_lease(lane, &lease), MAIL_OK);
        for (size_t n = 0; n < mail_envelope_count(mail_lease_envelope(lease)); n++) {
            mail_recipient rcpt = mail_envelope_recipient(mail_lease_envelope(lease), n);

            assert_int_equal(rcpt.notify, cases[i].want);
            assert_span_equal(rcpt.orcpt, cases[i].orcpt);
            assert_int_equal(rcpt.role, MAIL_RECIPIENT_HIDDEN);
            mail_lease_report(lease, n, MAIL_QUEUE_DONE, NULL, false);
        }
        mail_lease_end(lease);
        assert_int_equal(kit_list(&k).count, cases[i].is_expanded ? 1 : 0);
        if (cases[i].is_expanded) { /* by itself, for its sender only */
            assert_int_equal(mail_lane_lease(lane, &lease), MAIL_OK);
            assert_int_equal(mail_envelope_count(mail_lease_envelope(lease)), 1);
            assert_int_equal(mail_envelope_recipient(mail_lease_envelope(lease), 0).role,
                             MAIL_RECIPIENT_EXPANDED);
            mail_lease_end(lease);
        }
        mail_lane_give_back(lane, MAIL_NEVER);
        close_desk(&k, fd);
    }
}

/* SS-047 */
static void refuses_a_message_that_has_been_everywhere(void **state)
{
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_receive_options opts = strict_options();
        char text[8192] = "";
        kit k;
        int fd;

        (void)state;
        kit_open(&k, kind);
        kit_receive(&k, &opts);
        for (int i = 0; i < 100; i++) {
            strcat(text, "Received: from x by y; z\r\n");
        }
        fd = greet(&k);
        kit_asks(&k, fd, "MAIL FROM:<a@client.example>\r\n", "250");
        kit_asks(&k, fd, "RCPT TO:<anna@example.org>\r\n", "250");
        kit_asks(&k, fd, "DATA\r\n", "354");
        kit_says(&k, fd, text);
        kit_asks(&k, fd, "Subject: hundred\r\n\r\nReceived: not in here\r\n.\r\n", "250 2.0.0");

        kit_asks(&k, fd, "MAIL FROM:<a@client.example>\r\n", "250");
        kit_asks(&k, fd, "RCPT TO:<anna@example.org>\r\n", "250");
        kit_asks(&k, fd, "DATA\r\n", "354");
        kit_says(&k, fd, text);
        kit_asks(&k, fd, "received: one too many\r\n\r\n.\r\n", "554 5.4.6");
        assert_int_equal(kit_list(&k).count, 1);
        close_desk(&k, fd);
    }
}

static size_t count_of(const char *text, const char *part)
{
    size_t count = 0;

    for (text = strstr(text, part); text != NULL; text = strstr(text + 1, part)) {
        count++;
    }
    return count;
}

static void logs_each_refusal_once_with_what_is_known_of_it(void **state)
{
    static const struct {
        const char *said; /* at once; NULL: too big a message */
        size_t replies;
        const char *reply;
        const char *line;
    } cases[] = {
        {"MAIL FROM:<a@b.example> SIZE=2000\r\nRCPT TO:<anna@example.org>\r\n"
         "RCPT TO:<anna@example.org>\r\nDATA\r\nNOOP\r\n",
         5, "250 2.0.0 OK\r\n",
         "refused peer=127.0.0.1 helo=client.example from=a@b.example "
         "reply=\"552 5.3.4 Message too big\" command=MAIL"},
        {"MAIL FROM:<>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\nNOOP\r\n", 4, "250 2.0.0 OK\r\n",
         "refused peer=127.0.0.1 helo=client.example from=\"\" to=bob@example.org "
         "reply=\"550 5.1.1 No such user here\" command=RCPT"},
        {"RCPT TO:<anna@example.org> X=Y\r\nNOOP\r\n", 2, "250 2.0.0 OK\r\n",
         "refused peer=127.0.0.1 helo=client.example from=\"\" to=anna@example.org "
         "reply=\"555 5.5.4 Parameter unknown or not offered\" command=RCPT"},
        {"RSET\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<anna@example.org>\r\n"
         "RCPT TO:<postmaster@example.org>\r\nDATA\r\n",
         5, "354 End with <CRLF>.<CRLF>\r\n", NULL},
        {NULL, 1, "552 5.3.4 Message too big\r\n",
         "refused peer=127.0.0.1 helo=client.example from=a@b.example to=anna@example.org "
         "recipients=2 reply=\"552 5.3.4 Message too big\" command=DATA"},
        {"DATA\r\nRCPT TO:<x@y.example>\r\nNONSENSE\r\n", 3, "500 5.5.1 Command unknown\r\n",
         "refused peer=127.0.0.1 helo=client.example reply=\"500 5.5.1 Command unknown\""},
    };
    mail_receive_options opts = strict_options();
    kit k;
    int fd;

    (void)state;
    opts.engine.max_message_bytes = 1000;
    fd = open_desk(&k, WORLD_POLL, &opts);
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        char big[3000];

        memset(big, 'x', sizeof(big));
        memcpy(big + sizeof(big) - 6, "\r\n.\r\n", 6);
        big[sizeof(big) - 1] = '\0';
        mail_test_case(cases[i].said != NULL ? cases[i].said : "too big");
        k.log[0] = '\0';
        kit_says(&k, fd, cases[i].said != NULL ? cases[i].said : big);
        for (size_t j = 1; j < cases[i].replies; j++) {
            kit_hears(&k, fd, "");
        }
        kit_hears(&k, fd, cases[i].reply);
        assert_int_equal(count_of(k.log, "refused "), cases[i].line != NULL ? 1 : 0);
        if (cases[i].line != NULL && strstr(k.log, cases[i].line) == NULL) {
            fail_msg("logged: %s", k.log);
        }
    }
    close_desk(&k, fd);
}

static void logs_and_counts_a_message_that_ends_its_session(void **state)
{
    mail_receive_options opts = strict_options();
    mail_sink_memory out;
    mail_span text;
    kit k;
    int fd;

    (void)state;
    assert_int_equal(mail_metrics_create(&opts.metrics, NULL), MAIL_OK);
    fd = open_desk(&k, WORLD_POLL, &opts);
    kit_asks(&k, fd, "MAIL FROM:<a@client.example>\r\n", "250");
    kit_asks(&k, fd, "RCPT TO:<anna@example.org>\r\n", "250");
    kit_asks(&k, fd, "DATA\r\n", "354");
    kit_asks(&k, fd, "Subject: no CR\n", "550 5.6.0");
    world_until(&k.w, mail_receive_sessions(k.receive) == 0);
    assert_non_null(strstr(k.log,
                           "refused peer=127.0.0.1 helo=client.example from=a@client.example "
                           "to=anna@example.org recipients=1 "
                           "reply=\"550 5.6.0 Lone CR or LF in the message\" command=DATA"));
    mail_sink_memory_init(&out, NULL, 1 << 20);
    assert_int_equal(mail_metrics_print(opts.metrics, &out.sink), MAIL_OK);
    text = mail_sink_memory_bytes(&out);
    assert_non_null(memmem(text.data, text.length, "{reason=\"protocol\"} 1\n", 22));
    mail_sink_memory_deinit(&out);
    close_desk(&k, fd);
    mail_metrics_destroy(opts.metrics);
}

static void keeps_nothing_of_a_message_that_breaks_off(void **state)
{
    mail_receive_options opts = strict_options();
    kit k;
    int fd;

    (void)state;
    fd = open_desk(&k, WORLD_POLL, &opts);
    kit_asks(&k, fd, "MAIL FROM:<a@client.example>\r\n", "250");
    kit_asks(&k, fd, "RCPT TO:<anna@example.org>\r\n", "250");
    kit_asks(&k, fd, "DATA\r\n", "354");
    kit_says(&k, fd, "Subject: half\r\n\r\nof it\r\n.");
    close(fd);
    world_until(&k.w, mail_receive_sessions(k.receive) == 0);
    assert_int_equal(kit_list(&k).count, 0);
    kit_close(&k);
}

static void ends_in_the_middle_of_anything(void **state)
{
    static const char *const said[] = {"",
                                       "EHLO x.example\r\n",
                                       "MAIL FROM:<a@x.example>\r\n",
                                       "RCPT TO:<anna@example.org>\r\n",
                                       "DATA\r\n",
                                       "Subject: x\r\n"};

    (void)state;
    for (size_t n = 0; n <= MAIL_COUNT(said); n++) {
        mail_receive_options opts = strict_options();
        kit k;
        int fd;

        kit_open(&k, WORLD_POLL);
        kit_receive(&k, &opts);
        fd = kit_connect(&k, &k.at);
        for (size_t i = 0; i < n; i++) {
            kit_says(&k, fd, said[i]);
        }
        world_idle(&k.w);
        mail_receive_destroy(k.receive);
        k.receive = NULL;
        close_desk(&k, fd);
    }
}

/* SX-038 */
static void takes_mail_by_lmtp(void **state)
{
    mail_receive_options opts = strict_options();
    mail_endpoint at;
    kit_listing ls;
    kit k;
    char *text;
    int fd;

    (void)state;
    kit_open(&k, WORLD_POLL);
    kit_receive(&k, &opts);
    assert_int_equal(mail_receive_listen(k.receive, &loopback, MAIL_RECEIVE_LMTP, &at, NULL),
                     MAIL_OK);
    fd = kit_connect(&k, &at);
    kit_hears(&k, fd, "220 mx.example");
    kit_asks(&k, fd, "LHLO client.example\r\n", "250");
    kit_asks(&k, fd, "MAIL FROM:<a@client.example>\r\n", "250");
    kit_asks(&k, fd, "RCPT TO:<anna@example.org>\r\n", "250");
    kit_asks(&k, fd, "RCPT TO:<bob@example.org>\r\n", "550");
    kit_asks(&k, fd, "RCPT TO:<postmaster@example.org>\r\n", "250");
    kit_asks(&k, fd, "DATA\r\n", "354");
    kit_asks(&k, fd, "a: b\r\n.\r\n", "250 2.0.0");
    kit_hears(&k, fd, "250 2.0.0");
    ls = kit_list(&k);
    text = kit_read(&k, ls.id);
    assert_non_null(strstr(text, "by mx.example with LMTP id"));
    free(text);
    close_desk(&k, fd);
}

/* Its many replies to one dot don't wait for the client to say something more. */
static void replies_by_lmtp_for_each_of_many(void **state)
{
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        mail_receive_options opts = strict_options();
        mail_endpoint at;
        kit k;
        int fd;

        (void)state;
        opts.accept_all = true;
        kit_open(&k, kind);
        kit_receive(&k, &opts);
        assert_int_equal(mail_receive_listen(k.receive, &loopback, MAIL_RECEIVE_LMTP, &at, NULL),
                         MAIL_OK);
        fd = kit_connect(&k, &at);
        kit_hears(&k, fd, "220 mx.example");
        kit_asks(&k, fd, "LHLO client.example\r\n", "250");
        kit_asks(&k, fd, "MAIL FROM:<a@client.example>\r\n", "250");
        for (unsigned i = 0; i < 300; i++) {
            char line[64];

            snprintf(line, sizeof(line), "RCPT TO:<r%u@example.org>\r\n", i);
            kit_asks(&k, fd, line, "250");
        }
        kit_asks(&k, fd, "DATA\r\n", "354");
        kit_says(&k, fd, "a: b\r\n.\r\n");
        for (unsigned i = 0; i < 300; i++) {
            kit_hears(&k, fd, "250 2.0.0");
        }
        close_desk(&k, fd);
    }
}

static void takes_everything_when_it_captures(void **state)
{
    mail_receive_options opts = strict_options();
    kit k;
    int fd;

    (void)state;
    opts.accept_all = true;
    fd = open_desk(&k, WORLD_POLL, &opts);
    kit_asks(&k, fd, "MAIL FROM:<a@client.example>\r\n", "250");
    kit_asks(&k, fd, "RCPT TO:<who@ever.example>\r\n", "250");
    kit_asks(&k, fd, "RCPT TO:<bob@example.org>\r\n", "250");
    close_desk(&k, fd);
}

static void drained(void *arg)
{
    *(bool *)arg = true;
}

static void drains_when_the_last_message_is_through(void **state)
{
    mail_receive_options opts = strict_options();
    bool is_drained = false;
    kit k;
    int fd;

    (void)state;
    fd = open_desk(&k, WORLD_POLL, &opts);
    kit_asks(&k, fd, "MAIL FROM:<a@client.example>\r\n", "250");
    kit_asks(&k, fd, "RCPT TO:<anna@example.org>\r\n", "250");
    kit_asks(&k, fd, "DATA\r\n", "354");
    mail_receive_drain(k.receive, drained, &is_drained);
    world_idle(&k.w);
    assert_false(is_drained);
    kit_asks(&k, fd, "a: b\r\n.\r\n", "250 2.0.0");
    world_until(&k.w, is_drained);
    assert_int_equal(kit_list(&k).count, 1);
    close_desk(&k, fd);
}

static void drop(const char *spool, const char *sender, const char *recipient, const char *text)
{
    const mail_recipient rcpt = {.address = mail_span_text(recipient)};
    mail_source_span source;
    mail_envelope envelope;

    mail_envelope_init(&envelope, NULL);
    assert_int_equal(mail_envelope_set_sender(&envelope, mail_span_text(sender), MAIL_SPAN("")),
                     MAIL_OK);
    assert_int_equal(mail_envelope_add(&envelope, &rcpt), MAIL_OK);
    mail_source_span_init(&source, mail_span_text(text));
    assert_int_equal(mail_drop_write(spool, &envelope, &source.source, NULL, NULL, NULL), MAIL_OK);
    mail_envelope_deinit(&envelope);
}

static bool count_one(const char *name, void *arg)
{
    (void)name;
    ++*(int *)arg;
    return true;
}

static int count_dropped(const char *spool)
{
    int count = 0;

    assert_int_equal(mail_drop_list(spool, count_one, &count), MAIL_OK);
    return count;
}

static void takes_what_is_dropped(void **state)
{
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        char *spool = mail_test_make_dir();
        mail_receive_options opts = strict_options();
        kit_listing ls;
        kit k;
        char *text;

        (void)state;
        kit_open(&k, kind);
        kit_receive(&k, &opts);
        set_aliases(&k, "root: admin@example.net\n");
        drop(spool, "me", "root", "Subject: before\r\n\r\n");
        assert_int_equal(mail_receive_watch_drop(k.receive, spool, NULL), MAIL_OK);
        world_until(&k.w, count_dropped(spool) == 0);
        drop(spool, "", "nobody", "Subject: after\r\n\r\n"); /* pokes */
        world_until(&k.w, count_dropped(spool) == 0);
        ls = kit_list(&k);
        assert_string_equal(ls.text, "<me@example.org> admin@example.net\n"
                                     "<> nobody@example.org\n");
        text = kit_read(&k, ls.id);
        assert_int_equal(strncmp(text, "Received: by mx.example id ", 27), 0);
        assert_non_null(strstr(k.log, "taken from drop file="));
        assert_non_null(strstr(strstr(k.log, "taken from drop file="), " queue_id="));
        assert_non_null(strstr(text, "\r\nSubject: after\r\n\r\n"));
        free(text);
        kit_close(&k);
        mail_test_remove_dir(spool);
    }
}

static void sets_bad_files_aside_and_takes_the_others(void **state)
{
    char *spool = mail_test_make_dir();
    mail_receive_options opts = strict_options();
    char path[512];
    FILE *file;
    kit k;

    (void)state;
    kit_open(&k, WORLD_POLL);
    kit_receive(&k, &opts);
    for (int i = 0; i < 50; i++) {
        drop(spool, "a@b.example", "anna@example.org", "x: y\r\n\r\n");
    }
    snprintf(path, sizeof(path), "%s/drop/00.mail", spool);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs("no envelope", file);
    fclose(file);
    assert_int_equal(mail_receive_watch_drop(k.receive, spool, NULL), MAIL_OK);
    world_until(&k.w, count_dropped(spool) == 0);
    assert_int_equal(kit_list(&k).count, 50);
    strcat(path, ".bad");
    assert_int_equal(access(path, F_OK), 0);
    assert_non_null(strstr(k.log, "set aside from drop file=00.mail"));
    kit_close(&k);
    mail_test_remove_dir(spool);
}

static void refuses_bad_options(void **state)
{
    static const mail_span bad[] = {{"no domain", 9}};
    mail_receive_options opts = MAIL_RECEIVE_OPTIONS_INIT;
    mail_receive *receive;
    kit k;

    (void)state;
    kit_open(&k, WORLD_POLL);
    assert_int_equal(mail_receive_create(&receive, k.w.loop, &opts), MAIL_EINVAL);
    opts.queue = k.queue;
    assert_int_equal(mail_receive_create(&receive, k.w.loop, &opts), MAIL_EINVAL);
    opts.hostname = MAIL_SPAN("mx.example");
    opts.local_domains = bad;
    opts.local_count = 1;
    assert_int_equal(mail_receive_create(&receive, k.w.loop, &opts), MAIL_EINVAL);
    kit_close(&k);
}

static void survives_every_failed_allocation(void **state)
{
    kit k;

    (void)state;
    kit_open(&k, WORLD_POLL);
    MAIL_TEST_WALK(walk)
    {
        mail_receive_options opts = strict_options();
        char *spool = mail_test_make_dir();
        mail_receive *receive = NULL;
        mail_endpoint at;
        int code;

        opts.mem = &walk.mem;
        opts.queue = k.queue;
        opts.hostname = MAIL_SPAN("mx.example");
        code = mail_receive_create(&receive, k.w.loop, &opts);
        if (code == MAIL_OK) {
            code = mail_receive_watch_drop(receive, spool, NULL);
        }
        if (code == MAIL_OK) {
            code = mail_receive_listen(receive, &loopback, MAIL_RECEIVE_SMTP, &at, NULL);
        }
        if (code == MAIL_OK) {
            int fd = kit_connect(&k, &at);

            /* It may end at any point, but it ends. */
            kit_says(&k, fd,
                     "EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<anna@example.org>\r\nDATA\r\n"
                     "\r\n.\r\nQUIT\r\n");
            world_until(&k.w, mail_receive_sessions(receive) == 0);
            close(fd);
        } else {
            assert_int_equal(code, MAIL_ENOMEM);
        }
        mail_receive_destroy(receive);
        mail_test_remove_dir(spool);
    }
    kit_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judges_recipients),
        cmocka_unit_test(lets_only_those_relay_that_may),
        cmocka_unit_test(refuses_at_once_what_could_only_be_returned),
        cmocka_unit_test(always_has_a_postmaster),
        cmocka_unit_test(puts_a_message_with_its_trace_into_the_queue),
        cmocka_unit_test(names_no_recipient_of_several_in_the_trace),
        cmocka_unit_test(replaces_aliases_by_what_they_stand_for),
        cmocka_unit_test(takes_an_alias_whole_or_not_at_all),
        cmocka_unit_test(hands_on_through_an_alias_what_its_sender_asked_for),
        cmocka_unit_test(refuses_a_message_that_has_been_everywhere),
        cmocka_unit_test(logs_each_refusal_once_with_what_is_known_of_it),
        cmocka_unit_test(logs_and_counts_a_message_that_ends_its_session),
        cmocka_unit_test(keeps_nothing_of_a_message_that_breaks_off),
        cmocka_unit_test(ends_in_the_middle_of_anything),
        cmocka_unit_test(takes_mail_by_lmtp),
        cmocka_unit_test(replies_by_lmtp_for_each_of_many),
        cmocka_unit_test(takes_everything_when_it_captures),
        cmocka_unit_test(drains_when_the_last_message_is_through),
        cmocka_unit_test(takes_what_is_dropped),
        cmocka_unit_test(sets_bad_files_aside_and_takes_the_others),
        cmocka_unit_test(refuses_bad_options),
        cmocka_unit_test(survives_every_failed_allocation),
    };

    return mail_test_run(tests);
}
