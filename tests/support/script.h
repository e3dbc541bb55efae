/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SCRIPT_H
#define TESTS_SCRIPT_H

#include <mail/base.h>

/* The text of transcripts as steps; see tests/smtp/transcripts/README.md. */

typedef enum step_kind {
    STEP_INPUT,  /* the peer says */
    STEP_OUTPUT, /* the engine says */
    STEP_EVENT,
    STEP_ANSWER,
    STEP_BODY,
    STEP_DO,
    STEP_TIME,
    STEP_EOF,
    STEP_WAIT
} step_kind;

typedef struct step {
    step_kind kind;
    unsigned line;
    char *text; /* escapes decoded, line end included; a final NUL behind it */
    size_t length;
} step;

/* One session. */
typedef struct script {
    const char *file;
    char *name; /* of the session */
    char **options;
    size_t option_count;
    step *steps;
    size_t count;
    size_t input_octets;
} script;

/* Where the reading of a text stands. */
typedef struct script_reader {
    const char *file;
    char peer; /* whose lines are input: 'C' or 'S' */
    mail_span text;
    size_t at;     /* private */
    unsigned line; /* private */
} script_reader;

/* Reads the next session; false: there is none. What is no transcript fails the test. */
bool script_next(script_reader *reader, script *sc);

void script_deinit(script *sc);

/* Room for one more element of `size` behind `count`; never NULL. */
void *script_grown(void *array, size_t count, size_t size);

#endif
