/* SPDX-License-Identifier: MIT */
#include <mail/smtp_server.h>

#include "support/smtp_server_adapter.h"
#include "support/support.h"

static void says_what_its_transcripts_say(void **state)
{
    (void)state;
    transcript_run_folder(&smtp_server_transcripts, mail_test_data("transcripts/server"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_its_transcripts_say),
    };

    return mail_test_run(tests);
}
