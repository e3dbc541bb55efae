/* SPDX-License-Identifier: MIT */
#ifndef LIB_MTA_DROP_ENVELOPE_H
#define LIB_MTA_DROP_ENVELOPE_H

#include "mta/receive.h"

/*
 * Fills the envelope of a dropped message from that of its file: addresses without domain are
 * completed, aliases stand for others. Nobody is there any more to be told of a bad address: it
 * goes into the queue, and delivery reports it to the sender. MAIL_ENOMEM, MAIL_ELIMIT.
 */
int drop_envelope_make(mail_envelope *envelope, const mail_receive *rcv,
                       const mail_envelope *given);

#endif
