/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include "mta/boxes.h"

#define MOST 16

/* A loop whose workers work only when they are told to, and a store that counts what is finished together. */
typedef struct fixture {
    mail_loop loop;
    mail_store store;
    const mail_mem *mem;
    struct {
        void (*run)(void *);
        void (*done)(void *);
        void *arg;
    } jobs[MOST];
    size_t job_count;
    bool has_no_workers;
    boxes *boxes;
    size_t groups[MOST]; /* how many were finished together, each time */
    size_t group_count;
    size_t open_sinks;
    char order[64]; /* which copies came back, by the letter of their front */
    unsigned idles;
} fixture;

static fixture *fx;

static int work(mail_loop *loop, void (*run)(void *), void (*done)(void *), void *arg)
{
    (void)loop;
    if (fx->has_no_workers) {
        return MAIL_ESYS;
    }
    assert_true(fx->job_count < MOST);
    fx->jobs[fx->job_count].run = run;
    fx->jobs[fx->job_count].done = done;
    fx->jobs[fx->job_count++].arg = arg;
    return MAIL_OK;
}

/* The oldest job is run. */
static void work_one(void)
{
    void (*done)(void *) = fx->jobs[0].done;
    void *arg = fx->jobs[0].arg;

    assert_true(fx->job_count > 0);
    fx->jobs[0].run(arg);
    memmove(fx->jobs, fx->jobs + 1, --fx->job_count * sizeof(fx->jobs[0]));
    done(arg);
}

static size_t sink_room(mail_sink *sink)
{
    (void)sink;
    return SIZE_MAX;
}

static int sink_write(mail_sink *sink, mail_span bytes)
{
    (void)sink;
    return mail_span_equal(bytes, MAIL_SPAN("full")) ? MAIL_ENOSPC : MAIL_OK;
}

static void sink_abort(mail_sink *sink)
{
    fx->open_sinks--;
    free(sink);
}

static int store_append(mail_store *store, const char *path, mail_sink **out, mail_error *err)
{
    static const mail_sink_ops ops = {.room = sink_room, .write = sink_write, .abort = sink_abort};

    (void)store;
    (void)err;
    if (strcmp(path, "missing") == 0) {
        return MAIL_ENOENT;
    }
    if (strcmp(path, "a plain file") == 0) {
        return MAIL_EINVAL;
    }
    *out = calloc(1, sizeof(**out));
    assert_non_null(*out);
    (*out)->ops = &ops;
    fx->open_sinks++;
    return MAIL_OK;
}

static void store_finish(mail_store *store, mail_sink *const *sinks, size_t count, int *codes)
{
    (void)store;
    assert_true(fx->group_count < MOST);
    fx->groups[fx->group_count++] = count;
    for (size_t i = 0; i < count; i++) {
        sink_abort(sinks[i]);
        codes[i] = MAIL_OK;
    }
}

static void on_done(box_copy *copy, void *arg)
{
    size_t length = strlen(fx->order);

    assert_true(arg == fx || arg == NULL);
    fx->order[length] = *copy->front.data;
    if (copy->code == MAIL_EAGAIN && arg != NULL) { /* the next piece is the last */
        copy->is_last = true;
        assert_int_equal(boxes_write(fx->boxes, copy), MAIL_OK);
    }
}

static void on_idle(void *arg)
{
    ((fixture *)arg)->idles++;
    boxes_go(fx->boxes);
}

static int set_up(fixture *fixture_, const mail_mem *mem)
{
    static const mail_loop_ops loop_ops = {.work = work};
    static const mail_store_ops store_ops = {.append = store_append, .finish = store_finish};
    static const boxes_ops ops = {.done = on_done, .idle = on_idle};

    fx = fixture_;
    *fx = (fixture){.loop = {&loop_ops}, .store = {&store_ops}, .mem = mem};
    return boxes_create(&fx->boxes, &fx->loop, &fx->store, 2, mem, &ops, fx);
}

static void tear_down(void)
{
    boxes_destroy(fx->boxes);
    assert_int_equal(fx->job_count, 0);
    assert_int_equal(fx->open_sinks, 0);
}

static box_copy copy_for(const char *path, const char *front)
{
    return (box_copy){.path = path,
                      .front = mail_span_text(front),
                      .piece = MAIL_SPAN("text"),
                      .is_last = true,
                      .code = MAIL_EAGAIN};
}

static void add(box_copy *copy)
{
    assert_int_equal(boxes_write(fx->boxes, copy), MAIL_OK);
    boxes_go(fx->boxes);
}

static void takes_together_what_has_gathered_for_a_mailbox(void **state)
{
    box_copy copies[] = {copy_for("x", "a"), copy_for("x", "b"), copy_for("x", "c"),
                         copy_for("y", "d"), copy_for("z", "e"), copy_for("z", "f")};
    fixture own;

    (void)state;
    assert_int_equal(set_up(&own, NULL), MAIL_OK);
    for (size_t i = 0; i < MAIL_COUNT(copies); i++) {
        add(&copies[i]);
    }
    assert_int_equal(fx->job_count, 2); /* x with a, and y with d */
    while (fx->job_count > 0) {
        work_one();
    }
    assert_string_equal(fx->order, "adefbc");
    assert_int_equal(fx->idles, 4);
    assert_int_equal(fx->group_count, 4);
    assert_int_equal(fx->groups[2], 2);
    assert_int_equal(fx->groups[3], 2);
    for (size_t i = 0; i < MAIL_COUNT(copies); i++) {
        assert_int_equal(copies[i].code, MAIL_OK);
    }
    assert_false(boxes_are_busy(fx->boxes));
    tear_down();
}

static void writes_a_copy_in_pieces(void **state)
{
    box_copy large = copy_for("x", "a");
    box_copy other = copy_for("x", "b");
    fixture own;

    (void)state;
    assert_int_equal(set_up(&own, NULL), MAIL_OK);
    large.is_last = false;
    add(&large);
    add(&other);
    while (fx->job_count > 0) {
        work_one();
    }
    assert_string_equal(fx->order, "aba"); /* the second piece waits behind what came meanwhile */
    assert_int_equal(large.code, MAIL_OK);
    assert_int_equal(other.code, MAIL_OK);
    tear_down();
}

static void fails_one_copy_and_not_its_neighbours(void **state)
{
    box_copy copies[] = {copy_for("x", "a"), copy_for("x", "b"), copy_for("x", "c"),
                         copy_for("missing", "d"), copy_for("a plain file", "e")};
    fixture own;

    (void)state;
    assert_int_equal(set_up(&own, NULL), MAIL_OK);
    copies[1].piece = MAIL_SPAN("full");
    for (size_t i = 0; i < MAIL_COUNT(copies); i++) {
        assert_int_equal(boxes_write(fx->boxes, &copies[i]), MAIL_OK);
    }
    boxes_go(fx->boxes);
    while (fx->job_count > 0) {
        work_one();
    }
    assert_int_equal(copies[0].code, MAIL_OK);
    assert_int_equal(copies[1].code, MAIL_ENOSPC);
    assert_int_equal(copies[2].code, MAIL_OK);
    assert_int_equal(copies[3].code, MAIL_EIO); /* nothing is said of the user */
    assert_int_equal(copies[4].code, MAIL_EIO);
    assert_int_equal(fx->groups[0], 2);
    tear_down();
}

static void fails_what_no_worker_can_have(void **state)
{
    box_copy copies[] = {copy_for("x", "a"), copy_for("y", "b"), copy_for("x", "c")};
    fixture own;

    (void)state;
    assert_int_equal(set_up(&own, NULL), MAIL_OK);
    fx->has_no_workers = true;
    for (size_t i = 0; i < MAIL_COUNT(copies); i++) {
        assert_int_equal(boxes_write(fx->boxes, &copies[i]), MAIL_OK);
    }
    boxes_go(fx->boxes);
    assert_string_equal(fx->order, "acb");
    for (size_t i = 0; i < MAIL_COUNT(copies); i++) {
        assert_int_equal(copies[i].code, MAIL_ESYS);
    }
    tear_down();
}

static void gives_all_back_at_the_end(void **state)
{
    box_copy copies[] = {copy_for("x", "a"), copy_for("x", "b"), copy_for("y", "c"),
                         copy_for("z", "d")};
    fixture own;
    mail_test_walk mem;

    (void)state;
    mail_test_mem_init(&mem);
    assert_int_equal(set_up(&own, &mem.mem), MAIL_OK);
    for (size_t i = 0; i < MAIL_COUNT(copies); i++) {
        add(&copies[i]);
    }
    boxes_destroy(fx->boxes);
    assert_int_equal(strlen(fx->order), 2); /* b and d have not been begun */
    assert_non_null(strchr(fx->order, 'b'));
    assert_non_null(strchr(fx->order, 'd'));
    assert_int_equal(copies[1].code, MAIL_EAGAIN);
    work_one();
    work_one();
    assert_int_equal(strlen(fx->order), 4);
    assert_int_equal(fx->idles, 0);
    assert_int_equal(fx->open_sinks, 0);
    mail_test_mem_check(&mem);
}

static void says_so_when_there_is_no_memory(void **state)
{
    (void)state;
    MAIL_TEST_WALK(walk)
    {
        box_copy copy = copy_for("x", "a");
        fixture own;
        int code = set_up(&own, &walk.mem);

        if (code == MAIL_OK) {
            code = boxes_write(fx->boxes, &copy);
            boxes_go(fx->boxes);
            if (code == MAIL_OK) {
                work_one();
                assert_int_equal(copy.code, MAIL_OK);
            }
            tear_down();
        }
        assert_true(code == MAIL_OK || (walk.failed && code == MAIL_ENOMEM));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_together_what_has_gathered_for_a_mailbox),
        cmocka_unit_test(writes_a_copy_in_pieces),
        cmocka_unit_test(fails_one_copy_and_not_its_neighbours),
        cmocka_unit_test(fails_what_no_worker_can_have),
        cmocka_unit_test(gives_all_back_at_the_end),
        cmocka_unit_test(says_so_when_there_is_no_memory),
    };

    return mail_test_run(tests);
}
