/* SPDX-License-Identifier: MIT */
#include "support/transcript.h"

#include <dirent.h>

#include "support/script.h"
#include "support/support.h"

typedef enum manner {
    WHOLE,
    FLOODED,
    BYTE_BY_BYTE,
    CUT,
    LOST,
    STARVED
} manner;

static const char *const manner_names[] = {
    [WHOLE] = "whole", [FLOODED] = "flooded", [BYTE_BY_BYTE] = "byte by byte",
    [CUT] = "cut",     [LOST] = "lost",       [STARVED] = "starved",
};

/* Long after any origin, so that nothing can rely on time 0. */
#define START_TIME (1000000 * MAIL_SECOND)

/* One way through one session. */
typedef struct replay {
    const script *script;
    const transcript_engine *engine;
    manner manner;
    size_t place; /* CUT, LOST: after how many octets of input */
    void *object; /* the engine under test */
    mail_time now;
    size_t next;      /* the step that must come true next */
    size_t offset;    /* how many octets of it (output, body) have come true */
    size_t fed_until; /* input steps before this one have been given */
    size_t given;     /* octets of input so far */
    char *pending;    /* given, not used yet */
    size_t pending_length;
    bool question_is_open;
    bool is_over;    /* the last event has come, or the engine has starved */
    bool is_starved; /* it ran out of memory: what it left in `out` means nothing */
    bool is_lost;    /* the peer has gone before its time */
} replay;

static void print_octets(const char *what, mail_span text)
{
    print_error("  %s \"", what);
    for (size_t i = 0; i < text.length && i < 400; i++) {
        unsigned char c = (unsigned char)text.data[i];

        if (c >= 32 && c < 127 && c != '\\') {
            print_error("%c", c);
        } else {
            print_error(c == '\r' ? "\\r" : c == '\n' ? "\\n" : "\\x%02x", c);
        }
    }
    print_error(text.length > 400 ? "…\n" : "\"\n");
}

static const step *next_step(const replay *rp)
{
    return rp->next < rp->script->count ? &rp->script->steps[rp->next] : NULL;
}

static void mismatch(const replay *rp, const char *came, mail_span text)
{
    static const char *const kinds[] = {
        "input to be used", "output",          "the event", "an answer to be given",
        "a piece of body",  "something to do", "time",      "the end",
        "a wait",
    };
    const step *st = next_step(rp);

    print_error("%s:%u: session \"%s\", %s", rp->script->file, st != NULL ? st->line : 0,
                rp->script->name, manner_names[rp->manner]);
    print_error(rp->manner == CUT || rp->manner == LOST ? " at octet %zu:\n" : ":\n", rp->place);
    print_octets(came, text);
    if (st == NULL) {
        print_error("  after the end of the session\n");
    } else {
        print_error("  wanted %s", kinds[st->kind]);
        print_octets("", mail_span_of(st->text, st->length));
    }
    fail();
}

/* The step that must come true now; input that has been given is behind us. */
static const step *expected(replay *rp)
{
    const step *st = next_step(rp);

    while (st != NULL && st->kind == STEP_INPUT && rp->next < rp->fed_until) {
        rp->next++;
        st = next_step(rp);
    }
    return st;
}

/* Output and bodies come in pieces of any size. */
static void take_octets(replay *rp, step_kind kind, const char *came, mail_span octets)
{
    while (octets.length > 0) {
        const step *st = expected(rp);
        size_t n;

        if (st == NULL || st->kind != kind) {
            mismatch(rp, came, octets);
        }
        n = st->length - rp->offset;
        n = n < octets.length ? n : octets.length;
        if (memcmp(st->text + rp->offset, octets.data, n) != 0) {
            mismatch(rp, came, octets);
        }
        octets = mail_span_from(octets, n);
        rp->offset += n;
        if (rp->offset == st->length) {
            rp->offset = 0;
            rp->next++;
        }
    }
}

static void drain(replay *rp)
{
    while (!rp->is_starved) {
        mail_span out = rp->engine->out(rp->object);
        bool wants = (rp->engine->wants(rp->object) & MAIL_WANTS_WRITE) != 0;

        assert_int_equal(wants, out.length > 0);
        if (out.length == 0) {
            return;
        }
        if (rp->manner == BYTE_BY_BYTE) {
            out = mail_span_first(out, 1);
        }
        if (!rp->is_lost) {
            take_octets(rp, STEP_OUTPUT, "got the output", out);
        }
        rp->engine->sent(rp->object, rp->now, out.length);
    }
}

/* MAIL_ENOMEM ends a starved session; any other code fails the test. */
static bool is_well(replay *rp, int code)
{
    if (code == MAIL_ENOMEM && rp->manner == STARVED) {
        rp->is_over = true;
        rp->is_starved = true;
        return false;
    }
    if (code != MAIL_OK) {
        mismatch(rp, "got the error", mail_span_text(mail_strerror(code)));
    }
    return true;
}

static void act(replay *rp, mail_span text)
{
    if (is_well(rp, rp->engine->act(rp->object, rp->now, text))) {
        drain(rp);
    }
}

/* Gives the answers that stand behind the question; none: the ordinary one. */
static void answer(replay *rp)
{
    const step *st = expected(rp);

    assert_true((rp->engine->wants(rp->object) & MAIL_WANTS_ANSWER) != 0);
    if (rp->is_lost || st == NULL || st->kind != STEP_ANSWER) {
        act(rp, MAIL_SPAN(""));
        return;
    }
    if (strcmp(st->text, "wait") == 0) {
        rp->next++;
        rp->question_is_open = true;
        return;
    }
    while (!rp->is_over && (st = next_step(rp)) != NULL && st->kind == STEP_ANSWER) {
        rp->next++;
        act(rp, mail_span_of(st->text, st->length));
    }
}

static void check_loss(const replay *rp, const transcript_event *ev)
{
    if (ev->body.length > 0) {
        mismatch(rp, "after the loss got a body", ev->body);
    }
    if (rp->engine->may_follow_loss != NULL && !rp->engine->may_follow_loss(ev->text)) {
        mismatch(rp, "after the loss got the event", mail_span_text(ev->text));
    }
}

/* Matches one event, answers it if it asks, and takes what the engine says to that. */
static void take_event(replay *rp, const transcript_event *ev)
{
    if (rp->is_lost) {
        check_loss(rp, ev);
    } else if (ev->text[0] == '\0') {
        take_octets(rp, STEP_BODY, "got the body", ev->body);
    } else {
        const step *st = expected(rp);

        if (st == NULL || st->kind != STEP_EVENT || strcmp(st->text, ev->text) != 0) {
            mismatch(rp, "got the event", mail_span_text(ev->text));
        }
        rp->next++;
    }
    rp->is_over = ev->is_last;
    if (ev->asks) {
        answer(rp);
    }
}

static bool is_event(const transcript_event *ev)
{
    return ev->text[0] != '\0' || ev->body.length > 0;
}

static void drop_pending(replay *rp, size_t used)
{
    assert_true(used <= rp->pending_length);
    rp->pending_length -= used;
    memmove(rp->pending, rp->pending + used, rp->pending_length);
}

/*
 * Feeds what is pending until nothing more comes of it. Each call sees a block
 * of just its size, gone afterwards, so that a sanitizer sees a look beyond.
 */
static void pump(replay *rp)
{
    bool moves = true;

    while (moves && !rp->is_over) {
        transcript_event ev = {.asks = false};
        char *in = malloc(rp->pending_length > 0 ? rp->pending_length : 1);
        size_t used = 0;
        int code;

        assert_non_null(in);
        memcpy(in, rp->pending, rp->pending_length);
        code =
            rp->engine->feed(rp->object, rp->now, mail_span_of(in, rp->pending_length), &used, &ev);
        moves = used > 0 || is_event(&ev);
        drop_pending(rp, used);
        if (is_well(rp, code)) {
            /* What is to be sent by then was said before the event. */
            moves = moves || rp->engine->out(rp->object).length > 0;
            drain(rp);
            if (is_event(&ev)) {
                take_event(rp, &ev);
                drain(rp);
            }
        }
        free(in);
    }
    if (!rp->is_over && rp->engine->wants(rp->object) == 0) {
        mismatch(rp, "the engine wants nothing more", MAIL_SPAN(""));
    }
}

static void give(replay *rp, mail_span octets)
{
    rp->pending = script_grown(rp->pending, rp->pending_length + octets.length, 1);
    memcpy(rp->pending + rp->pending_length, octets.data, octets.length);
    rp->pending_length += octets.length;
    rp->given += octets.length;
    pump(rp);
}

/* Calls eof or tick until it has nothing more to say. */
static void call_until_quiet(replay *rp, int (*fn)(void *, mail_time, transcript_event *))
{
    while (!rp->is_over) {
        transcript_event ev = {.asks = false};

        if (!is_well(rp, fn(rp->object, rp->now, &ev))) {
            return;
        }
        drain(rp);
        if (!is_event(&ev)) {
            return;
        }
        take_event(rp, &ev);
        drain(rp);
    }
}

static void lose(replay *rp)
{
    rp->is_lost = true;
    call_until_quiet(rp, rp->engine->eof);
    assert_true(rp->is_over);
}

/* Gives the octets of a batch in the pieces that the manner of the replay makes. */
static void give_batch(replay *rp, mail_span octets)
{
    size_t first = octets.length;

    if ((rp->manner == CUT || rp->manner == LOST) && rp->place >= rp->given &&
        rp->place - rp->given < octets.length) {
        first = rp->place - rp->given;
    } else if (rp->manner == BYTE_BY_BYTE) {
        first = 1;
    }
    while (octets.length > 0 && !rp->is_over) {
        if (first > 0) {
            give(rp, mail_span_first(octets, first));
        }
        octets = mail_span_from(octets, first);
        if (rp->manner == LOST && rp->given == rp->place) {
            if (!rp->is_over) {
                lose(rp);
            }
            return;
        }
        first = rp->manner == BYTE_BY_BYTE ? 1 : octets.length;
    }
}

/* Gathers the input steps that may be given together, and gives them. */
static void feed_batch(replay *rp)
{
    char *batch = NULL;
    size_t length = 0;
    size_t i;

    for (i = rp->next; i < rp->script->count; i++) {
        const step *st = &rp->script->steps[i];

        if (st->kind == STEP_INPUT) {
            batch = script_grown(batch, length + st->length, 1);
            memcpy(batch + length, st->text, st->length);
            length += st->length;
        } else if (rp->manner != FLOODED || st->kind >= STEP_DO) {
            break;
        }
    }
    rp->fed_until = i;
    give_batch(rp, mail_span_of(batch, length));
    free(batch);
    if (!rp->is_lost) {
        expected(rp);
    }
}

static mail_duration duration_of(const step *st)
{
    char *unit;
    mail_duration n = (mail_duration)strtoll(st->text, &unit, 10);

    return n * (*unit == 'h'                     ? MAIL_HOUR
                : *unit == 'm' && unit[1] == 's' ? MAIL_MILLISECOND
                : *unit == 'm'                   ? MAIL_MINUTE
                                                 : MAIL_SECOND);
}

/* Lets time pass. Just before its deadline an engine has nothing to say. */
static void pass_time(replay *rp, mail_duration by)
{
    mail_time then = rp->now + by;
    mail_time deadline = rp->engine->deadline(rp->object);

    if (deadline > rp->now && deadline <= then) {
        transcript_event ev = {.asks = false};

        rp->now = deadline - 1;
        if (is_well(rp, rp->engine->tick(rp->object, rp->now, &ev)) && is_event(&ev)) {
            mismatch(rp, "before its time got the event", mail_span_text(ev.text));
        }
    }
    rp->now = then;
    call_until_quiet(rp, rp->engine->tick);
    pump(rp);
}

static void come_true(replay *rp, const step *st)
{
    switch (st->kind) {
    case STEP_INPUT:
        feed_batch(rp);
        break;
    case STEP_ANSWER:
        if (!rp->question_is_open) {
            mismatch(rp, "no question is open", MAIL_SPAN(""));
        }
        rp->next++;
        rp->question_is_open = false;
        act(rp, mail_span_of(st->text, st->length));
        pump(rp);
        break;
    case STEP_DO:
        rp->next++;
        act(rp, mail_span_of(st->text, st->length));
        pump(rp);
        break;
    case STEP_TIME:
        rp->next++;
        pass_time(rp, duration_of(st));
        break;
    case STEP_EOF:
        rp->next++;
        call_until_quiet(rp, rp->engine->eof);
        break;
    case STEP_WAIT:
        rp->next++;
        break;
    case STEP_OUTPUT:
    case STEP_EVENT:
    case STEP_BODY:
        mismatch(rp, "the engine is at rest", MAIL_SPAN(""));
    }
}

/* The session is over: every step must have come true, but for input that nobody read. */
static void check_end(replay *rp)
{
    const step *st;

    rp->fed_until = rp->script->count;
    st = expected(rp);
    if (st != NULL) {
        mismatch(rp, "the session is over", MAIL_SPAN(""));
    }
    if (rp->engine->wants(rp->object) != 0) {
        mismatch(rp, "the engine wants more", MAIL_SPAN(""));
    }
}

static void run_steps(replay *rp)
{
    const step *first = next_step(rp);

    if (first == NULL || first->kind != STEP_INPUT) {
        pump(rp);
    }
    while (!rp->is_over) {
        const step *st = expected(rp);

        if (st == NULL) {
            assert_int_equal(rp->pending_length, 0);
            return;
        }
        come_true(rp, st);
    }
    if (!rp->is_lost && rp->manner != STARVED) {
        check_end(rp);
    }
}

static void run_once(const transcript_engine *engine, const script *sc, manner how, size_t place,
                     const mail_mem *mem)
{
    replay rp = {.script = sc, .engine = engine, .manner = how, .place = place, .now = START_TIME};

    rp.pending = script_grown(NULL, 0, 1);
    rp.object = engine->create((const char *const *)sc->options, sc->option_count, mem, rp.now);
    if (rp.object != NULL) {
        run_steps(&rp);
    } else {
        assert_int_equal(how, STARVED);
    }
    engine->destroy(rp.object);
    free(rp.pending);
}

static void run_counted(const transcript_engine *engine, const script *sc, manner how, size_t place)
{
    mail_test_walk walk;

    mail_test_mem_init(&walk);
    run_once(engine, sc, how, place, &walk.mem);
    mail_test_mem_check(&walk);
}

/* A session whose input is a flood is cut at 4,000 places, spread evenly. */
#define MAX_PLACES 4000

static void run_script(const transcript_engine *engine, const script *sc)
{
    size_t stride = sc->input_octets / MAX_PLACES + 1;

    run_counted(engine, sc, WHOLE, 0);
    run_counted(engine, sc, BYTE_BY_BYTE, 0);
    if (!engine->is_lockstep) {
        run_counted(engine, sc, FLOODED, 0);
    }
    for (size_t place = 0; place < sc->input_octets; place += stride) {
        run_counted(engine, sc, CUT, place);
        run_counted(engine, sc, LOST, place);
    }
    MAIL_TEST_WALK(walk)
    {
        run_once(engine, sc, STARVED, 0, &walk.mem);
    }
}

void transcript_run_text(const transcript_engine *engine, const char *name, mail_span text)
{
    script_reader reader = {.file = name, .peer = engine->peer, .text = text};
    size_t count = 0;
    script sc;

    while (script_next(&reader, &sc)) {
        run_script(engine, &sc);
        script_deinit(&sc);
        count++;
    }
    if (count == 0) {
        print_error("%s: no session in it\n", name);
        fail();
    }
}

static void run_file(const transcript_engine *engine, const char *path, const char *name)
{
    FILE *file = fopen(path, "rb");
    char *text;
    long size;

    if (file == NULL) {
        print_error("%s: cannot be read\n", path);
        fail();
        return;
    }
    fseek(file, 0, SEEK_END);
    size = ftell(file);
    rewind(file);
    text = malloc((size_t)size + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)size, file), size);
    fclose(file);
    print_message("[   CASE   ] %s\n", name);
    transcript_run_text(engine, name, mail_span_of(text, (size_t)size));
    free(text);
}

static int is_transcript(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);

    return length > 4 && strcmp(entry->d_name + length - 4, ".txt") == 0;
}

void transcript_run_folder(const transcript_engine *engine, const char *folder)
{
    struct dirent **names;
    int count = scandir(folder, &names, is_transcript, alphasort);

    if (count <= 0) {
        print_error("%s: no transcripts\n", folder);
        fail();
    }
    for (int i = 0; i < count; i++) {
        char path[4096];

        snprintf(path, sizeof(path), "%s/%s", folder, names[i]->d_name);
        run_file(engine, path, names[i]->d_name);
        free(names[i]);
    }
    free(names);
}
