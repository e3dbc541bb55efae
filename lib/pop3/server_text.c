/* SPDX-License-Identifier: MIT */
/* In which letters and which language we speak: UTF8 and LANG (RFC 6856). */
#include "pop3/server.h"

int pop3_on_utf8(mail_pop3_server *srv, mail_span arg, mail_pop3_event *ev)
{
    (void)arg;
    (void)ev;
    if (!srv->offers_utf8) {
        return pop3_fault(srv, "unknown command");
    }
    srv->utf8 = true;
    return pop3_say(srv, "+OK UTF-8 it is");
}

/* RFC 4647, section 3.4: `en-GB` finds `en`. */
static bool is_english(mail_span range)
{
    return mail_span_equal_nocase(range, MAIL_SPAN("en")) ||
           mail_span_equal_nocase(mail_span_first(range, range.length < 3 ? range.length : 3),
                                  MAIL_SPAN("en-"));
}

/* All we know is English, which is what i-default has to be understood by. */
int pop3_on_lang(mail_pop3_server *srv, mail_span arg, mail_pop3_event *ev)
{
    (void)ev;
    if (!srv->offers_utf8) {
        return pop3_fault(srv, "unknown command");
    }
    if (arg.length == 0) {
        return pop3_say(srv, "+OK\r\nen English\r\ni-default English\r\n.");
    }
    if (mail_span_equal_nocase(arg, MAIL_SPAN("i-default"))) {
        return pop3_say(srv, "+OK i-default in English");
    }
    if (is_english(arg) || mail_span_equal(arg, MAIL_SPAN("*"))) {
        return pop3_say(srv, "+OK en in English");
    }
    return pop3_say(srv, "-ERR no such language");
}
