/* SPDX-License-Identifier: MIT */
#ifndef LIB_STORE_WIRE_H
#define LIB_STORE_WIRE_H

#include <mail/base.h>

/*
 * The two forms of a message: on the wire lines end in CRLF, on the disk in LF.
 *
 * A CRLF becomes an LF, unless another CR stands before it: then all three octets
 * are kept. The way back puts a CR before every LF that has none, and ends a last
 * line that has no end. So whatever came in with CRLF line ends goes out unchanged,
 * bare CRs too, and files that other programs wrote with CRLF are not doubled.
 */
typedef struct wire_writer {
    char last;          /* octet given out last; 0: none */
    bool held;          /* a CR that may be half of a CRLF */
    uint64_t wire_size; /* of what a reader will make of it */
} wire_writer;

/* Wire to disk: writes at most `in.length` + 1 octets to `out`, and returns how many. */
size_t wire_writer_put(wire_writer *writer, mail_span in, char *out);

/* At the end: at most 2 octets, so that the last line has an end. */
size_t wire_writer_end(wire_writer *writer, char *out);

typedef struct wire_reader {
    char last; /* octet of the file read last; 0: none */
} wire_reader;

/*
 * Disk to wire: writes at most twice `in.length` to `out`, which may overlap `in` if
 * it begins at least `in.length` octets before it. Returns how many.
 */
size_t wire_reader_put(wire_reader *reader, mail_span in, char *out);

/* At the end: at most 2 octets. */
size_t wire_reader_end(wire_reader *reader, char *out);

#endif
