/* SPDX-License-Identifier: MIT */
#ifndef LIB_QUEUE_LARGE_H
#define LIB_QUEUE_LARGE_H

#include "base/file.h"

/*
 * Large bodies, each in a file of its own that bears the message's id:
 *
 *   1. the file is made and filled          a crash leaves a file that nobody names
 *   2. it and its folder are synced         the same
 *   3. the record that names it is synced   the message counts
 *   4. the record that ends the message     a file that nobody names
 *   5. the file is removed
 *
 * What nobody names is removed at the next open.
 */

/* MAIL_… code and a handle. `expected` octets, if known, are set aside for it. */
int queue_large_create(const mail_files *files, int dir, uint64_t id, uint64_t expected,
                       int *fd_out);

/* 2. MAIL_… code. */
int queue_large_sync(const mail_files *files, int dir, int fd);

/* A handle to read from, once `size` has been found right. MAIL_EDAMAGED when it is not there. */
int queue_large_open(const mail_files *files, int dir, uint64_t id, uint64_t size, int *fd_out);

void queue_large_remove(const mail_files *files, int dir, uint64_t id);

#endif
