/* SPDX-License-Identifier: MIT */
#include <mail/dsn.h>

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

/* Any message read as a report: it ends, and each recipient is somebody, on one line. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mail_dsn_reader reader;
    mail_dsn_told told;
    size_t count = 0;

    (void)mail_dsn_reader_init(&reader, mail_span_of((const char *)data, size));
    while (mail_dsn_reader_next(&reader, &told) == MAIL_OK) {
        require(told.address.length > 0 && told.address.length <= sizeof(reader.address));
        require(memchr(told.address.data, '\n', told.address.length) == NULL);
        require(told.diagnostic.length == 0 ||
                memchr(told.diagnostic.data, '\n', told.diagnostic.length) == NULL);
        require(told.action <= MAIL_DSN_EXPANDED && told.status[0] <= 5);
        require(++count <= size);
    }
    return 0;
}
