/* SPDX-License-Identifier: MIT */
#include "smtp/orcpt.h"

#include "support/support.h"

/* SX-018, SX-019, RFC 6533, section 3. */
static void judges_values_of_orcpt(void **state)
{
    static const struct {
        const char *text;
        bool utf8;
        bool want;
    } cases[] = {
        {"rfc822;bob@d.example", false, true},
        {"RFC822;bob+2Btag@d.example", false, true},
        {"x-strange;anything", false, true},
        {"x.strange;anything", false, false}, /* an atom has no dots */
        {"utf-8;bob@d.example", false, true},
        {"utf-8;j\\x{FC}rgen@d.example", false, true},
        {"UTF-8;\\x{20}\\x{2B}\\x{3D}\\x{5C}", false, true},
        {"utf-8;\\x{1F600}", false, true},
        {"utf-8;\\x{10FFFF}", false, true},
        {"utf-8;j\xc3\xbcrgen@d.example", true, true},
        {"utf-8;j\xc3\xbcrgen@d.example", false, false},
        {"utf-8;j\xfcrgen@d.example", true, false},
        {"utf-8;\xed\xa0\x80", true, false},
        {"utf-8;\\x{D800}", false, false},
        {"utf-8;\\x{110000}", false, false},
        {"utf-8;\\x{41}", false, false}, /* A stands as A */
        {"utf-8;\\x{0A}", false, false}, /* no controls */
        {"utf-8;\\x{00}", false, false},
        {"utf-8;\\x{0FC}", false, false}, /* no needless zeros */
        {"utf-8;\\x{fc}", false, false},
        {"utf-8;\\x{FC", false, false},
        {"utf-8;\\x{}", false, false},
        {"utf-8;\\x{F}", false, false},
        {"utf-8;\\x{1234567}", false, false},
        {"utf-8;a+b", false, false},
        {"utf-8;a=b", false, false},
        {"utf-8;\\", false, false},
        {"utf-8;", false, false},
        {"rfc822;j\xc3\xbcrgen", true, false},
        {"rfc822;a+0D+0A", false, false},
        {"rfc822;a+", false, false},
        {"rfc822;", false, false},
        {"rfc 822;a", false, false},
        {";a", false, false},
        {"rfc822", false, false},
        {"", false, false},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_test_case(cases[i].text);
        assert_int_equal(orcpt_is_valid(mail_span_text(cases[i].text), cases[i].utf8),
                         cases[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judges_values_of_orcpt),
    };

    return mail_test_run(tests);
}
