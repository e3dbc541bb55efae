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

#endif
