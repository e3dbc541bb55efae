/* SPDX-License-Identifier: MIT */
#ifndef LIB_DNS_CHAIN_H
#define LIB_DNS_CHAIN_H

#include <mail/dns.h>

/*
 * Reads the answer about `name` (lower case) out of a checked packet: from record to
 * record by owner, along aliases, never by mere position. `no_such_name` is what the
 * header says. A packet that contradicts itself gives MAIL_DNS_FAILED. MAIL_ENOMEM.
 */
int dns_chain_read(mail_dns_answer **out, mail_span packet, const char *name, mail_dns_type type,
                   bool no_such_name, const mail_mem *mem);

#endif
