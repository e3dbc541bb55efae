/* SPDX-License-Identifier: MIT */
#ifndef LIB_SASL_MD5_H
#define LIB_SASL_MD5_H

#include <mail/base.h>

/* What a client shows of its password: a sum of 16 octets in lower-case hexadecimal. */
#define SASL_MD5_LENGTH 32

/* RFC 2195, section 2, CRAM-MD5: the sum is HMAC's of the challenge, the password being the key. */
bool sasl_cram_holds(mail_span challenge, mail_span password, mail_span digest);

/* RFC 1939, section 7, APOP: the sum is of the timestamp and the password behind it. */
bool sasl_apop_holds(mail_span timestamp, mail_span password, mail_span digest);

#endif
