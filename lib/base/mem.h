/* SPDX-License-Identifier: MIT */
#ifndef LIB_BASE_MEM_H
#define LIB_BASE_MEM_H

#include <mail/base.h>

/* `mem` NULL is malloc's family throughout. */

/* Zeroed memory, or NULL. */
void *mem_alloc(const mail_mem *mem, size_t size);

/* As realloc; the new part is not zeroed. NULL: `old` is untouched. */
void *mem_resize(const mail_mem *mem, void *old, size_t old_size, size_t size);

/* NULL does nothing. */
void mem_free(const mail_mem *mem, void *ptr, size_t size);

/* A copy of `span` with a final NUL (length + 1 bytes), or NULL. */
char *mem_text(const mail_mem *mem, mail_span span);

#endif
