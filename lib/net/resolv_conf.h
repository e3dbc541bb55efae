/* SPDX-License-Identifier: MIT */
#ifndef LIB_NET_RESOLV_CONF_H
#define LIB_NET_RESOLV_CONF_H

#include <mail/address.h>
#include <mail/base.h>

/*
 * The servers of a resolv.conf: its `nameserver` lines, port 53. Search lists and
 * options are for people who type names, not for mail. Returns how many were found,
 * at most `max`; what can't be read as an address is passed over, as by libc.
 */
size_t resolv_conf_parse(mail_span text, mail_endpoint *servers, size_t max);

/* The same for a file, of which 64 KiB count; without any: 127.0.0.1, as libc has it. */
size_t resolv_conf_load(const char *path, mail_endpoint *servers, size_t max);

#endif
