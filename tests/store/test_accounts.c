/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <crypt.h>
#include <unistd.h>

#include <mail/accounts.h>

/* RFC 7677, section 3: the password is "pencil". */
#define SCRAM                                                                                      \
    "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,"                                                \
    "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

static mail_accounts *parse(const char *text)
{
    mail_accounts *accounts;
    mail_error err;

    if (mail_accounts_parse(&accounts, mail_span_text(text), "users", NULL, &err) != MAIL_OK) {
        fail_msg("%s", err.text);
    }
    return accounts;
}

static const mail_account *find(const mail_accounts *accounts, const char *address)
{
    mail_path path;

    assert_int_equal(
        mail_path_from_text(mail_span_text(address), MAIL_PATH_UTF8 | MAIL_PATH_BARE, &path),
        MAIL_OK);
    return mail_accounts_find(accounts, &path);
}

static void reads_accounts_and_skips_the_rest(void **state)
{
    mail_accounts *accounts = parse("# users\r\n"
                                    "\n"
                                    "  alice@example.org:{PLAIN}secret:/srv/mail/a:b  \r\n"
                                    "\t# bob:{PLAIN}x\n"
                                    "carol:{PLAIN}#x\n"
                                    "dave@[IPv6:::1]:{PLAIN}x:box\n"
                                    "last@b\xc3\xbc"
                                    "cher.example:*");
    const mail_account *account;

    (void)state;
    assert_int_equal(mail_accounts_count(accounts), 4);
    account = find(accounts, "alice@example.org");
    assert_non_null(account);
    assert_string_equal(account->mailbox, "/srv/mail/a:b");
    assert_span_equal(mail_path_text(&account->name), "alice@example.org");
    assert_string_equal(find(accounts, "dave@[IPv6:::1]")->mailbox, "box");
    assert_null(find(accounts, "last@xn--bcher-kva.example")->mailbox);
    mail_accounts_unref(accounts);
}

static void finds_addresses_without_regard_to_case(void **state)
{
    mail_accounts *accounts = parse("Alice@Example.org:*\nbob:*\nbob@example.org:*:own\n");

    (void)state;
    assert_non_null(find(accounts, "alice@EXAMPLE.ORG"));
    assert_non_null(find(accounts, "ALICE@example.org"));
    assert_null(find(accounts, "alice@example.com"));
    assert_null(find(accounts, "alice"));
    assert_null(find(accounts, "al"));
    assert_non_null(find(accounts, "Bob@anything.example")); /* a bare name, in every domain */
    assert_string_equal(find(accounts, "bob@example.org")->mailbox, "own");
    mail_accounts_unref(accounts);
}

static void says_what_is_wrong_and_where(void **state)
{
    static const struct {
        const char *text;
        const char *want;
    } cases[] = {
        {"\n\nalice", "users:3: not NAME:SECRET[:MAILBOX]"},
        {":x", "users:1: the name is neither an address nor a login name"},
        {"a b:{PLAIN}x", "users:1: the name is neither an address nor a login name"},
        {"a@b@c:{PLAIN}x", "users:1: the name is neither an address nor a login name"},
        {"a:secret", "users:1: the secret is neither a crypt(3) hash nor {PLAIN}, {SCRAM-SHA-256} "
                     "or {EXTERNAL}"},
        {"a:", "users:1: the secret is neither a crypt(3) hash nor {PLAIN}, {SCRAM-SHA-256} or "
               "{EXTERNAL}"},
        {"a:{PLAIN}", "users:1: an empty password"},
        {"a:{PLAIN}x:", "users:1: the path of the mailbox is empty or too long"},
        {"a:$0$x", "users:1: not a hash that crypt(3) knows here"},
        {"a:{SCRAM-SHA-256}4096,x",
         "users:1: SCRAM-SHA-256 needs iterations,salt,storedkey,serverkey"},
        {"a:{SCRAM-SHA-256}0,QQ==,QQ==,QQ==",
         "users:1: SCRAM-SHA-256 needs iterations,salt,storedkey,serverkey"},
        {"a:{SCRAM-SHA-256}99999999999999999999,QQ==,QQ==,QQ==",
         "users:1: SCRAM-SHA-256 needs iterations,salt,storedkey,serverkey"},
        {"a:*\nb:*\nA:*", "users:3: A stands in line 1 already"},
        {"a@x.example:*\na@X.Example:*", "users:2: a@X.Example stands in line 1 already"},
        {"a:{PLAIN}x\033", "users:1: control character"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_accounts *accounts;
        mail_error err;

        mail_test_case(cases[i].text);
        assert_int_equal(
            mail_accounts_parse(&accounts, mail_span_text(cases[i].text), "users", NULL, &err),
            MAIL_EINVAL);
        assert_string_equal(err.text, cases[i].want);
    }
    assert_int_equal(mail_accounts_parse(&(mail_accounts *){NULL}, MAIL_SPAN("a:{PLAIN}x\0y"),
                                         "users", NULL, NULL),
                     MAIL_EINVAL);
}

static void checks_passwords_of_every_kind(void **state)
{
    char long_password[600];
    char text[4096];
    struct crypt_data data = {0};
    mail_accounts *accounts;
    const mail_account *account;

    (void)state;
    memset(long_password, 'p', sizeof(long_password));
    snprintf(text, sizeof(text),
             "plain:{PLAIN}se cret\nhash:%s\nscram:" SCRAM "\nnone:*\ncard:{EXTERNAL}\n",
             crypt_rn("geheim", "$6$rounds=1000$salt$", &data, sizeof(data)));
    accounts = parse(text);
    const struct {
        const char *name;
        mail_span password;
        int want;
    } cases[] = {
        {"plain", MAIL_SPAN("se cret"), MAIL_OK},
        {"PLAIN", MAIL_SPAN("se cret"), MAIL_OK},
        {"plain", MAIL_SPAN("se cre"), MAIL_EPERM},
        {"plain", MAIL_SPAN("se crett"), MAIL_EPERM},
        {"plain", MAIL_SPAN("se cretse cret"), MAIL_EPERM},
        {"plain", MAIL_SPAN("Se cret"), MAIL_EPERM},
        {"plain", MAIL_SPAN("se cret\0x"), MAIL_EPERM},
        {"plain", MAIL_SPAN(""), MAIL_EPERM},
        {"hash", MAIL_SPAN("geheim"), MAIL_OK},
        {"hash", MAIL_SPAN("geheim "), MAIL_EPERM},
        {"hash", MAIL_SPAN("geheim\0"), MAIL_EPERM},
        {"hash", MAIL_SPAN(""), MAIL_EPERM},
        {"hash", {long_password, sizeof(long_password)}, MAIL_EPERM},
        {"scram", MAIL_SPAN("pencil"), MAIL_OK},
        {"scram", MAIL_SPAN("Pencil"), MAIL_EPERM},
        {"none", MAIL_SPAN("*"), MAIL_EPERM},
        {"none", MAIL_SPAN(""), MAIL_EPERM},
        {"card", MAIL_SPAN("{EXTERNAL}"), MAIL_EPERM},
        {"card", MAIL_SPAN(""), MAIL_EPERM},
        {"nobody", MAIL_SPAN("se cret"), MAIL_EPERM},
        {"not a name", MAIL_SPAN("se cret"), MAIL_EPERM},
        {"", MAIL_SPAN(""), MAIL_EPERM},
    };
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_test_case(cases[i].name);
        account = NULL;
        assert_int_equal(mail_accounts_verify(accounts, mail_span_text(cases[i].name),
                                              cases[i].password, &account),
                         cases[i].want);
        assert_int_equal(account != NULL, cases[i].want == MAIL_OK);
    }
    mail_accounts_unref(accounts);
}

/* HOSTILE 9: measured in hashes, not in time: an unknown name costs one like a known one. */
static void hashes_for_unknown_names_too(void **state)
{
    static const char *const names[] = {"alice", "nobody", "not a name", "none", "card"};
    struct crypt_data data = {0};
    char text[256];

    (void)state;
    snprintf(text, sizeof(text), "none:*\ncard:{EXTERNAL}\nalice:%s\nother:*\n",
             crypt_rn("geheim", "$6$rounds=1000$salt$", &data, sizeof(data)));
    for (size_t i = 0; i < MAIL_COUNT(names); i++) {
        const mail_account *account;
        mail_accounts *accounts;
        mail_test_walk walk;
        size_t before;

        mail_test_mem_init(&walk);
        assert_int_equal(
            mail_accounts_parse(&accounts, mail_span_text(text), "users", &walk.mem, NULL),
            MAIL_OK);
        before = walk.count;
        assert_int_equal(
            mail_accounts_verify(accounts, mail_span_text(names[i]), MAIL_SPAN("wrong"), &account),
            MAIL_EPERM);
        assert_int_equal(walk.count, before + 1); /* the scratch space of crypt(3) */
        mail_accounts_unref(accounts);
        mail_test_mem_check(&walk);
    }
}

static void lives_until_its_last_holder_lets_go(void **state)
{
    mail_accounts *accounts = parse("a:{PLAIN}x\n");
    const mail_account *account;

    (void)state;
    assert_ptr_equal(mail_accounts_ref(accounts), accounts);
    mail_accounts_unref(accounts);
    assert_int_equal(mail_accounts_verify(accounts, MAIL_SPAN("a"), MAIL_SPAN("x"), &account),
                     MAIL_OK);
    mail_accounts_unref(accounts);
    accounts = parse("");
    assert_int_equal(mail_accounts_verify(accounts, MAIL_SPAN("a"), MAIL_SPAN("x"), &account),
                     MAIL_EPERM);
    mail_accounts_unref(accounts);
    mail_accounts_unref(NULL);
}

static void finds_mailboxes(void **state)
{
    mail_accounts *accounts = parse("a@example.org:*\nb:*\nc@example.org:*:/srv/c\n");
    char path[MAIL_MAILBOX_PATH_SIZE];

    (void)state;
    assert_int_equal(mail_account_mailbox(find(accounts, "a@example.org"), "mail", path), MAIL_OK);
    assert_string_equal(path, "mail/example.org/a");
    assert_int_equal(mail_account_mailbox(find(accounts, "b@x.example"), "mail", path), MAIL_OK);
    assert_string_equal(path, "mail/b");
    assert_int_equal(mail_account_mailbox(find(accounts, "c@example.org"), "mail", path), MAIL_OK);
    assert_string_equal(path, "/srv/c");
    mail_accounts_unref(accounts);
}

static void loads_a_file(void **state)
{
    char *dir = mail_test_make_dir();
    char path[4096];
    mail_accounts *accounts;
    mail_error err;
    FILE *file;

    (void)state;
    snprintf(path, sizeof(path), "%s/users", dir);
    assert_int_equal(mail_accounts_load(&accounts, path, NULL, &err), MAIL_ENOENT);
    assert_non_null(strstr(err.text, "users: not found"));
    file = fopen(path, "w");
    assert_non_null(file);
    fputs("a:{PLAIN}x\nb", file);
    fclose(file);
    assert_int_equal(mail_accounts_load(&accounts, path, NULL, &err), MAIL_EINVAL);
    assert_non_null(strstr(err.text, "users:2: not NAME:SECRET"));
    assert_int_equal(truncate(path, 11), 0);
    assert_int_equal(mail_accounts_load(&accounts, path, NULL, &err), MAIL_OK);
    assert_int_equal(mail_accounts_count(accounts), 1);
    mail_accounts_unref(accounts);
    mail_test_remove_dir(dir);
}

static void fails_cleanly_without_memory(void **state)
{
    static const char text[] = "a:{PLAIN}x\nb:$6$rounds=1000$salt$abc\nc:*\nd:*\ne:*\nf:*\ng:*\n"
                               "h:*\ni:*\nj:*\n";

    (void)state;
    MAIL_TEST_WALK(walk)
    {
        mail_accounts *accounts = NULL;
        const mail_account *account;
        int code = mail_accounts_parse(&accounts, MAIL_SPAN(text), "users", &walk.mem, NULL);

        if (code == MAIL_OK) {
            code = mail_accounts_verify(accounts, MAIL_SPAN("b"), MAIL_SPAN("x"), &account);
            code = code == MAIL_EPERM ? MAIL_OK : code;
        }
        assert_int_equal(code, walk.failed && code != MAIL_OK ? MAIL_ENOMEM : MAIL_OK);
        mail_accounts_unref(accounts);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_accounts_and_skips_the_rest),
        cmocka_unit_test(finds_addresses_without_regard_to_case),
        cmocka_unit_test(says_what_is_wrong_and_where),
        cmocka_unit_test(checks_passwords_of_every_kind),
        cmocka_unit_test(hashes_for_unknown_names_too),
        cmocka_unit_test(lives_until_its_last_holder_lets_go),
        cmocka_unit_test(finds_mailboxes),
        cmocka_unit_test(loads_a_file),
        cmocka_unit_test(fails_cleanly_without_memory),
    };

    return mail_test_run(tests);
}
