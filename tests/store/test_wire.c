/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include "store/wire.h"

static const struct {
    const char *name;
    const char *wire;
    const char *disk;
    const char *back; /* NULL: as `wire` */
} forms[] = {
    {"nothing", "", "", NULL},
    {"one line", "a\r\n", "a\n", NULL},
    {"lines and empty lines", "a\r\n\r\nb\r\n\r\n", "a\n\nb\n\n", NULL},
    {"no end of the last line", "a\r\nb", "a\nb\n", "a\r\nb\r\n"},
    {"a bare CR", "a\rb\r\n", "a\rb\n", NULL},
    {"a bare CR before a CRLF", "a\r\r\nb\r\n", "a\r\r\nb\n", NULL},
    {"many CRs before an LF", "\r\r\r\r\n\r\n", "\r\r\r\r\n\n", NULL},
    {"a bare CR at the end", "a\r", "a\r\n", "a\r\n"},
    {"two bare CRs at the end", "a\r\r", "a\r\r\n", "a\r\r\n"},
    {"bare LFs", "a\nb\n\n", "a\nb\n\n", "a\r\nb\r\n\r\n"},
    {"an LF first", "\na\r\n", "\na\n", "\r\na\r\n"},
    {"only a CRLF", "\r\n", "\n", NULL},
    {"dots stay dots", ".\r\n..\r\n", ".\n..\n", NULL},
};

/* In two pieces, the first of `cut` octets; returns the length. */
static size_t write_cut(mail_span in, size_t cut, char *out, uint64_t *wire_size)
{
    wire_writer writer = {0};
    size_t n = wire_writer_put(&writer, mail_span_first(in, cut), out);

    n += wire_writer_put(&writer, mail_span_from(in, cut), out + n);
    n += wire_writer_end(&writer, out + n);
    *wire_size = writer.wire_size;
    return n;
}

static size_t read_cut(mail_span in, size_t cut, char *out)
{
    wire_reader reader = {0};
    size_t n = wire_reader_put(&reader, mail_span_first(in, cut), out);

    n += wire_reader_put(&reader, mail_span_from(in, cut), out + n);
    n += wire_reader_end(&reader, out + n);
    return n;
}

/* MD-006, PO-009: what came in goes out, with the size that was told, however it is cut. */
static void turns_each_form_into_the_other(void **state)
{
    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(forms); i++) {
        mail_span wire = mail_span_text(forms[i].wire);
        mail_span disk = mail_span_text(forms[i].disk);
        const char *back = forms[i].back != NULL ? forms[i].back : forms[i].wire;
        char out[64];
        uint64_t size;

        mail_test_case(forms[i].name);
        for (size_t cut = 0; cut <= wire.length; cut++) {
            assert_span_equal(mail_span_of(out, write_cut(wire, cut, out, &size)), forms[i].disk);
            assert_int_equal(size, strlen(back));
        }
        for (size_t cut = 0; cut <= disk.length; cut++) {
            assert_span_equal(mail_span_of(out, read_cut(disk, cut, out)), back);
        }
    }
}

static void does_not_double_the_cr_of_foreign_files(void **state)
{
    char out[32];

    (void)state;
    assert_span_equal(mail_span_of(out, read_cut(MAIL_SPAN("a\r\nb\nc"), 2, out)),
                      "a\r\nb\r\nc\r\n");
}

/* The source reads into the back half of a block and converts to its front. */
static void reads_in_place(void **state)
{
    char block[8] = "....\n\n\n\n";
    wire_reader reader = {0};

    (void)state;
    assert_int_equal(wire_reader_put(&reader, mail_span_of(block + 4, 4), block), 8);
    assert_memory_equal(block, "\r\n\r\n\r\n\r\n", 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turns_each_form_into_the_other),
        cmocka_unit_test(does_not_double_the_cr_of_foreign_files),
        cmocka_unit_test(reads_in_place),
    };

    return mail_test_run(tests);
}
