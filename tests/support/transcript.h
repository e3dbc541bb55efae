/* SPDX-License-Identifier: MIT */
#ifndef TESTS_TRANSCRIPT_H
#define TESTS_TRANSCRIPT_H

#include <mail/base.h>

/*
 * Replays sessions written down in text files against a protocol engine. The
 * format is described in tests/smtp/transcripts/README.md; what the words of
 * events, answers and options mean is the business of the engine's adapter.
 *
 * Each session is replayed
 *
 *     whole         the lines that the peer may send together in one piece
 *     flooded       all that the peer ever says in one piece, if the engine allows
 *     byte by byte  in and out
 *     cut           once for every place, in two pieces
 *     lost          once for every place: the connection ends there
 *     starved       with the 1st, 2nd, 3rd … allocation failing
 *
 * and must come out the same, or (lost, starved) end in good order.
 */

/* One event of the engine, in words. */
typedef struct transcript_event {
    char text[2048]; /* as after `E:`; empty: no event, or a piece of a body */
    mail_span body;  /* as after `B:`; lent by the engine */
    bool asks;       /* the engine now waits for an answer */
    bool is_last;    /* nothing can follow */
} transcript_event;

/* The engine under test: its seven verbs, and what its transcripts need besides. */
typedef struct transcript_engine {
    char peer;        /* whose lines are fed: 'C' to a server, 'S' to a client */
    bool is_lockstep; /* the peer must wait for what it answers: never flooded */

    /* `options` are the texts after `O:`. NULL: out of memory. */
    void *(*create)(const char *const *options, size_t count, const mail_mem *mem, mail_time now);
    void (*destroy)(void *engine);

    /* These give a MAIL_… code and may leave `*ev`, which is cleared before, as it is. */
    int (*feed)(void *engine, mail_time now, mail_span in, size_t *used, transcript_event *ev);
    int (*eof)(void *engine, mail_time now, transcript_event *ev);
    int (*tick)(void *engine, mail_time now, transcript_event *ev);

    /* Does what stands after `A:` or `D:`; empty: gives a question its ordinary answer. */
    int (*act)(void *engine, mail_time now, mail_span text);

    mail_span (*out)(void *engine);
    void (*sent)(void *engine, mail_time now, size_t n);
    unsigned (*wants)(void *engine);
    mail_time (*deadline)(void *engine);

    /* Whether an event may come after the connection was lost in the middle. NULL: any may. */
    bool (*may_follow_loss)(const char *text);
} transcript_engine;

/* Replays all sessions of one text; `name` stands for it in what is printed. */
void transcript_run_text(const transcript_engine *engine, const char *name, mail_span text);

/* Replays every file of `folder` that ends in .txt, in order of their names. */
void transcript_run_folder(const transcript_engine *engine, const char *folder);

#endif
