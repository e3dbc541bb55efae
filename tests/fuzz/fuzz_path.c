/* SPDX-License-Identifier: MIT */
/*
 * Whatever a path is read from, its canonical form must be read as itself, equal
 * to the first reading, and divide the same way everywhere.
 */
#include <stdlib.h>

#include <mail/address.h>
#include <mail/envelope.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void check(const mail_path *path, unsigned flags)
{
    char local[MAIL_PATH_MAX + 1];
    mail_path again;

    require(path->length <= MAIL_PATH_MAX && path->text[path->length] == '\0');
    require(mail_path_from_text(mail_path_text(path), flags, &again) == MAIL_OK);
    require(mail_span_equal(mail_path_text(path), mail_path_text(&again)));
    require(path->is_utf8 == again.is_utf8 && path->is_literal == again.is_literal);
    require(mail_path_equal(path, &again));
    require(mail_path_local_unquoted(path, local) <= path->local_length);
    require(mail_span_equal(mail_address_domain(mail_path_text(path)), mail_path_domain(path)));
    require(mail_span_equal(mail_address_local(mail_path_text(path)), mail_path_local(path)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char ascii[MAIL_DOMAIN_SIZE];
    mail_network network;
    mail_endpoint endpoint;
    unsigned flags;
    mail_path path;
    mail_span in;
    size_t used;

    if (size == 0) {
        return 0;
    }
    flags = data[0] & 15;
    in = mail_span_of(data + 1, size - 1);
    if (mail_path_parse(in, flags, &path, &used) == MAIL_OK) {
        require(used <= in.length);
        check(&path, flags);
    }
    if (mail_path_from_text(in, flags, &path) == MAIL_OK) {
        check(&path, flags);
    }
    if (mail_domain_to_ascii(in, ascii) == MAIL_OK) {
        require(mail_domain_to_ascii(mail_span_text(ascii), ascii) == MAIL_OK);
    }
    mail_network_parse(in, &network);
    if (mail_endpoint_parse(in, &endpoint) == MAIL_OK) {
        char text[MAIL_IP_TEXT_SIZE];

        mail_endpoint_print(&endpoint, text);
        require(mail_endpoint_parse(mail_span_text(text), &endpoint) == MAIL_OK);
    }
    return 0;
}
