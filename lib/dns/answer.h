/* SPDX-License-Identifier: MIT */
#ifndef LIB_DNS_ANSWER_H
#define LIB_DNS_ANSWER_H

#include <mail/dns.h>

/* How many aliases are followed for one question, over all packets. */
#define DNS_ALIASES_MAX 8

/*
 * Makes an answer in one block from another whose parts lie anywhere (`mem` and
 * `size` of it count for nothing). MAIL_ENOMEM.
 */
int dns_answer_copy(mail_dns_answer **out, const mail_dns_answer *from, const mail_mem *mem);

/* An answer of status MAIL_DNS_FAILED, on the stack: not to be destroyed. */
mail_dns_answer dns_answer_failed(mail_dns_type type, const char *reason);

#endif
