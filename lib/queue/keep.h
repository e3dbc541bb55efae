/* SPDX-License-Identifier: MIT */
#ifndef LIB_QUEUE_KEEP_H
#define LIB_QUEUE_KEEP_H

#include "queue/log.h"

/* Gives up the segments that hold nothing of use; says whether there were any. */
bool queue_keep_recycle(queue_log *log);

#endif
