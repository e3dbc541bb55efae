/* SPDX-License-Identifier: MIT */
#include <mail/rate.h>

#include <assert.h>

/*
 * The bucket is kept as one instant, the moment it will be full, instead of a
 * count plus the time of its last update: time passing then changes nothing,
 * and no fraction of a token is ever lost to rounding.
 */
static mail_time full_after(const mail_rate *rate, mail_time now, uint32_t n)
{
    mail_time from = rate->full_at > now ? rate->full_at : now;

    assert(n <= rate->depth / rate->interval);
    return from + n * rate->interval;
}

int mail_rate_init(mail_rate *rate, const mail_rate_options *opts)
{
    uint32_t burst = opts->burst > 0 ? opts->burst : 1;

    if (opts->interval <= 0 || opts->interval > MAIL_RATE_DEPTH_MAX / burst) {
        return MAIL_EINVAL;
    }
    *rate = (mail_rate){
        .full_at = INT64_MIN,
        .interval = opts->interval,
        .depth = burst * opts->interval,
    };
    return MAIL_OK;
}

bool mail_rate_take(mail_rate *rate, mail_time now, uint32_t n)
{
    mail_time full_at = full_after(rate, now, n);

    if (full_at - now > rate->depth) {
        return false;
    }
    rate->full_at = full_at;
    return true;
}

void mail_rate_give(mail_rate *rate, mail_time now, uint32_t n)
{
    if (rate->full_at > now) {
        rate->full_at -= n * rate->interval;
    }
}

mail_time mail_rate_ready_at(const mail_rate *rate, mail_time now, uint32_t n)
{
    mail_time ready = full_after(rate, now, n) - rate->depth;

    return ready > now ? ready : now;
}
