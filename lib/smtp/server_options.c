/* SPDX-License-Identifier: MIT */
#include "smtp/server.h"

#define AUTH_KNOWN (((1U << MAIL_SASL_MECHANISMS) - 1) & ~(1U << MAIL_SASL_NONE))

#define MIN_RECIPIENTS 100 /* RFC 5321, section 4.5.3.1.8 */

static void set_defaults(mail_smtp_server_options *opts)
{
    if (opts->max_message_bytes == 0) {
        opts->max_message_bytes = MAIL_SMTP_MESSAGE_BYTES;
    }
    if (opts->max_recipients == 0) {
        opts->max_recipients = 1000;
    }
    if (opts->max_errors == 0) {
        opts->max_errors = 20;
    }
    if (opts->max_junk == 0) {
        opts->max_junk = 100;
    }
    if (opts->command_timeout == 0) {
        opts->command_timeout = 5 * MAIL_MINUTE;
    }
    if (opts->data_timeout == 0) {
        opts->data_timeout = 3 * MAIL_MINUTE;
    }
    if (opts->min_data_rate == 0) {
        opts->min_data_rate = 100;
    }
    if (opts->max_commands == 0) {
        opts->max_commands = 1000000;
    }
    if (opts->max_refused == 0) {
        opts->max_refused = 100;
    }
    if (opts->max_session_bytes == 0) {
        opts->max_session_bytes = (uint64_t)16 << 30;
    }
    if (opts->session_timeout == 0) {
        opts->session_timeout = 6 * MAIL_HOUR;
    }
    if (opts->error_delay == 0) {
        opts->error_delay = MAIL_SECOND;
    }
}

/* Our name stands in replies as it is: letters, digits and what names and literals need. */
static bool is_hostname(mail_span name)
{
    if (name.length == 0 || name.length > 255) {
        return false;
    }
    for (size_t i = 0; i < name.length; i++) {
        unsigned char c = (unsigned char)name.data[i];

        if (c <= ' ' || c >= 127) {
            return false;
        }
    }
    return true;
}

static bool are_valid(const mail_smtp_server_options *opts)
{
    return is_hostname(opts->hostname) &&
           (opts->max_recipients == 0 || opts->max_recipients >= MIN_RECIPIENTS) &&
           (opts->auth_mechanisms & ~AUTH_KNOWN) == 0 && opts->command_timeout >= 0 &&
           opts->data_timeout >= 0 && opts->session_timeout >= 0 && opts->error_delay <= MAIL_HOUR;
}

/* A caller built against an older header has fewer options; those it lacks are 0. */
int smtp_options_read(mail_smtp_server_options *own, const mail_smtp_server_options *opts)
{
    if (opts->size == 0 || opts->size > sizeof(*own)) {
        return MAIL_EINVAL;
    }
    memset(own, 0, sizeof(*own));
    memcpy(own, opts, opts->size);
    if (!are_valid(own)) {
        return MAIL_EINVAL;
    }
    set_defaults(own);
    return MAIL_OK;
}
