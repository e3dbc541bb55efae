/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "support/fault_files.h"

/*
 * A story of everything that happens to a queue, told on a disk that loses power after the
 * first, the second, the third … operation. After each the spool is opened again and held
 * against what is known: what was acknowledged is there, whole; what was settled stays
 * settled; only what was under way when the power went may be either way. (QR-009, QR-010)
 */

#define MESSAGES   600
#define RECIPIENTS 3
#define STEPS      700
#define SEGMENT    (64 << 10)
#define LARGEST    (40 << 10)

typedef struct fate {
    bool done;
    bool held;
    unsigned attempts;
} fate;

typedef struct expected {
    char id[MAIL_QUEUE_ID_SIZE];
    uint64_t seed;
    size_t size;
    unsigned recipients;
    bool acknowledged;
    bool is_there; /* found when the spool was opened again */
    fate now[RECIPIENTS];
    fate before[RECIPIENTS]; /* before the last step */
} expected;

typedef struct story {
    kit kit;
    fault_files *disk;
    mail_test_walk mem;
    uint64_t state;
    expected *messages;
    size_t count;
    size_t seen;
    char name[64];
} story;

static uint64_t chance(story *s, uint64_t below)
{
    s->state ^= s->state << 13;
    s->state ^= s->state >> 7;
    s->state ^= s->state << 17;
    return (s->state >> 11) % below;
}

static void fill_body(const expected *e, char *out)
{
    uint64_t x = e->seed | 1;

    for (size_t i = 0; i < e->size; i++) {
        x = x * 6364136223846793005U + 1442695040888963407U;
        out[i] = i % 64 == 62 ? '\r' : i % 64 == 63 ? '\n' : (char)('a' + (x >> 60));
    }
}

static const char *const addresses[RECIPIENTS] = {"one@a.example", "two@b.example",
                                                  "three@c.example"};

static void on_finished(int code, void *arg)
{
    ((expected *)arg)->acknowledged = code == MAIL_OK;
}

/* Hands in one message; what comes of it is told when the step is made. */
static void hand_in(story *s)
{
    static char body[LARGEST];
    char to[128] = "";
    expected *e = &s->messages[s->count];
    uint64_t kind = chance(s, 20);
    mail_sink *sink;

    *e = (expected){.seed = chance(s, UINT32_MAX)};
    e->size = (size_t)(kind == 0 ? 17000 + chance(s, LARGEST - 17000) : chance(s, 9000));
    e->recipients = 1 + (unsigned)chance(s, RECIPIENTS);
    for (unsigned i = 0; i < e->recipients; i++) {
        strcat(to, i > 0 ? " " : "");
        strcat(to, addresses[i]);
    }
    if (kit_begin(&s->kit, "from@x.example", to, 0, &sink) != MAIL_OK) {
        return;
    }
    snprintf(e->id, sizeof(e->id), "%s", s->kit.id);
    s->count++;
    fill_body(e, body);
    if (mail_sink_write(sink, mail_span_of(body, e->size)) != MAIL_OK) {
        mail_sink_abort(sink);
        return;
    }
    e->acknowledged = mail_sink_finish(sink, on_finished, e) == MAIL_OK;
}

/* Some messages that share a sync. */
static void accept_some(story *s)
{
    uint64_t count = 1 + chance(s, 4);

    while (count-- > 0 && s->count < MESSAGES) {
        hand_in(s);
    }
    queue_step(s->kit.queue);
    mail_intake_poll(s->kit.intake);
}

static expected *find(story *s, const char *id)
{
    for (size_t i = 0; i < s->count; i++) {
        if (strcmp(s->messages[i].id, id) == 0) {
            return &s->messages[i];
        }
    }
    return NULL;
}

static unsigned which_recipient(mail_span address)
{
    for (unsigned i = 0; i < RECIPIENTS; i++) {
        if (mail_span_equal(address, mail_span_text(addresses[i]))) {
            return i;
        }
    }
    fail_msg("a recipient that nobody named");
    return 0;
}

static void report_all(story *s, mail_lease *lease, bool must_be_done)
{
    static const mail_reply later = {450, {4, 2, 0}, {"try later", 9}};
    const mail_envelope *envelope = mail_lease_envelope(lease);
    expected *e = find(s, mail_lease_id(lease));

    assert_non_null(e);
    for (size_t i = 0; i < mail_envelope_count(envelope); i++) {
        fate *f = &e->now[which_recipient(mail_envelope_recipient(envelope, i).address)];
        uint64_t dice = must_be_done ? 0 : chance(s, 10);

        assert_false(f->done);
        if (dice < 6) {
            f->done = true;
            mail_lease_report(lease, i, MAIL_QUEUE_DONE, NULL, false);
        } else if (dice < 9) {
            f->attempts++;
            mail_lease_report(lease, i, MAIL_QUEUE_RETRY, &later, false);
        } else {
            f->held = true;
            mail_lease_report(lease, i, MAIL_QUEUE_HELD, &later, false);
        }
    }
}

static void deliver_one(story *s, bool must_be_done)
{
    mail_lane *lane = mail_queue_take_lane(s->kit.queue);
    mail_lease *lease;

    if (lane == NULL) {
        return;
    }
    if (mail_lane_lease(lane, &lease) == MAIL_OK) {
        report_all(s, lease, must_be_done);
        mail_lease_end(lease);
    } else {
        assert_true(fault_files_has_crashed(s->disk));
    }
    mail_lane_give_back(lane, INT64_MIN);
    queue_step(s->kit.queue);
}

static void operate(story *s)
{
    mail_queue_selector all = {.all = true};
    uint64_t dice = chance(s, 4);
    const char *id;
    expected *e;

    if (dice < 2) {
        (void)(dice == 0 ? mail_queue_hold : mail_queue_unhold)(s->kit.queue, &all);
        for (size_t i = 0; i < s->count; i++) {
            for (unsigned j = 0; j < RECIPIENTS; j++) {
                fate *f = &s->messages[i].now[j];

                f->held = dice == 0 && !f->done;
            }
        }
    } else if (dice == 2) {
        (void)mail_queue_flush(s->kit.queue, &all);
    } else if (s->count > 0) {
        e = &s->messages[chance(s, s->count)];
        id = e->id;
        (void)mail_queue_remove(s->kit.queue, &(mail_queue_selector){.ids = &id, .id_count = 1});
        for (unsigned j = 0; j < RECIPIENTS; j++) {
            e->now[j].done = true;
            e->now[j].held = false;
        }
    }
    queue_step(s->kit.queue);
}

static void keep(story *s)
{
    for (int i = 0; i < 40; i++) {
        mail_lane *lane;

        kit_later(&s->kit, 10 * MAIL_MILLISECOND);
        lane = mail_queue_take_lane(s->kit.queue);
        if (lane != NULL) {
            mail_lane_give_back(lane, INT64_MIN);
        }
        queue_step(s->kit.queue);
    }
}

static void begin_step(story *s)
{
    for (size_t i = 0; i < s->count; i++) {
        memcpy(s->messages[i].before, s->messages[i].now, sizeof(s->messages[i].before));
    }
}

static void step(story *s)
{
    uint64_t dice = chance(s, 100);

    begin_step(s);
    if (dice < 30) {
        accept_some(s);
    } else if (dice < 85) {
        deliver_one(s, false);
    } else if (dice < 90) {
        operate(s);
    } else if (dice < 92) {
        kit_later(&s->kit, (mail_duration)chance(s, 3600) * MAIL_SECOND);
    } else if (dice < 99) {
        keep(s);
    } else {
        kit_close(&s->kit);
        if (kit_open(&s->kit, "spool") != MAIL_OK) {
            assert_true(fault_files_has_crashed(s->disk));
        }
    }
}

static bool is_possible(const fate *seen, const expected *e, unsigned i)
{
    return (seen->done == e->now[i].done && seen->held == e->now[i].held &&
            seen->attempts == e->now[i].attempts) ||
           (seen->done == e->before[i].done && seen->held == e->before[i].held &&
            seen->attempts == e->before[i].attempts);
}

static bool check_item(const mail_queue_item *item, void *arg)
{
    story *s = arg;
    expected *e = find(s, item->id);

    s->seen++;
    assert_non_null(e);
    assert_int_equal(item->size, e->size);
    assert_int_equal(item->recipient_count, e->recipients);
    for (unsigned i = 0; i < e->recipients; i++) {
        const mail_queue_recipient *r = &item->recipients[i];
        fate seen = {r->done, r->held, r->attempts};

        assert_span_equal(r->address, addresses[i]);
        if (seen.done) { /* nothing else is known of it any more */
            assert_true(e->now[i].done);
            continue;
        }
        if (!is_possible(&seen, e, i)) {
            print_message("%s recipient %u: seen done %d held %d attempts %u; now %d %d %u; "
                          "before %d %d %u\n",
                          e->id, i, seen.done, seen.held, seen.attempts, e->now[i].done,
                          e->now[i].held, e->now[i].attempts, e->before[i].done, e->before[i].held,
                          e->before[i].attempts);
            fail_msg("%s", s->name);
        }
        e->now[i] = seen;
    }
    e->is_there = true;
    return true;
}

static bool is_over(const fate *fates, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (!fates[i].done) {
            return false;
        }
    }
    return true;
}

static void check_body(story *s, const expected *e)
{
    static char want[LARGEST];
    static char have[LARGEST];
    mail_source *source;

    fill_body(e, want);
    assert_int_equal(mail_queue_read(s->kit.queue, e->id, &source), MAIL_OK);
    assert_int_equal(kit_read(source, have, sizeof(have)), e->size);
    assert_memory_equal(have, want, e->size);
}

/* Holds the reopened spool against what is known. */
static void check(story *s)
{
    mail_queue_selector all = {.all = true};
    mail_queue_stats stats;

    for (size_t i = 0; i < s->count; i++) {
        s->messages[i].is_there = false;
    }
    s->seen = 0;
    assert_int_equal(mail_queue_list(s->kit.queue, &all, check_item, s), MAIL_OK);
    mail_queue_stats_read(s->kit.queue, &stats);
    assert_int_equal(stats.messages, s->seen);
    if (stats.damaged != 0) {
        fail_msg("%s: damage where there is none", s->name);
    }
    for (size_t i = 0; i < s->count; i++) {
        expected *e = &s->messages[i];

        if (e->is_there) {
            check_body(s, e);
            e->acknowledged = true; /* it is safe, whether anybody was told or not */
        } else if (e->acknowledged && !is_over(e->now, e->recipients)) {
            fail_msg("%s: message %s, acknowledged, is lost", s->name, e->id);
        } else {
            for (unsigned j = 0; j < RECIPIENTS; j++) {
                e->now[j].done = true;
            }
        }
    }
}

/* What is left can be delivered, each recipient once, and then nothing is left. */
static void finish(story *s)
{
    mail_queue_selector all = {.all = true};
    mail_queue_stats stats;

    assert_true(mail_queue_unhold(s->kit.queue, &all) >= 0);
    assert_true(mail_queue_flush(s->kit.queue, &all) >= 0);
    for (int i = 0; i < MESSAGES * RECIPIENTS; i++) {
        deliver_one(s, true);
    }
    mail_queue_stats_read(s->kit.queue, &stats);
    assert_int_equal(stats.messages, 0);
    keep(s);
    kit_close(&s->kit);
    assert_int_equal(fault_files_handles(s->disk), 0);
    assert_int_equal(kit_open(&s->kit, "spool"), MAIL_OK);
    mail_queue_stats_read(s->kit.queue, &stats);
    assert_int_equal(stats.messages, 0);
    kit_close(&s->kit);
}

static void begin(story *s, uint64_t seed, uint64_t crash_after)
{
    mail_queue_options opts = MAIL_QUEUE_OPTIONS_INIT;

    s->disk = fault_files_create(seed + crash_after * 1000003);
    s->state = seed * 0x9e3779b97f4a7c15U + 1;
    s->count = 0;
    mail_test_mem_init(&s->mem);
    opts.mem = &s->mem.mem;
    opts.files = fault_files_table(s->disk);
    opts.random = fault_files_random(s->disk);
    opts.segment_bytes = SEGMENT;
    fault_files_set_short_writes(s->disk, seed % 2 == 0);
    fault_files_crash_after(s->disk, crash_after);
    kit_init(&s->kit, &opts);
    s->kit.opts.hand_over = seed % 3 == 0;
}

/* Goes on with the story for so many steps or until the power goes. */
static void go_on(story *s, int steps)
{
    for (int i = 0; i < steps && !fault_files_has_crashed(s->disk); i++) {
        step(s);
    }
    if (!fault_files_has_crashed(s->disk)) {
        begin_step(s); /* nothing is under way */
    }
    if (s->kit.queue != NULL) {
        kit_close(&s->kit);
    }
    mail_test_mem_check(&s->mem);
}

static void reopen_and_check(story *s)
{
    fault_files_crash_after(s->disk, 0);
    fault_files_reboot(s->disk);
    assert_int_equal(kit_open(&s->kit, "spool"), MAIL_OK);
    check(s);
}

/* Tells the story until the power goes, and again; false: it came to its end. */
static bool tell(story *s, uint64_t seed, uint64_t crash_after)
{
    bool has_crashed;

    snprintf(s->name, sizeof(s->name), "seed %u, operation %u", (unsigned)seed,
             (unsigned)crash_after);
    begin(s, seed, crash_after);
    if (kit_open(&s->kit, "spool") == MAIL_OK) {
        go_on(s, STEPS);
    } else {
        s->kit.queue = NULL;
    }
    has_crashed = fault_files_has_crashed(s->disk);
    reopen_and_check(s);
    fault_files_crash_after(s->disk, 1 + chance(s, 60));
    go_on(s, 30);
    reopen_and_check(s);
    finish(s);
    mail_test_mem_check(&s->mem);
    fault_files_destroy(s->disk);
    return has_crashed;
}

static void walk(uint64_t seed, uint64_t first, uint64_t stride)
{
    story *s = calloc(1, sizeof(*s));
    uint64_t at = first;

    assert_non_null(s);
    s->messages = calloc(MESSAGES + 1, sizeof(*s->messages));
    assert_non_null(s->messages);
    while (tell(s, seed, at)) {
        at += stride;
    }
    print_message("[   CASE   ] seed %u, to operation %u\n", (unsigned)seed, (unsigned)at);
    free(s->messages);
    free(s);
}

/* LIBMAIL_TEST_CRASH=SEED:FIRST:STRIDE walks otherwise. */
static void loses_nothing_whenever_the_power_goes(void **state)
{
    const char *how = getenv("LIBMAIL_TEST_CRASH");
    unsigned seed;
    unsigned first;
    unsigned stride;

    (void)state;
    if (how != NULL && sscanf(how, "%u:%u:%u", &seed, &first, &stride) == 3) {
        walk(seed, first, stride);
        return;
    }
    walk(1, 1, 97);
    walk(2, 5, 331);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loses_nothing_whenever_the_power_goes),
    };

    return mail_test_run(tests);
}
