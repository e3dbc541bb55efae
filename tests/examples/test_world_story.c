/* SPDX-License-Identifier: MIT */
#include "world/story.h"

#include "support/support.h"

/* What all stories below begin with. */
#define HOSTS                                                                                      \
    "host mx.a.example for a.example\n"                                                            \
    "mailbox b@a.example, c@a.example\n"

static story st;

static void read_well(const char *text)
{
    mail_error err = {0};

    if (story_read(&st, mail_span_text(text), "s", &err) != MAIL_OK) {
        fail_msg("%s", err.text);
    }
}

static void reads_who_there_is(void **state)
{
    (void)state;
    read_well("# a comment\r\n"
              "\n"
              "  host MX.A.example for A.example,a2.example # another\n"
              "\thost mx2.a.example\n"
              "mx a.example 0 mx.a.example\n"
              "mx else.example 65535 mx2.a.example\n"
              "mailbox b@A.example , c@a2.example\n"
              "seed 18446744073709551615\n"
              "until 366d");
    assert_int_equal(st.host_count, 2);
    assert_string_equal(st.hosts[0].name, "mx.a.example");
    assert_string_equal(st.hosts[1].name, "mx2.a.example");
    assert_int_equal(st.domain_count, 2);
    assert_string_equal(st.domains[1].name, "a2.example");
    assert_int_equal(st.domains[1].host, 0);
    assert_int_equal(st.mx_count, 2);
    assert_string_equal(st.mxs[1].domain, "else.example");
    assert_int_equal(st.mxs[1].preference, 65535);
    assert_int_equal(st.mxs[1].host, 1);
    assert_int_equal(st.mailbox_count, 2);
    assert_string_equal(st.mailboxes[0].address.text, "b@a.example");
    assert_int_equal(st.mailboxes[1].host, 0);
    assert_true(st.seed == UINT64_MAX);
    assert_true(st.length == 366 * MAIL_DAY);
}

static void reads_what_happens_in_order_of_time(void **state)
{
    (void)state;
    read_well(HOSTS
              "until 1w\n"
              "at 1d host mx.a.example loses power for 1h30m\n"
              "at 1d disk of mx.a.example is full for 90s\n"
              "at 2h clock of mx.a.example jumps +1y\n"
              "at 3h clock of mx.a.example jumps -2h\n"
              "at 10m b@a.example reads mail\n"
              "at 11m c@a.example reads mail leaving it there\n"
              "at 0s b@a.example sends \"A \\\"b\\\" \\\\ #, c\" to c@a.example, x@else.example\n"
              "at 1m dns a.example servfail for 5m\n");
    assert_int_equal(st.event_count, 8);
    assert_int_equal(st.events[0].deed, STORY_SENDS);
    assert_string_equal(st.events[0].subject, "A \"b\" \\ #, c");
    assert_int_equal(st.events[0].rcpt_count, 2);
    assert_string_equal(st.rcpts[st.events[0].first_rcpt + 1].text, "x@else.example");
    assert_int_equal(st.events[1].deed, STORY_SERVFAIL);
    assert_string_equal(st.events[1].domain, "a.example");
    assert_int_equal(st.events[2].deed, STORY_READS);
    assert_false(st.events[2].leaves_mail);
    assert_int_equal(st.events[3].mailbox, 1);
    assert_true(st.events[3].leaves_mail);
    assert_true(st.events[4].span == 365 * MAIL_DAY);
    assert_true(st.events[5].span == -2 * MAIL_HOUR);
    assert_int_equal(st.events[6].deed, STORY_POWER); /* as it stands before the other */
    assert_true(st.events[6].span == 90 * MAIL_MINUTE);
    assert_int_equal(st.events[7].deed, STORY_DISK);
    assert_int_equal(st.events[7].line, 5);
    assert_true(st.events[7].span == 90 * MAIL_SECOND);
    assert_int_equal(st.seed, 1);
}

static void says_what_it_does_not_understand(void **state)
{
    static const struct {
        const char *name;
        const char *text;
        const char *why;
    } cases[] = {
        {"no end", "", "s: no \"until\" says when the story ends"},
        {"an end of nothing", "until 0s\n", "s: no \"until\" says when the story ends"},
        {"two ends", "until 1d\nuntil 1d\n", "s:2: the end has been set already"},
        {"an end too late", "until 367d\n",
         "s:1: \"367d\" stands where a time such as 90s, 10m, 3h, 2d12h is expected"},
        {"a time that wraps", "until 9223372037s\n",
         "s:1: \"9223372037s\" stands where a time such as 90s, 10m, 3h, 2d12h is expected"},
        {"a time of many digits", "until 100000000000000000000d\n",
         "s:1: \"100000000000000000000d\" stands where a time such as 90s, 10m, 3h, 2d12h is "
         "expected"},
        {"a time without unit", "until 10\n",
         "s:1: \"10\" stands where a time such as 90s, 10m, 3h, 2d12h is expected"},
        {"a unit without number", "until h\n",
         "s:1: \"h\" stands where a time such as 90s, 10m, 3h, 2d12h is expected"},
        {"no time", "until # 1d\n",
         "s:1: a time such as 90s, 10m, 3h, 2d12h is missing at the end"},
        {"no statement", "\n\nhosts x\n",
         "s:3: \"hosts\" stands where \"at\", \"host\", \"mailbox\", \"mx\", \"seed\" or \"until\" "
         "is expected"},
        {"a word too many", "host a.example of\n",
         "s:1: \"of\" stands where the end of the line is expected"},
        {"no host name", "host [10.0.0.1]\n",
         "s:1: \"[10.0.0.1]\" stands where a domain name is expected"},
        {"a host twice", "host a.example\nhost A.EXAMPLE\n",
         "s:2: host a.example has been introduced before"},
        {"a domain twice", "host a.example for x.example, X.example\n",
         "s:1: x.example has a host already"},
        {"a comma at the end", "host a.example for x.example,\n",
         "s:1: a domain name is missing at the end"},
        {"a preference too high", "host a.example\nmx a.example 65536 a.example\n",
         "s:2: \"65536\" stands where a preference from 0 to 65535 is expected"},
        {"an MX that is no host", "mx a.example 1 b.example\n",
         "s:1: no host b.example has been introduced"},
        {"a mailbox without host", "mailbox b@a.example\n",
         "s:1: no host is for the domain of b@a.example"},
        {"a mailbox twice", HOSTS "mailbox b@A.example\n",
         "s:3: mailbox b@a.example has been introduced before"},
        {"a mailbox in quotes", HOSTS "mailbox \"x y\"@a.example\n",
         "s:3: a mailbox with quotation marks in its name"},
        {"no address", HOSTS "mailbox b@@a.example\n",
         "s:3: \"b@@a.example\" stands where an address is expected"},
        {"two seeds", "seed 1\nseed 2\n", "s:2: there is a seed already"},
        {"a seed that wraps", "seed 18446744073709551616\n",
         "s:1: \"18446744073709551616\" stands where a number is expected"},
        {"a negative seed", "seed -1\n", "s:1: \"-1\" stands where a number is expected"},
        {"nobody", "at 0s\n",
         "s:1: an address, \"host\", \"disk\", \"clock\" or \"dns\" is missing at the end"},
        {"a stranger sends", HOSTS "at 0s d@a.example sends \"x\" to b@a.example\n",
         "s:3: no mailbox d@a.example has been introduced"},
        {"a deed unknown", HOSTS "at 0s b@a.example writes\n",
         "s:3: \"writes\" stands where \"sends\" or \"reads\" is expected"},
        {"no subject", HOSTS "at 0s b@a.example sends x to b@a.example\n",
         "s:3: \"x\" stands where a subject in quotation marks is expected"},
        {"quotes in quotes", HOSTS "at 0s b@a.example sends \"x\"y\"\" to b@a.example\n",
         "s:3: \"\"x\"y\"\"\" stands where a subject in quotation marks is expected"},
        {"open quotes", HOSTS "at 0s b@a.example sends \"x to b@a.example\n",
         "s:3: a quotation mark is missing"},
        {"a backslash at the end", HOSTS "at 0s b@a.example sends \"x\\\"\n",
         "s:3: a quotation mark is missing"},
        {"no recipient", HOSTS "at 0s b@a.example sends \"x\" to\n",
         "s:3: an address is missing at the end"},
        {"a recipient twice", HOSTS "at 0s b@a.example sends \"x\" to c@a.example, c@A.example\n",
         "s:3: c@a.example is a recipient twice"},
        {"leaving half", HOSTS "at 0s b@a.example reads mail leaving it\n",
         "s:3: \"there\" is missing at the end"},
        {"power for ever", HOSTS "at 0s host mx.a.example loses power\n",
         "s:3: \"for\" is missing at the end"},
        {"a jump to nowhere", HOSTS "at 0s clock of mx.a.example jumps 1h\n",
         "s:3: \"1h\" stands where a jump such as +1y or -2h is expected"},
        {"a jump of nothing", HOSTS "at 0s clock of mx.a.example jumps\n",
         "s:3: a jump such as +1y or -2h is missing at the end"},
        {"a jump too far", HOSTS "at 0s clock of mx.a.example jumps +11y\n",
         "s:3: \"11y\" stands where a time such as 90s, 10m, 3h, 2d12h is expected"},
        {"after the end", HOSTS "at 1d b@a.example reads mail\nuntil 1d\n",
         "s:3: the story ends before this happens"},
        {"a control character", "# \033[2J\n", "s:1: a control character"},
        {"half a line end", "seed 1\rseed 2\n", "s:1: a control character"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_error err = {0};

        mail_test_case(cases[i].name);
        assert_int_equal(story_read(&st, mail_span_text(cases[i].text), "s", &err), MAIL_EINVAL);
        assert_string_equal(err.text, cases[i].why);
    }
}

/* `head`, then `line` with a number in it `count` times. */
static char *repeat(const char *head, const char *before, unsigned count, const char *behind)
{
    size_t size = strlen(head) + count * (strlen(before) + 12 + strlen(behind)) + 20;
    char *text = malloc(size);
    size_t used;

    assert_non_null(text);
    used = (size_t)snprintf(text, size, "%s", head);
    for (unsigned i = 0; i < count; i++) {
        used += (size_t)snprintf(text + used, size - used, "%s%u%s", before, i, behind);
    }
    snprintf(text + used, size - used, "\nuntil 1d\n");
    return text;
}

static void has_limits(void **state)
{
    static const char sends[] = HOSTS "at 0s b@a.example sends \"x\" to x@b.example";
    static const struct {
        const char *name;
        const char *head;
        const char *before;
        const char *behind;
        unsigned most;
        const char *why;
    } cases[] = {
        {"hosts", "", "host h", ".example\n", STORY_HOSTS_MAX, "more than 16 hosts"},
        {"MX records", "host h.example\n", "mx d", ".example 1 h.example\n", STORY_MXS_MAX,
         "more than 64 MX records"},
        {"mailboxes", "host h.example for a.example\n", "mailbox u", "@a.example\n",
         STORY_MAILBOXES_MAX, "more than 100 mailboxes"},
        {"events", HOSTS, "at ", "s b@a.example reads mail\n", STORY_EVENTS_MAX,
         "more than 500 events"},
        {"recipients", sends, ", u", "@b.example", STORY_MESSAGE_RCPTS_MAX - 1,
         "more than 30 recipients of a message"},
        {"words", "mailbox", " ", "", STORY_WORDS_MAX - 1, "more than 80 words in a line"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_error err = {0};
        char *fits = repeat(cases[i].head, cases[i].before, cases[i].most, cases[i].behind);
        char *passes = repeat(cases[i].head, cases[i].before, cases[i].most + 1, cases[i].behind);

        mail_test_case(cases[i].name);
        assert_int_not_equal(story_read(&st, mail_span_text(fits), "s", &err), MAIL_ELIMIT);
        assert_int_equal(story_read(&st, mail_span_text(passes), "s", &err), MAIL_ELIMIT);
        assert_non_null(strstr(err.text, cases[i].why));
        free(fits);
        free(passes);
    }
}

static void limits_the_domains(void **state)
{
    char text[4096] = "";
    size_t used = 0;
    mail_error err = {0};

    (void)state;
    for (unsigned i = 0; i < 13; i++) {
        used += (size_t)snprintf(text + used, sizeof(text) - used,
                                 "host h%u.example for a%u.example, b%u.example, c%u.example, "
                                 "d%u.example, e%u.example\n",
                                 i, i, i, i, i, i);
    }
    assert_int_equal(story_read(&st, mail_span_text(text), "s", &err), MAIL_ELIMIT);
    assert_string_equal(err.text, "s:13: more than 64 domains");
}

static void limits_lines_and_subjects(void **state)
{
    char line[STORY_LINE_MAX + 20];
    char subject[STORY_SUBJECT_SIZE + 1];
    char text[1024];
    mail_error err = {0};

    (void)state;
    memset(line, '#', sizeof(line));
    memcpy(line + STORY_LINE_MAX, "\nuntil 1d", 10);
    read_well(line);
    memmove(line + 1, line, sizeof(line) - 1);
    assert_int_equal(story_read(&st, mail_span_text(line), "s", &err), MAIL_ELIMIT);
    assert_string_equal(err.text, "s:1: a line of more than 1000 octets");

    memset(subject, 'x', STORY_SUBJECT_SIZE);
    subject[STORY_SUBJECT_SIZE] = '\0';
    snprintf(text, sizeof(text), HOSTS "until 1d\nat 0s b@a.example sends \"%s\" to b@a.example",
             subject + 1);
    read_well(text);
    snprintf(text, sizeof(text), HOSTS "until 1d\nat 0s b@a.example sends \"%s\" to b@a.example",
             subject);
    assert_int_equal(story_read(&st, mail_span_text(text), "s", &err), MAIL_ELIMIT);
    assert_string_equal(err.text, "s:4: a subject of more than 199 octets");
}

/* All recipients of all messages stand in one array. */
static void limits_the_recipients_in_all(void **state)
{
    static char text[100 * 1024];
    size_t used = (size_t)snprintf(text, sizeof(text), HOSTS "until 1d\n");
    mail_error err = {0};

    (void)state;
    for (unsigned i = 0; i <= STORY_RCPTS_MAX / 25; i++) {
        if (i == STORY_RCPTS_MAX / 25) {
            read_well(text);
            assert_int_equal(st.rcpt_count, STORY_RCPTS_MAX);
        }
        used += (size_t)snprintf(text + used, sizeof(text) - used,
                                 "at 0s b@a.example sends \"x\" to u@b.example");
        for (unsigned k = 1; k < 25; k++) {
            used += (size_t)snprintf(text + used, sizeof(text) - used, ", u%u@b.example", k);
        }
        used += (size_t)snprintf(text + used, sizeof(text) - used, "\n");
    }
    assert_int_equal(story_read(&st, mail_span_text(text), "s", &err), MAIL_ELIMIT);
    assert_string_equal(err.text, "s:84: more than 2000 recipients in all");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_who_there_is),
        cmocka_unit_test(reads_what_happens_in_order_of_time),
        cmocka_unit_test(says_what_it_does_not_understand),
        cmocka_unit_test(has_limits),
        cmocka_unit_test(limits_the_domains),
        cmocka_unit_test(limits_lines_and_subjects),
        cmocka_unit_test(limits_the_recipients_in_all),
    };

    return mail_test_run(tests);
}
