/* SPDX-License-Identifier: MIT */
#ifndef LIB_BASE_CRC32C_H
#define LIB_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* CRC-32C (Castagnoli) of `length` more bytes; begin with `crc` 0. Uses the CPU's instruction where there is one. */
uint32_t crc32c(uint32_t crc, const void *data, size_t length);

/* The same without the instruction. */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t length);

#endif
