/* SPDX-License-Identifier: MIT */
/*
 * Reads the input as a message. The first octet says where it is cut for the scanner,
 * which must find the same whatever the cut; fields must lie end to end; every
 * address read must be in canonical form.
 */
#include <stdlib.h>

#include <mail/compose.h>
#include <mail/date.h>
#include <mail/header.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static mail_scan scan_in_slices(mail_span in, size_t slice)
{
    mail_scan scan;

    mail_scan_init(&scan);
    while (in.length > 0) {
        size_t n = slice < in.length ? slice : in.length;

        mail_scan_feed(&scan, mail_span_first(in, n));
        in = mail_span_from(in, n);
    }
    mail_scan_end(&scan);
    return scan;
}

static void check_scan(mail_span in, size_t slice)
{
    mail_scan whole = scan_in_slices(in, in.length);
    mail_scan cut = scan_in_slices(in, slice);

    require(whole.size == cut.size && whole.header_size == cut.header_size);
    require(whole.received == cut.received && whole.in_body == cut.in_body);
    require(whole.has_8bit == cut.has_8bit && whole.has_8bit_header == cut.has_8bit_header);
    require(whole.has_bad_utf8_header == cut.has_bad_utf8_header);
    require(whole.has_nul == cut.has_nul);
    require(whole.has_bare_cr == cut.has_bare_cr && whole.has_bare_lf == cut.has_bare_lf);
}

static void check_mailboxes(mail_span value, unsigned flags)
{
    mail_address_reader reader;
    mail_address mailbox;
    size_t left = value.length;
    int code;

    mail_address_reader_init(&reader, value, flags);
    while ((code = mail_address_reader_next(&reader, &mailbox)) != MAIL_ENOENT) {
        mail_path again;

        require(reader.rest.length < left);
        left = reader.rest.length;
        if (code == MAIL_OK) {
            require(mail_path_from_text(mail_path_text(&mailbox.path), flags, &again) == MAIL_OK);
            require(mail_span_equal(mail_path_text(&mailbox.path), mail_path_text(&again)));
            require(mailbox.display.length <= value.length);
        }
    }
}

static void check_fields(mail_span in)
{
    unsigned flags = MAIL_PATH_UTF8 | MAIL_PATH_BARE | MAIL_PATH_NULL;
    mail_header_reader reader;
    mail_field field;
    size_t end = 0;
    char *line = malloc(in.length + 1);

    require(line != NULL);
    mail_header_reader_init(&reader, in);
    while (mail_header_reader_next(&reader, &field) == MAIL_OK) {
        mail_wall when;

        require(field.offset == end && field.raw.data == in.data + end);
        end += field.raw.length;
        require(mail_header_unfold(field.value, line) <= field.value.length);
        check_mailboxes(field.value, flags);
        check_mailboxes(field.value, flags | MAIL_ADDRESS_STRICT);
        mail_date_parse(field.value, &when, NULL);
    }
    require(mail_header_reader_body(&reader) >= end &&
            mail_header_reader_body(&reader) <= in.length);
    free(line);
}

static void check_submission(mail_span in)
{
    mail_submission submission = {.hostname = MAIL_SPAN("host.example")};
    mail_submitted submitted;
    mail_envelope envelope;
    mail_sink_memory out;

    mail_envelope_init(&envelope, NULL);
    mail_sink_memory_init(&out, NULL, 1 << 24);
    if (mail_submission_complete(&submission, in, &out, &envelope, &submitted, NULL) == MAIL_OK) {
        mail_span header = mail_sink_memory_bytes(&out);
        mail_scan scan = scan_in_slices(header, header.length);
        mail_field field;

        require(scan.in_body && scan.header_size == header.length);
        require(!scan.has_nul && !scan.has_bare_cr && !scan.has_bare_lf);
        require(mail_header_find(header, MAIL_SPAN("Bcc"), &field) == MAIL_ENOENT);
        require(submitted.body <= in.length);
        require(submitted.recipients == mail_envelope_count(&envelope));
    }
    mail_sink_memory_deinit(&out);
    mail_envelope_deinit(&envelope);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mail_span in;

    if (size == 0) {
        return 0;
    }
    in = mail_span_of(data + 1, size - 1);
    check_scan(in, (size_t)data[0] + 1);
    check_fields(in);
    check_submission(in);
    return 0;
}
