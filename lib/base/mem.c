/* SPDX-License-Identifier: MIT */
#include "base/mem.h"

#include <stdlib.h>

void *mem_resize(const mail_mem *mem, void *old, size_t old_size, size_t size)
{
    if (mem != NULL) {
        return mem->resize(mem->arg, old, old_size, size);
    }
    if (size == 0) {
        free(old);
        return NULL;
    }
    return realloc(old, size);
}

void *mem_alloc(const mail_mem *mem, size_t size)
{
    void *ptr;

    if (mem == NULL) {
        return calloc(1, size);
    }
    ptr = mem->resize(mem->arg, NULL, 0, size);
    if (ptr != NULL) {
        memset(ptr, 0, size);
    }
    return ptr;
}

void mem_free(const mail_mem *mem, void *ptr, size_t size)
{
    if (ptr != NULL) {
        mem_resize(mem, ptr, size, 0);
    }
}

char *mem_text(const mail_mem *mem, mail_span span)
{
    char *text = mem_resize(mem, NULL, 0, span.length + 1);

    if (text == NULL) {
        return NULL;
    }
    if (span.length > 0) {
        memcpy(text, span.data, span.length);
    }
    text[span.length] = '\0';
    return text;
}
