/* SPDX-License-Identifier: MIT */
#ifndef LIB_NET_FILTER_H
#define LIB_NET_FILTER_H

#include <mail/base.h>

/*
 * What stands between the wire and an engine, TLS above all: an engine with two
 * sides, the wire and the plain one. It embeds this struct first.
 */
typedef struct mail_filter mail_filter;

typedef struct mail_filter_ops {
    /* The wire side. `feed` uses what it can; but MAIL_OK: no more plain bytes will come. */
    int (*feed)(mail_filter *filter, mail_time now, mail_span in, size_t *used);
    mail_span (*out)(mail_filter *filter);
    void (*sent)(mail_filter *filter, size_t n);
    /* The plain side. What came in, in one piece: half a line that was not dropped comes again
     * with more behind it. And room for what goes out; a write within it is taken whole. */
    mail_span (*plain)(mail_filter *filter);
    void (*drop)(mail_filter *filter, size_t n);
    size_t (*room)(mail_filter *filter);
    int (*write)(mail_filter *filter, mail_span bytes);
    void (*close)(mail_filter *filter); /* no more will be written: say so on the wire */
} mail_filter_ops;

struct mail_filter {
    const mail_filter_ops *ops;
};

#endif
