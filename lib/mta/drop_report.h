/* SPDX-License-Identifier: MIT */
#ifndef LIB_MTA_DROP_REPORT_H
#define LIB_MTA_DROP_REPORT_H

#include <mail/drop.h>
#include <mail/dsn.h>

#include "mta/receive.h"

/*
 * The report to the sender of a dropped message that is refused for its size: whoever dropped it
 * is not there any more to be told. Zeroed: none.
 */
typedef struct drop_report {
    const mail_mem *mem;
    mail_envelope of; /* the message's, its addresses completed */
    mail_dsn_recipient *rows;
    size_t count;
    mail_source *text; /* NULL: there is no report */
} drop_report;

bool drop_report_is_due(const mail_receive *rcv, const mail_drop *drop);

/*
 * Opens the report, with the message's header if that is sound, and fills the envelope that it goes
 * out with. It borrows `drop`. MAIL_ENOENT: nobody wants it. MAIL_ENOMEM.
 */
int drop_report_open(drop_report *report, const mail_receive *rcv, mail_drop *drop,
                     mail_envelope *envelope);
void drop_report_close(drop_report *report);

/* Says that the message is refused; `id` is the report's, empty when there is none. */
void drop_report_log(const mail_receive *rcv, const mail_drop *drop, const char *file,
                     const char *id);

#endif
