/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <mail/address.h>

#define A10 "aaaaaaaaaa"
#define A60 A10 A10 A10 A10 A10 A10
#define U   MAIL_PATH_UTF8
#define N   MAIL_PATH_NULL
#define P   MAIL_PATH_POSTMASTER
#define B   MAIL_PATH_BARE

/* A row: what is parsed and the canonical form, or NULL for a refusal with `code`. */
typedef struct row {
    const char *name;
    const char *in;
    unsigned flags;
    const char *want;
    int code;
} row;

static void check(const row *wanted, int code, const mail_path *path)
{
    assert_int_equal(code, wanted->want != NULL ? MAIL_OK : wanted->code);
    assert_span_equal(mail_path_text(path), wanted->want != NULL ? wanted->want : "");
    assert_int_equal(strlen(path->text), path->length);
}

/* SS-005, SS-019, SS-021, SS-022, SS-025, SS-026, EA-004, EA-005 */
static void reads_paths_into_one_canonical_form(void **state)
{
    static const row rows[] = {
        {"plain", "<a@b.example>", 0, "a@b.example", 0},
        {"case of the local part stays, of the domain goes", "<A.b@B.Example>", 0, "A.b@b.example",
         0},
        {"every atext", "<!#$%&'*+-/=?^_`{|}~@x>", 0, "!#$%&'*+-/=?^_`{|}~@x", 0},
        {"text after it is left", "<a@b> SIZE=1", 0, "a@b", 0},
        {"null", "<>", N, "", 0},
        {"null not allowed", "<>", 0, NULL, MAIL_EINVAL},
        {"postmaster of any case", "<PostMaster>", P, "postmaster", 0},
        {"postmaster not allowed", "<postmaster>", 0, NULL, MAIL_EINVAL},
        {"another name without a domain", "<root>", P, NULL, MAIL_EINVAL},
        {"a bare name", "<root>", B, "root", 0},
        {"needless quotes go", "<\"a.b\"@c>", 0, "a.b@c", 0},
        {"needless backslashes go", "<\"a\\b\\.c\"@d>", 0, "ab.c@d", 0},
        {"an at sign inside quotes", "<\"a@b\"@c>", 0, "\"a@b\"@c", 0},
        {"a blank inside quotes", "<\"a b\"@c>", 0, "\"a b\"@c", 0},
        {"quote and backslash keep theirs", "<\"a\\\"\\\\\"@c>", 0, "\"a\\\"\\\\\"@c", 0},
        {"empty quotes", "<\"\"@c>", 0, "\"\"@c", 0},
        {"a dot at the end must be quoted", "<\"a.\"@c>", 0, "\"a.\"@c", 0},
        {"two dots must be quoted", "<\"a..b\"@c>", 0, "\"a..b\"@c", 0},
        {"quoted postmaster", "<\"postmaster\">", P, "postmaster", 0},
        {"percent hack is a name", "<a%b@c>", 0, "a%b@c", 0},
        {"bang path is a name", "<b!a@c>", 0, "b!a@c", 0},
        {"a leading hyphen is a name", "<-oX/tmp/x@c>", 0, "-oX/tmp/x@c", 0},
        {"shell text in quotes is a name", "<\";rm -rf;\"@c>", 0, "\";rm -rf;\"@c", 0},
        {"back quotes are a name", "<`id`@c>", 0, "`id`@c", 0},
        {"an expansion is a name", "<${run}@c>", 0, "${run}@c", 0},
        {"a path is a name", "<../../etc@c>", 0, NULL, MAIL_EINVAL},
        {"a pipe in quotes is a name", "<\"|cmd\"@c>", 0, "|cmd@c", 0},
        {"an encoded word is a name", "<=?x?q?=41=3d=3d?=@c>", 0, "=?x?q?=41=3d=3d?=@c", 0},
        {"UTF-7 is a name", "<+AGEAYg-@c>", 0, "+AGEAYg-@c", 0},
        {"source route", "<@a,@b.c:d@e>", 0, "d@e", 0},
        {"source route with one host", "<@a:d@e>", 0, "d@e", 0},
        {"source route without a mailbox", "<@a,@b:>", 0, NULL, MAIL_EINVAL},
        {"source route without a colon", "<@a,@b>", 0, NULL, MAIL_EINVAL},
        {"source route with an empty host", "<@:d@e>", 0, NULL, MAIL_EINVAL},
        {"source route with a bad host", "<@-a:d@e>", 0, NULL, MAIL_EINVAL},
        {"source route with a literal", "<@[1.2.3.4]:d@e>", 0, NULL, MAIL_EINVAL},
        {"source route before null", "<@a:<>>", N, NULL, MAIL_EINVAL},
        {"IPv4 literal", "<a@[192.0.2.1]>", 0, "a@[192.0.2.1]", 0},
        {"IPv6 literal", "<a@[ipv6:2001:DB8:0:0::1]>", 0, "a@[IPv6:2001:db8::1]", 0},
        {"IPv4 literal out of range", "<a@[256.1.1.1]>", 0, NULL, MAIL_EINVAL},
        {"IPv4 literal with leading zeros", "<a@[01.1.1.1]>", 0, NULL, MAIL_EINVAL},
        {"IPv6 literal of nonsense", "<a@[IPv6:zz]>", 0, NULL, MAIL_EINVAL},
        {"IPv6 literal without its tag", "<a@[::1]>", 0, NULL, MAIL_EINVAL},
        {"IPv6 literal with a zone", "<a@[IPv6:fe80::1%1]>", 0, NULL, MAIL_EINVAL},
        {"a literal of another tag", "<a@[x:y]>", 0, NULL, MAIL_EINVAL},
        {"literal with text behind", "<a@[1.2.3.4].com>", 0, NULL, MAIL_EINVAL},
        {"unclosed literal", "<a@[1.2.3.4>", 0, NULL, MAIL_EINVAL},
        {"unclosed path", "<a@b", 0, NULL, MAIL_EINVAL},
        {"unclosed quotes", "<\"a@b>", 0, NULL, MAIL_EINVAL},
        {"backslash at the end", "<\"a\\", 0, NULL, MAIL_EINVAL},
        {"backslash outside quotes", "<a\\@b@c>", 0, NULL, MAIL_EINVAL},
        {"no brackets", "a@b", 0, NULL, MAIL_EINVAL},
        {"nothing", "", N, NULL, MAIL_EINVAL},
        {"two at signs", "<a@b@c>", 0, NULL, MAIL_EINVAL},
        {"text between quotes and at", "<\"a\"b@c>", 0, NULL, MAIL_EINVAL},
        {"no local part", "<@c>", 0, NULL, MAIL_EINVAL},
        {"no domain", "<a@>", B, NULL, MAIL_EINVAL},
        {"dot first", "<.a@b>", 0, NULL, MAIL_EINVAL},
        {"dot last", "<a.@b>", 0, NULL, MAIL_EINVAL},
        {"two dots", "<a..b@c>", 0, NULL, MAIL_EINVAL},
        {"comment", "<a(b)@c>", 0, NULL, MAIL_EINVAL},
        {"comment in the domain", "<a@(b)c>", 0, NULL, MAIL_EINVAL},
        {"blank before", "< a@b>", 0, NULL, MAIL_EINVAL},
        {"blank behind", "<a@b >", 0, NULL, MAIL_EINVAL},
        {"blank in the local part", "<a b@c>", 0, NULL, MAIL_EINVAL},
        {"CR in the local part", "<a\r@c>", 0, NULL, MAIL_EINVAL},
        {"LF in quotes", "<\"a\n\"@c>", 0, NULL, MAIL_EINVAL},
        {"escaped LF in quotes", "<\"a\\\n\"@c>", 0, NULL, MAIL_EINVAL},
        {"tab in quotes", "<\"a\t\"@c>", 0, NULL, MAIL_EINVAL},
        {"DEL in quotes", "<\"a\177\"@c>", 0, NULL, MAIL_EINVAL},
        {"trailing dot", "<a@b.>", 0, NULL, MAIL_EINVAL},
        {"leading dot", "<a@.b>", 0, NULL, MAIL_EINVAL},
        {"empty label", "<a@b..c>", 0, NULL, MAIL_EINVAL},
        {"hyphen first", "<a@-b>", 0, NULL, MAIL_EINVAL},
        {"hyphen last", "<a@b-.c>", 0, NULL, MAIL_EINVAL},
        {"underscore", "<a@b_c.d>", 0, "a@b_c.d", 0},
        {"underscore before the last label", "<a@b._d>", 0, NULL, MAIL_EINVAL},
        {"a number for a name", "<a@127.0.0.1>", 0, NULL, MAIL_EINVAL},
        {"a number at the end", "<a@b.1>", 0, NULL, MAIL_EINVAL},
        {"a number at the start", "<a@1.b>", 0, "a@1.b", 0},
        {"A-label of nonsense goes to the DNS as it is", "<a@xn--zzzz99.b>", 0, "a@xn--zzzz99.b",
         0},
        {"label of 63", "<a@" A60 "bbb.c>", 0, "a@" A60 "bbb.c", 0},
        {"label of 64", "<a@" A60 "bbbb.c>", 0, NULL, MAIL_EINVAL},
        {"UTF-8 not allowed", "<\303\274@b>", 0, NULL, MAIL_EINVAL},
        {"UTF-8 domain not allowed", "<a@\303\274.b>", 0, NULL, MAIL_EINVAL},
        {"UTF-8", "<\303\274@b>", U, "\303\274@b", 0},
        {"UTF-8 in quotes", "<\"\303\274 x\"@b>", U, "\"\303\274 x\"@b", 0},
        {"UTF-8 behind a backslash", "<\"\\\303\274\"@b>", U, NULL, MAIL_EINVAL},
        {"UTF-8 overlong", "<\300\257@b>", U, NULL, MAIL_EINVAL},
        {"UTF-8 surrogate", "<\355\240\200@b>", U, NULL, MAIL_EINVAL},
        {"UTF-8 truncated", "<\303@b>", U, NULL, MAIL_EINVAL},
        {"UTF-8 line end (NEL)", "<a\302\205b@c>", U, NULL, MAIL_EINVAL},
        {"U-label", "<a@B\303\234CHER.example>", U, "a@b\303\274cher.example", 0},
        {"sharp s stays", "<a@stra\303\237e.example>", U, "a@stra\303\237e.example", 0},
        {"decomposed U-label", "<a@u\314\210.example>", U, "a@\303\274.example", 0},
        {"U-label beside an A-label", "<a@\303\274.xn--tda>", U, "a@\303\274.\303\274", 0},
        {"full-width letters", "<a@\357\275\202.c>", U, "a@b.c", 0},
        {"full-width at sign", "<a@b\357\274\240\303\274.c>", U, NULL, MAIL_EINVAL},
        {"U-label out of the right-to-left override", "<a@\342\200\256b.c>", U, NULL, MAIL_EINVAL},
        {"U-label of broken UTF-8", "<a@\303.c>", U, NULL, MAIL_EINVAL},
        {"U-label too long as A-label", "<a@\303\274" A60 ".c>", U, NULL, MAIL_EINVAL},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        mail_path path;
        size_t used = 0;
        int code;

        mail_test_case(rows[i].name);
        code = mail_path_parse(mail_span_text(rows[i].in), rows[i].flags, &path, &used);
        check(&rows[i], code, &path);
        if (code == MAIL_OK) {
            assert_int_equal(used, strchr(rows[i].in, '>') - rows[i].in + 1);
        }
    }
}

static void reads_addresses_without_brackets(void **state)
{
    static const row rows[] = {
        {"plain", "a@b", 0, "a@b", 0},
        {"brackets", "<a@b>", 0, NULL, MAIL_EINVAL},
        {"text behind", "a@b ", 0, NULL, MAIL_EINVAL},
        {"two", "a@b,c@d", 0, NULL, MAIL_EINVAL},
        {"CRLF behind", "a@b\r\n", 0, NULL, MAIL_EINVAL},
        {"a name alone", "root", B, "root", 0},
        {"a name alone, not allowed", "root", 0, NULL, MAIL_EINVAL},
        {"nothing", "", 0, NULL, MAIL_EINVAL},
        {"nothing is null", "", N, "", 0},
        {"source route", "@a:b@c", 0, NULL, MAIL_EINVAL},
        {"UTF-8", "\303\274@\303\274.b", U, "\303\274@\303\274.b", 0},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        mail_path path;
        int code;

        mail_test_case(rows[i].name);
        code = mail_path_from_text(mail_span_text(rows[i].in), rows[i].flags, &path);
        check(&rows[i], code, &path);
    }
}

/* SS-040, SS-043 */
static void holds_to_the_limits_to_the_octet(void **state)
{
    static const struct {
        const char *name;
        size_t local;
        size_t labels; /* of 9 letters and a dot, before the last, .org */
        unsigned extra;
        int want;
    } rows[] = {
        {"local part of 64", 64, 1, 0, MAIL_OK},
        {"local part of 65", 65, 1, 0, MAIL_ELIMIT},
        {"path of 254", 60, 19, 0, MAIL_OK},
        {"path of 255", 61, 19, 0, MAIL_ELIMIT},
        {"domain of 253", 1, 25, 0, MAIL_ELIMIT},
        {"domain past 255", 1, 26, 0, MAIL_ELIMIT},
        {"a thousand labels", 1, 1000, 0, MAIL_ELIMIT},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        static char in[20000];
        size_t length = 0;
        mail_path path;

        mail_test_case(rows[i].name);
        memset(in, 'a', rows[i].local);
        length = rows[i].local;
        in[length++] = '@';
        for (size_t label = 0; label < rows[i].labels; label++) {
            memcpy(in + length, "bbbbbbbbb.", 10);
            length += 10;
        }
        memcpy(in + length, "org", 3);
        length += 3;
        assert_int_equal(mail_path_from_text(mail_span_of(in, length), 0, &path), rows[i].want);
    }
}

static void refuses_nul_everywhere(void **state)
{
    static const char good[] = "<\"a b\"@c.de>";

    (void)state;
    for (size_t i = 0; i < sizeof(good) - 1; i++) {
        char in[sizeof(good)];
        mail_path path;
        size_t used;

        memcpy(in, good, sizeof(good));
        in[i] = '\0';
        assert_int_equal(mail_path_parse(mail_span_of(in, sizeof(good) - 1), U, &path, &used),
                         MAIL_EINVAL);
    }
}

static void reads_its_own_form_again_as_the_same(void **state)
{
    static const char *const texts[] = {
        "\"a\\\"b\\\\ \"@c",
        "\"\"@[IPv6:::1]",
        "\303\274@\303\274.example",
        "a+b@c.example",
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(texts); i++) {
        mail_path path;

        assert_int_equal(mail_path_from_text(mail_span_text(texts[i]), U, &path), MAIL_OK);
        assert_span_equal(mail_path_text(&path), texts[i]);
    }
}

static void knows_its_parts(void **state)
{
    char local[MAIL_PATH_MAX + 1];
    mail_path path;

    (void)state;
    assert_int_equal(mail_path_from_text(MAIL_SPAN("\"a\\\"@ b\"@c.d"), 0, &path), MAIL_OK);
    assert_span_equal(mail_path_local(&path), "\"a\\\"@ b\"");
    assert_span_equal(mail_path_domain(&path), "c.d");
    assert_int_equal(mail_path_local_unquoted(&path, local), 5);
    assert_string_equal(local, "a\"@ b");
    assert_false(path.is_utf8);
    assert_int_equal(mail_path_from_text(MAIL_SPAN("a@[1.2.3.4]"), 0, &path), MAIL_OK);
    assert_true(path.is_literal);
    assert_int_equal(mail_path_from_text(MAIL_SPAN("root"), B, &path), MAIL_OK);
    assert_int_equal(mail_path_domain(&path).length, 0);
    assert_int_equal(mail_path_local_unquoted(&path, local), 4);
    assert_int_equal(mail_path_from_text(MAIL_SPAN("a@\303\274.b"), U, &path), MAIL_OK);
    assert_true(path.is_utf8);
}

/* EA-005 */
static void compares_domains_as_a_labels_and_local_parts_to_the_octet(void **state)
{
    static const struct {
        const char *a;
        const char *b;
        bool want;
    } rows[] = {
        {"a@b.c", "a@B.C", true},
        {"a@b.c", "A@b.c", false},
        {"a@b\303\274.c", "a@xn--b-eha.c", true},
        {"a@b\303\274.c", "a@bu.c", false},
        {"\"a\"@b", "a@b", true},
        {"a@[IPv6:0::1]", "a@[IPv6:::1]", true},
        {"a", "a@b", false},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        mail_path a;
        mail_path b;

        mail_test_case(rows[i].a);
        assert_int_equal(mail_path_from_text(mail_span_text(rows[i].a), U | B, &a), MAIL_OK);
        assert_int_equal(mail_path_from_text(mail_span_text(rows[i].b), U | B, &b), MAIL_OK);
        assert_int_equal(mail_path_equal(&a, &b), rows[i].want);
        assert_int_equal(mail_path_equal(&b, &a), rows[i].want);
    }
}

/* MX-013, MX-014 */
static void turns_domains_into_their_dns_form(void **state)
{
    static const struct {
        const char *in;
        const char *want;
    } rows[] = {
        {"Example.ORG", "example.org"},
        {"example.org.", "example.org"},
        {"_dmarc.example", "_dmarc.example"},
        {"b\303\274cher.example", "xn--bcher-kva.example"},
        {"stra\303\237e.de", "xn--strae-oqa.de"},
        {"localhost", "localhost"},
        {"", NULL},
        {".", NULL},
        {"a..", NULL},
        {"a b", NULL},
        {"a/b", NULL},
        {"[127.0.0.1]", NULL},
        {"127.0.0.1", NULL},
        {"a\r\n.b", NULL},
        {"\377.b", NULL},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(rows); i++) {
        char out[MAIL_DOMAIN_SIZE];
        int code = mail_domain_to_ascii(mail_span_text(rows[i].in), out);

        mail_test_case(rows[i].in);
        assert_int_equal(code, rows[i].want != NULL ? MAIL_OK : MAIL_EINVAL);
        if (rows[i].want != NULL) {
            assert_string_equal(out, rows[i].want);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_paths_into_one_canonical_form),
        cmocka_unit_test(reads_addresses_without_brackets),
        cmocka_unit_test(holds_to_the_limits_to_the_octet),
        cmocka_unit_test(refuses_nul_everywhere),
        cmocka_unit_test(reads_its_own_form_again_as_the_same),
        cmocka_unit_test(knows_its_parts),
        cmocka_unit_test(compares_domains_as_a_labels_and_local_parts_to_the_octet),
        cmocka_unit_test(turns_domains_into_their_dns_form),
    };

    return mail_test_run(tests);
}
