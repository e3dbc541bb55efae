/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SMTP_SERVER_ADAPTER_H
#define TESTS_SMTP_SERVER_ADAPTER_H

#include "support/transcript.h"

/*
 * The SMTP server engine, for transcripts. Its options (`O:`) are those of
 * mail_smtp_server_options, a number behind those that have one; the host is `mx.example`, errors
 * are not delayed unless `error_delay` says so. Answers are replies as they are printed
 * (`550 5.1.1 No`, `\n` between lines). Of its own accord (`D:`) the owner does `pause`,
 * `resume`, `shutdown TEXT` and `shutdown! TEXT` (at once).
 */
extern const transcript_engine smtp_server_transcripts;

#endif
