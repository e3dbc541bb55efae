/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <mail/aliases.h>

#include "base/buffer.h"

static const mail_span local[] = {{"example.org", 11},
                                  {"B\xc3\xbc"
                                   "cher.example",
                                   15}};

static mail_aliases *read_good(const char *text)
{
    mail_aliases *aliases;
    mail_error err = {.text = ""};

    if (mail_aliases_read(&aliases, mail_span_text(text), "aliases", local, MAIL_COUNT(local), NULL,
                          &err) != MAIL_OK) {
        fail_msg("%s", err.text);
    }
    return aliases;
}

/* The targets of an address, joined by blanks; "-" where it is no alias. */
static const char *targets_of(const mail_aliases *aliases, const char *address, char *out)
{
    const mail_alias *alias;
    mail_path path;

    assert_int_equal(
        mail_path_from_text(mail_span_text(address), MAIL_PATH_UTF8 | MAIL_PATH_BARE, &path),
        MAIL_OK);
    alias = mail_aliases_find(aliases, &path);
    strcpy(out, alias != NULL ? "" : "-");
    for (size_t i = 0; alias != NULL && i < alias->count; i++) {
        sprintf(out + strlen(out), "%s%.*s", i > 0 ? " " : "", (int)alias->targets[i].length,
                alias->targets[i].data);
    }
    return out;
}

static void finds_what_an_address_stands_for(void **state)
{
    static const char text[] = "# a comment\n"
                               "\n"
                               "Postmaster: root\r\n"
                               "root: Admin@Example.NET\n"
                               "team: anna, bob@example.org,\n"
                               "   carl@elsewhere.example , anna\n"
                               "all: team, postmaster\n"
                               "bob: bob, bob@backup.example\n"
                               "list@example.org: dora\n"
                               "\"odd, name\": \"even: odder\"@example.net\n"
                               "special@other.example: eve\n"
                               "j\xc3\xbcrgen: j@example.net\n";
    static const struct {
        const char *address;
        const char *want;
    } cases[] = {
        {"postmaster@example.org", "Admin@example.net"},
        {"POSTMASTER@EXAMPLE.ORG", "Admin@example.net"},
        {"root@xn--bcher-kva.example", "Admin@example.net"},
        {"root", "Admin@example.net"},
        {"root@elsewhere.example", "-"},
        {"team@example.org", "anna bob bob@backup.example carl@elsewhere.example"},
        {"all@example.org", "anna bob bob@backup.example carl@elsewhere.example Admin@example.net"},
        {"bob@example.org", "bob bob@backup.example"},
        {"bob@backup.example", "-"},
        {"list@example.org", "dora"},
        {"list@b\xc3\xbc"
         "cher.example",
         "-"},
        {"list", "-"},
        {"\"odd, name\"@example.org", "\"even: odder\"@example.net"},
        {"special@other.example", "eve"},
        {"j\xc3\xbcrgen@example.org", "j@example.net"},
        {"nobody@example.org", "-"},
    };
    mail_aliases *aliases = read_good(text);
    char out[512];

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_test_case(cases[i].address);
        assert_string_equal(targets_of(aliases, cases[i].address, out), cases[i].want);
    }
    mail_aliases_destroy(aliases);
}

static void takes_an_empty_file(void **state)
{
    mail_aliases *aliases = read_good("");
    char out[8];

    (void)state;
    assert_string_equal(targets_of(aliases, "a@example.org", out), "-");
    mail_aliases_destroy(aliases);
}

static void lets_a_name_mean_its_own_mailbox(void **state)
{
    mail_aliases *aliases = read_good("bob: bob@example.org, x@example.net\nc: bob\n");
    char out[128];

    (void)state;
    assert_string_equal(targets_of(aliases, "bob@example.org", out),
                        "bob@example.org x@example.net");
    assert_string_equal(targets_of(aliases, "c@example.org", out), "bob@example.org x@example.net");
    mail_aliases_destroy(aliases);
}

static void refuses_what_it_cannot_mean(void **state)
{
    static const struct {
        const char *text;
        const char *err;
    } cases[] = {
        {"a: b\nb: a\n", "this alias leads back to itself"},
        {"a: b@example.org\nb: c\nc: x, a@example.org\n", "this alias leads back to itself"},
        {"\n\nno colon\n", "aliases:3: an alias is `name: target`"},
        {"a:\n", "aliases:1: no target stands there"},
        {"a: ,\n", "aliases:1: this is no address"},
        {"a: b,,c\n", "aliases:1: this is no address"},
        {"a b: c\n", "aliases:1: this is no address"},
        {": c\n", "aliases:1: this is no address"},
        {"a: b@\n", "aliases:1: this is no address"},
        {"a: |/bin/sh\n", "aliases:1: programs, files and includes are no targets here"},
        {"a: /dev/null\n", "aliases:1: programs, files and includes are no targets here"},
        {"a: :include:/x\n", "aliases:1: programs, files and includes are no targets here"},
        {"x: y\nA: b\na: c\n", "aliases:3: this name has stood there before"},
        {" a: b\n", "aliases:1: there is no alias that this could go on with"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_aliases *aliases = NULL;
        mail_error err = {.text = ""};

        mail_test_case(cases[i].text);
        assert_int_equal(mail_aliases_read(&aliases, mail_span_text(cases[i].text), "aliases",
                                           local, MAIL_COUNT(local), NULL, &err),
                         MAIL_EINVAL);
        assert_non_null(strstr(err.text, cases[i].err));
        assert_memory_equal(err.text, "aliases:", 8);
    }
}

static void refuses_a_chain_without_end(void **state)
{
    char text[4096] = "";
    mail_aliases *aliases;

    (void)state;
    for (int i = 0; i < 100; i++) {
        sprintf(text + strlen(text), "n%d: n%d\n", i, i + 1);
    }
    assert_int_equal(
        mail_aliases_read(&aliases, mail_span_text(text), "aliases", NULL, 0, NULL, NULL),
        MAIL_EINVAL);
}

/* `all` for so many, and as many names as are asked for that stand for all of them. */
#define LIST 20000

static void write_lists(buffer *text, int names)
{
    assert_int_equal(buffer_append(text, MAIL_SPAN("all: u0@far.example")), MAIL_OK);
    for (int i = 1; i < LIST; i++) {
        assert_int_equal(buffer_printf(text, ", u%d@far.example", i), MAIL_OK);
    }
    for (int i = 0; i < names; i++) {
        assert_int_equal(buffer_printf(text, "\nn%d: all, u7@far.example", i), MAIL_OK);
    }
}

static void takes_long_lists_within_its_means(void **state)
{
    static const struct {
        const char *name;
        int names;
        int code;
    } cases[] = {{"a long list", 2, MAIL_OK}, {"too many of it", 200, MAIL_EINVAL}};

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_aliases *aliases = NULL;
        mail_error err = {.text = ""};
        mail_test_walk walk;
        buffer text;

        mail_test_case(cases[i].name);
        buffer_init(&text, NULL, SIZE_MAX / 2);
        write_lists(&text, cases[i].names);
        mail_test_mem_init(&walk);
        assert_int_equal(mail_aliases_read(&aliases, buffer_bytes(&text), "aliases", local,
                                           MAIL_COUNT(local), &walk.mem, &err),
                         cases[i].code);
        assert_in_range(walk.most, 1, (size_t)100 << 20);
        if (aliases != NULL) {
            mail_path path;

            assert_int_equal(mail_path_from_text(MAIL_SPAN("n1@example.org"), 0, &path), MAIL_OK);
            assert_int_equal(mail_aliases_find(aliases, &path)->count, LIST);
            mail_aliases_destroy(aliases);
        } else {
            assert_non_null(strstr(err.text, "aliases of aliases stand for too many addresses"));
        }
        mail_test_mem_check(&walk);
        buffer_deinit(&text);
    }
}

static void refuses_a_bad_local_domain(void **state)
{
    const mail_span bad[] = {MAIL_SPAN("not a domain")};
    mail_aliases *aliases;

    (void)state;
    assert_int_equal(mail_aliases_read(&aliases, MAIL_SPAN(""), "aliases", bad, 1, NULL, NULL),
                     MAIL_EINVAL);
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    MAIL_TEST_WALK(walk)
    {
        mail_aliases *aliases = NULL;
        int code = mail_aliases_read(&aliases, MAIL_SPAN("a: b, c@example.net,\n d\nb: e\n"),
                                     "aliases", local, MAIL_COUNT(local), &walk.mem, NULL);

        assert_true(code == MAIL_OK || (walk.failed && code == MAIL_ENOMEM));
        if (code == MAIL_OK) {
            mail_aliases_destroy(aliases);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_an_address_stands_for),
        cmocka_unit_test(takes_an_empty_file),
        cmocka_unit_test(lets_a_name_mean_its_own_mailbox),
        cmocka_unit_test(refuses_what_it_cannot_mean),
        cmocka_unit_test(refuses_a_chain_without_end),
        cmocka_unit_test(takes_long_lists_within_its_means),
        cmocka_unit_test(refuses_a_bad_local_domain),
        cmocka_unit_test(survives_every_failed_allocation),
    };

    return mail_test_run(tests);
}
