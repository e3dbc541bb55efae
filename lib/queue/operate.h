/* SPDX-License-Identifier: MIT */
#ifndef LIB_QUEUE_OPERATE_H
#define LIB_QUEUE_OPERATE_H

#include "queue/queue.h"

/* `lane`: only the recipients in it are meant; NULL: all. The message may be gone afterwards. */
typedef int queue_select_fn(queue_message *message, const mail_lane *lane, void *arg);

/*
 * Calls fn for each message that `which` means, oldest first, until it returns something
 * else than MAIL_OK, which is then returned. Errors: MAIL_ENOMEM, MAIL_EIO.
 */
int queue_select(mail_queue *queue, const mail_queue_selector *which, queue_select_fn *fn,
                 void *arg);

/*
 * To be called before: at the beginning of a walk what was just said of messages is waited for, so that
 * it is seen and kept. Not for each part, since that is for as long as the disk takes. True: it begins.
 */
bool queue_select_begins(mail_queue *queue, const mail_queue_selector *which);

#endif
