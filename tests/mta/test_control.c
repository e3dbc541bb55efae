/* SPDX-License-Identifier: MIT */
#include "net/world.h"

#include <pthread.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <mail/control.h>
#include <mail/operator.h>

#include "mta/control.h"
#include "mta/operator.h"

/* A queue, the loop of its owner, and another program that asks. */
typedef struct kit {
    world w;
    mail_queue *queue;
    mail_intake *intake;
    mail_control *control;
    char *spool;
    unsigned pokes;
    char id[MAIL_QUEUE_ID_SIZE]; /* of the last message */
} kit;

static void on_poke(void *arg)
{
    ((kit *)arg)->pokes++;
}

static void ignore(void *arg)
{
    (void)arg;
}

static void on_finished(int code, void *arg)
{
    *(int *)arg = code;
}

static void put(kit *k, const char *from, const char *to, mail_span body)
{
    mail_recipient recipient = {.address = mail_span_text(to)};
    mail_envelope envelope;
    int code = MAIL_EAGAIN;
    mail_sink *sink;

    mail_envelope_init(&envelope, NULL);
    assert_int_equal(mail_envelope_set_sender(&envelope, mail_span_text(from), MAIL_SPAN("")), 0);
    assert_int_equal(mail_envelope_add(&envelope, &recipient), MAIL_OK);
    assert_int_equal(mail_intake_begin(k->intake, &envelope, 0, k->id, &sink), MAIL_OK);
    mail_envelope_deinit(&envelope);
    assert_int_equal(operator_put(sink, body), MAIL_OK);
    code = mail_sink_finish(sink, on_finished, &code);
    while (code == MAIL_EAGAIN) {
        mail_intake_poll(k->intake);
    }
    assert_int_equal(code, MAIL_OK);
}

static void open_queue(kit *k)
{
    mail_queue_options opts = MAIL_QUEUE_OPTIONS_INIT;

    opts.segment_bytes = 1 << 20;
    assert_int_equal(mail_queue_open(&k->queue, k->spool, &opts, NULL), MAIL_OK);
    assert_int_equal(mail_intake_open(&k->intake, k->queue, ignore, NULL), MAIL_OK);
}

static void close_queue(kit *k)
{
    mail_intake_close(k->intake);
    mail_queue_close(k->queue);
    k->queue = NULL;
}

static int listen_here(kit *k, const mail_mem *mem)
{
    mail_control_options opts = MAIL_CONTROL_OPTIONS_INIT;

    opts.mem = mem;
    opts.queue = k->queue;
    opts.spool = k->spool;
    opts.on_poke = on_poke;
    opts.arg = k;
    opts.max_connections = 3;
    opts.sockets = &k->w.sockets;
    return mail_control_create(&k->control, k->w.loop, &opts, NULL);
}

static void kit_open(kit *k, int kind)
{
    memset(k, 0, sizeof(*k));
    k->spool = mail_test_make_dir();
    rmdir(k->spool);
    assert_int_equal(world_open(&k->w, kind, NULL), MAIL_OK);
    open_queue(k);
    assert_int_equal(listen_here(k, NULL), MAIL_OK);
}

static void kit_close(kit *k)
{
    mail_control_destroy(k->control);
    close_queue(k);
    world_close(&k->w);
    mail_test_remove_dir(k->spool);
}

/* What the other program does, on a thread of its own because it blocks. */
typedef struct visit {
    kit *k;
    void (*run)(struct visit *vs);
    mail_operator *op;
    mail_queue_selector which;
    int64_t result;
    mail_error err;
    char text[65536]; /* what was listed or read */
    size_t count;
    mail_queue_stats stats;
    mail_sink_memory body;
    bool found[400];
    int end; /* a byte comes when all is done */
} visit;

static void *visit_thread(void *arg)
{
    visit *vs = arg;

    assert_int_equal(mail_operator_open(&vs->op, vs->k->spool, true, NULL, &vs->err), MAIL_OK);
    assert_true(mail_operator_has_owner(vs->op));
    vs->run(vs);
    mail_operator_close(vs->op);
    assert_int_equal(write(vs->end, "x", 1), 1);
    return NULL;
}

/* Lets the owner serve until the other is done. */
static void visit_run(visit *vs, kit *k, void (*run)(visit *vs))
{
    pthread_t thread;
    char done;
    int ends[2];

    vs->k = k;
    vs->run = run;
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    vs->end = ends[1];
    assert_int_equal(pthread_create(&thread, NULL, visit_thread, vs), 0);
    while (read(ends[0], &done, 1) != 1) {
        world_step(&k->w);
    }
    pthread_join(thread, NULL);
    close(ends[0]);
    close(ends[1]);
}

static bool take_down(const mail_queue_item *item, void *arg)
{
    visit *vs = arg;
    size_t used = strlen(vs->text);

    vs->count++;
    used += (size_t)snprintf(vs->text + used, sizeof(vs->text) - used, "<%.*s>",
                             (int)item->sender.length, item->sender.data);
    for (size_t i = 0; i < item->recipient_count; i++) {
        used +=
            (size_t)snprintf(vs->text + used, sizeof(vs->text) - used, " %.*s%s",
                             (int)item->recipients[i].address.length,
                             item->recipients[i].address.data, item->recipients[i].held ? "!" : "");
    }
    snprintf(vs->text + used, sizeof(vs->text) - used, "\n");
    return true;
}

static void run_list(visit *vs)
{
    vs->result = mail_operator_list(vs->op, &vs->which, take_down, vs, &vs->err);
}

static void run_hold(visit *vs)
{
    vs->result = mail_operator_change(vs->op, MAIL_OPERATOR_HOLD, &vs->which, &vs->err);
}

static void run_release(visit *vs)
{
    vs->result = mail_operator_change(vs->op, MAIL_OPERATOR_RELEASE, &vs->which, &vs->err);
}

static void run_remove(visit *vs)
{
    vs->result = mail_operator_change(vs->op, MAIL_OPERATOR_REMOVE, &vs->which, &vs->err);
}

static void run_stats(visit *vs)
{
    vs->result = mail_operator_stats(vs->op, &vs->stats, &vs->err);
}

static void run_body(visit *vs)
{
    mail_sink_memory_init(&vs->body, NULL, 8 << 20);
    vs->result = mail_operator_body(vs->op, vs->which.ids[0], &vs->body.sink, &vs->err);
}

static void run_find(visit *vs)
{
    vs->result = mail_operator_find(vs->op, vs->which.ids, vs->which.id_count, vs->found, &vs->err);
}

static void put_three(kit *k)
{
    put(k, "a@client.example", "anna@example.org", MAIL_SPAN("Subject: 1\r\n\r\none\r\n"));
    put(k, "", "bob@example.net", MAIL_SPAN("Subject: 2\r\n\r\ntwo\r\n"));
    put(k, "\"a b\"@client.example", "eve@example.org", MAIL_SPAN("Subject: 3\r\n\r\nthree\r\n"));
}

static void does_what_an_operator_asks_of_the_owner(void **state)
{
    static const struct {
        const char *name;
        mail_queue_selector which;
        int64_t changed;
        const char *list;
    } cases[] = {
        {"domain",
         {.domain = {"EXAMPLE.org", 11}},
         2,
         "<a@client.example> anna@example.org!\n<> bob@example.net\n"
         "<\"a b\"@client.example> eve@example.org!\n"},
        {"sender with a blank",
         {.sender = {"\"a b\"@client.example", 20}},
         1,
         "<a@client.example> anna@example.org\n<> bob@example.net\n"
         "<\"a b\"@client.example> eve@example.org!\n"},
        {"no sender",
         {.sender = {"<>", 2}},
         1,
         "<a@client.example> anna@example.org\n<> bob@example.net!\n"
         "<\"a b\"@client.example> eve@example.org\n"},
        {"domain and sender",
         {.domain = {"example.org", 11}, .sender = {"a@client.example", 16}},
         1,
         "<a@client.example> anna@example.org!\n<> bob@example.net\n"
         "<\"a b\"@client.example> eve@example.org\n"},
        {"all",
         {.all = true},
         3,
         "<a@client.example> anna@example.org!\n<> bob@example.net!\n"
         "<\"a b\"@client.example> eve@example.org!\n"},
        {"nothing",
         {.domain = {"example.com", 11}},
         0,
         "<a@client.example> anna@example.org\n<> bob@example.net\n"
         "<\"a b\"@client.example> eve@example.org\n"},
    };

    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        kit k;

        (void)state;
        kit_open(&k, kind);
        put_three(&k);
        for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
            visit hold = {.which = cases[i].which};
            visit list = {.which = {.all = true}};
            visit release = {.which = {.all = true}};

            mail_test_case(cases[i].name);
            visit_run(&hold, &k, run_hold);
            assert_int_equal(hold.result, cases[i].changed);
            visit_run(&list, &k, run_list);
            assert_int_equal(list.result, MAIL_OK);
            assert_string_equal(list.text, cases[i].list);
            visit_run(&release, &k, run_release);
            assert_int_equal(release.result, cases[i].changed);
        }
        kit_close(&k);
    }
}

static void names_messages_by_id_however_many(void **state)
{
    enum {
        COUNT = 350,
        NAMED = 220
    };
    static char ids[COUNT][MAIL_QUEUE_ID_SIZE];
    const char *names[COUNT];
    visit list = {.which = {.all = true}};
    visit remove = {.which = {.ids = names, .id_count = NAMED}};
    visit rest = {.which = {.all = true}};
    visit stats = {.count = 0};
    visit find = {.which = {.ids = names, .id_count = COUNT}};
    kit k;

    (void)state;
    kit_open(&k, WORLD_POLL);
    for (size_t i = 0; i < COUNT; i++) {
        put(&k, "a@client.example", "anna@example.org", MAIL_SPAN("x\r\n"));
        memcpy(ids[i], k.id, sizeof(ids[i]));
        names[i] = ids[i];
    }
    visit_run(&list, &k, run_list); /* more than a part */
    assert_int_equal(list.count, COUNT);
    visit_run(&remove, &k, run_remove);
    assert_int_equal(remove.result, NAMED);
    visit_run(&find, &k, run_find);
    assert_int_equal(find.result, MAIL_OK);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(find.found[i], i >= NAMED);
    }
    visit_run(&stats, &k, run_stats);
    assert_int_equal(stats.stats.messages, COUNT - NAMED);
    assert_int_equal(stats.stats.removed, NAMED);
    visit_run(&rest, &k, run_remove); /* the last one of each part is gone when the next begins */
    assert_int_equal(rest.result, COUNT - NAMED);
    kit_close(&k);
}

static void sends_the_content_of_a_message_of_any_size(void **state)
{
    const size_t size = 3 << 20; /* large bodies lie in files of their own */
    char *content = malloc(size);
    const char *unknown = "06HZ2V0000000";
    visit none = {.which = {.ids = &unknown, .id_count = 1}};

    (void)state;
    for (size_t i = 0; i < size; i++) {
        content[i] = (char)(i * 7);
    }
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        static const size_t sizes[] = {0, 1, 65536, 65537, 3 << 20};
        kit k;

        kit_open(&k, kind);
        for (size_t i = 0; i < MAIL_COUNT(sizes); i++) {
            const char *id = k.id;
            visit body = {.which = {.ids = &id, .id_count = 1}};

            put(&k, "", "bob@example.net", mail_span_of(content, sizes[i]));
            visit_run(&body, &k, run_body);
            assert_int_equal(body.result, MAIL_OK);
            assert_true(mail_span_equal(mail_sink_memory_bytes(&body.body),
                                        mail_span_of(content, sizes[i])));
            mail_sink_memory_deinit(&body.body);
        }
        visit_run(&none, &k, run_body);
        assert_int_equal(none.result, MAIL_ENOENT);
        mail_sink_memory_deinit(&none.body);
        kit_close(&k);
    }
    free(content);
}

/* A client that types. */

static int dial(kit *k)
{
    char path[4096];
    int fd;

    snprintf(path, sizeof(path), "%s/control", k->spool);
    fd = net_system_sockets.ops->connect_unix(&net_system_sockets, path);
    assert_true(fd >= 0);
    return fd;
}

/* Says `text`, closes its half, and hears all that comes. */
static void converse(kit *k, const char *text, size_t length, char *heard, size_t size)
{
    world_converse(&k->w, dial(k), mail_span_of(text, length), true, heard, size);
}

static void answers_each_line_in_turn(void **state)
{
    static const struct {
        const char *name;
        const char *request;
        const char *reply;
    } cases[] = {
        {"nothing", "", ""},
        {"half a line", "list al", ""},
        {"empty line", "\n", "error -2 no such request\n"},
        {"unknown", "sleep all\n", "error -2 no such request\n"},
        {"longer verb", "listing all\n", "error -2 no such request\n"},
        {"no selection", "remove\n", "error -2 the request says too little or too much\n"},
        {"all and more", "remove all domain x\n",
         "error -2 the request says too little or too much\n"},
        {"stats of", "stats all\n", "error -2 the request says too little or too much\n"},
        {"two bodies", "body id a id b\n", "error -2 the request says too little or too much\n"},
        {"no value", "hold id\n", "error -2 cannot read what the request is about\n"},
        {"no sender", "hold sender \n", "error -2 cannot read what the request is about\n"},
        {"long id", "hold id 0123456789012345678901234567890123456789012345678901234567890123\n",
         "error -2 cannot read what the request is about\n"},
        {"CR", "list all\r\n", "error -2 control characters in a request\n"},
        {"empty queue", "list all\nhold all\n", "ok 0\nok 0\n"},
        {"unknown id", "hold id nonsense\nlist id ../../x\nlist id 01234567890123456789\n",
         "ok 0\nok 0\nok 0\n"},
        {"body of none", "body id 06HZ2V0000000\n", "error -6 no such file, message or mailbox\n"},
    };

    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        kit k;

        (void)state;
        kit_open(&k, kind);
        for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
            char heard[1024];

            mail_test_case(cases[i].name);
            converse(&k, cases[i].request, strlen(cases[i].request), heard, sizeof(heard));
            if (strncmp(cases[i].reply, "error -6", 8) == 0) {
                heard[8] = '\0';
                assert_string_equal(heard, "error -6");
            } else {
                assert_string_equal(heard, cases[i].reply);
            }
        }
        kit_close(&k);
    }
}

static void gives_up_on_a_line_without_end(void **state)
{
    static char flood[1 << 20];
    char heard[1024];
    kit k;

    (void)state;
    memset(flood, 'x', sizeof(flood));
    kit_open(&k, WORLD_POLL);
    converse(&k, flood, sizeof(flood), heard, sizeof(heard));
    assert_string_equal(heard, "error -15 the request is too long\n");
    assert_int_equal(mail_control_connections(k.control), 0);
    kit_close(&k);
}

static void hears_whoever_only_connects(void **state)
{
    for (int kind = 0; kind < WORLD_LOOPS; kind++) {
        kit k;

        (void)state;
        kit_open(&k, kind);
        for (unsigned i = 1; i < 10; i++) {
            close(dial(&k));
            while (k.pokes < i || mail_control_connections(k.control) > 0) {
                world_step(&k.w);
            }
        }
        kit_close(&k);
    }
}

static void takes_no_more_than_so_many(void **state)
{
    int fds[5];
    char byte;
    kit k;

    (void)state;
    kit_open(&k, WORLD_POLL);
    for (size_t i = 0; i < MAIL_COUNT(fds); i++) {
        fds[i] = dial(&k);
    }
    while (k.pokes < MAIL_COUNT(fds)) {
        world_step(&k.w);
    }
    assert_int_equal(mail_control_connections(k.control), 3);
    assert_int_equal(recv(fds[4], &byte, 1, 0), 0);
    assert_int_equal(recv(fds[0], &byte, 1, 0), -1);
    for (size_t i = 0; i < MAIL_COUNT(fds); i++) {
        close(fds[i]);
    }
    while (mail_control_connections(k.control) > 0) {
        world_step(&k.w);
    }
    kit_close(&k);
}

/* What a program hears that waits for `00.mail`, on a thread of its own because it blocks. */
typedef struct vigil {
    kit *k;
    mail_duration patience;
    int result;
    mail_error err;
    char text[2000];
    int end; /* a byte comes when the owner has heard it, and one when all is done */
} vigil;

static void note_outcome(const mail_delivery *delivery, void *arg)
{
    vigil *vg = arg;
    size_t used = strlen(vg->text);
    char reply[MAIL_REPLY_TEXT_SIZE];

    mail_reply_print(&delivery->reply, reply, sizeof(reply));
    snprintf(vg->text + used, sizeof(vg->text) - used, "%s %.*s: %s\n",
             mail_outcome_kind_name(delivery->kind), (int)delivery->recipient.length,
             delivery->recipient.data, reply);
}

static void *vigil_thread(void *arg)
{
    vigil *vg = arg;
    mail_operator *op;

    assert_int_equal(mail_operator_await(&op, vg->k->spool, "00.mail", NULL, &vg->err), MAIL_OK);
    assert_int_equal(write(vg->end, "x", 1), 1);
    vg->result = mail_operator_outcomes(op, vg->patience, note_outcome, vg, &vg->err);
    mail_operator_close(op);
    assert_int_equal(write(vg->end, "x", 1), 1);
    return NULL;
}

/* Calls `happens` once the other waits, and lets the owner serve until it has heard enough. */
static void vigil_run(vigil *vg, kit *k, void (*happens)(kit *k))
{
    pthread_t thread;
    char byte;
    int ends[2];

    vg->k = k;
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    vg->end = ends[1];
    assert_int_equal(pthread_create(&thread, NULL, vigil_thread, vg), 0);
    while (read(ends[0], &byte, 1) != 1) {
        world_step(&k->w);
    }
    happens(k);
    while (read(ends[0], &byte, 1) != 1) {
        world_step(&k->w);
    }
    pthread_join(thread, NULL);
    close(ends[0]);
    close(ends[1]);
}

static void deliver_one(kit *k, const char *id, mail_outcome_kind kind, const char *to,
                        const mail_reply *reply)
{
    const mail_delivery delivery = {
        .queue_id = id, .recipient = mail_span_text(to), .kind = kind, .reply = *reply};

    control_note_delivery(k->control, &delivery);
}

static void come_to_an_end(kit *k)
{
    const mail_reply good = MAIL_REPLY(250, 2, 0, 0, "Stored");
    const mail_reply bad = MAIL_REPLY(550, 5, 1, 1, "Nobody of that name");

    control_note_taken(k->control, "01.mail", "06HZ2V0000001", 1);
    control_note_taken(k->control, "00.mail", "06HZ2V0000002", 7);
    control_note_taken(k->control, "00.mail", "06HZ2V0000000", 2); /* that came to nothing */
    deliver_one(k, "06HZ2V0000001", MAIL_OUTCOME_ACCEPTED, "other@example.org", &good);
    deliver_one(k, "06HZ2V0000000", MAIL_OUTCOME_ACCEPTED, "anna@example.org", &good);
    control_note_safe(k->control, "00.mail");
    control_note_lost(k->control, "01.mail", MAIL_ELIMIT, NULL);
    deliver_one(k, "06HZ2V0000000", MAIL_OUTCOME_PERMANENT, "\"b b\"@example.org", &bad);
    deliver_one(k, "06HZ2V0000000", MAIL_OUTCOME_PERMANENT, "late@example.org", &bad);
}

static void be_gone(kit *k)
{
    control_note_taken(k->control, "00.mail", "06HZ2V0000000", 2);
    control_note_safe(k->control, "00.mail");
}

static void be_held(kit *k)
{
    const mail_queue_selector all = {.all = true};

    put(k, "a@client.example", "anna@example.org", MAIL_SPAN("x\r\n"));
    assert_int_equal(mail_queue_hold(k->queue, &all), 1);
    control_note_taken(k->control, "00.mail", k->id, 1);
    control_note_safe(k->control, "00.mail");
}

static void be_too_big(kit *k)
{
    control_note_lost(k->control, "00.mail", MAIL_ELIMIT, "the message is too big");
}

static void be_on_its_way(kit *k)
{
    put(k, "a@client.example", "anna@example.org", MAIL_SPAN("x\r\n"));
    control_note_taken(k->control, "00.mail", k->id, 1);
    control_note_safe(k->control, "00.mail");
}

static void end_the_owner(kit *k)
{
    mail_control_destroy(k->control);
    k->control = NULL;
}

static void tells_whoever_waits_what_becomes_of_a_message(void **state)
{
    static const struct {
        const char *name;
        void (*happens)(kit *k);
        mail_duration patience;
        int result;
        const char *heard;
        const char *err;
    } cases[] = {
        {"all are tried", come_to_an_end, 60 * MAIL_SECOND, MAIL_OK,
         "accepted anna@example.org: 250 2.0.0 Stored\n"
         "permanent \"b b\"@example.org: 550 5.1.1 Nobody of that name\n",
         ""},
        {"removed, or done unheard", be_gone, 60 * MAIL_SECOND, MAIL_OK, "", ""},
        {"held", be_held, 60 * MAIL_SECOND, MAIL_OK, "", ""},
        {"not taken", be_too_big, 60 * MAIL_SECOND, MAIL_ELIMIT, "",
         "the owner says: the message is too big"},
        {"nothing in time", be_on_its_way, 1, MAIL_ETIMEDOUT, "", "the spool's owner: timed out"},
        {"the owner ends", end_the_owner, 60 * MAIL_SECOND, MAIL_ECONN, "",
         "the spool's owner: connection failed"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        vigil vg = {.patience = cases[i].patience};
        kit k;

        mail_test_case(cases[i].name);
        kit_open(&k, WORLD_POLL);
        vigil_run(&vg, &k, cases[i].happens);
        assert_int_equal(vg.result, cases[i].result);
        assert_string_equal(vg.text, cases[i].heard);
        assert_string_equal(vg.err.text, cases[i].err);
        kit_close(&k);
    }
}

static void is_not_asked_to_wait_where_nobody_is(void **state)
{
    char *dir = mail_test_make_dir();
    mail_error err = {0};
    mail_operator *op;

    (void)state;
    assert_int_equal(mail_operator_await(&op, dir, "00.mail", NULL, &err), MAIL_ENOENT);
    assert_non_null(strstr(err.text, "the owner can't be asked to wait"));
    mail_test_remove_dir(dir);
}

/* They are many, but leave room for others; and only wait. */
static void lets_so_many_wait_beside_its_operators(void **state)
{
    enum {
        WAITING = 64
    };
    int fds[WAITING];
    char heard[8192];
    kit k;

    (void)state;
    kit_open(&k, WORLD_POLL);
    for (size_t i = 0; i < WAITING; i++) {
        fds[i] = dial(&k);
        world_says(&k.w, fds[i], "await id 00.mail\n");
        world_hears(&k.w, fds[i], "awaiting\n");
    }
    converse(&k, "await id 01.mail\nlist all\n", 26, heard, sizeof(heard));
    assert_string_equal(heard, "error -8 too many wait already\nok 0\n");
    world_says(&k.w, fds[0], "list all\n");
    world_hears(&k.w, fds[0], "error -13 nothing may come while something is awaited\n");
    for (size_t i = 0; i < WAITING; i++) {
        close(fds[i]);
    }
    while (mail_control_connections(k.control) > 0) {
        world_step(&k.w);
    }
    converse(&k, "await id 01.mail\n", 17, heard, sizeof(heard)); /* and goes */
    assert_string_equal(heard, "awaiting\n");
    kit_close(&k);
}

static void is_for_its_user_alone(void **state)
{
    char path[4096];
    struct stat st;
    kit k;

    (void)state;
    kit_open(&k, WORLD_POLL);
    snprintf(path, sizeof(path), "%s/control", k.spool);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    kit_close(&k);
}

static void works_without_an_owner(void **state)
{
    mail_queue_selector all = {.all = true};
    mail_queue_check found;
    visit here = {.count = 0};
    mail_operator *op;
    kit k;

    (void)state;
    kit_open(&k, WORLD_POLL);
    put_three(&k);
    mail_control_destroy(k.control);
    k.control = NULL;
    assert_int_equal(mail_operator_open(&op, k.spool, true, NULL, &here.err), MAIL_EBUSY);
    assert_int_equal(mail_operator_open(&op, k.spool, false, NULL, NULL), MAIL_OK);
    assert_int_equal(mail_operator_list(op, &all, take_down, &here, NULL), MAIL_OK);
    assert_int_equal(here.count, 3);
    mail_operator_close(op);
    close_queue(&k);
    assert_int_equal(mail_operator_open(&op, k.spool, true, NULL, NULL), MAIL_OK);
    assert_false(mail_operator_has_owner(op));
    assert_int_equal(mail_operator_change(op, MAIL_OPERATOR_HOLD, &all, NULL), 3);
    assert_int_equal(mail_operator_stats(op, &here.stats, NULL), MAIL_OK);
    assert_int_equal(here.stats.held, 3);
    mail_operator_close(op);
    assert_int_equal(mail_operator_check(k.spool, NULL, NULL, NULL, &found, NULL), MAIL_OK);
    assert_int_equal(found.messages, 3);
    assert_int_equal(found.damaged, 0);
    open_queue(&k);
    kit_close(&k);
}

/* Whatever fails on our way. */
static void wait_in_vain(kit *k)
{
    const mail_reply good = MAIL_REPLY(250, 2, 0, 0, "Stored");
    int fd = dial(k);

    world_says(&k->w, fd, "await id 00.mail\n");
    world_idle(&k->w);
    control_note_taken(k->control, "00.mail", "06HZ2V0000000", 2);
    deliver_one(k, "06HZ2V0000000", MAIL_OUTCOME_ACCEPTED, "anna@example.org", &good);
    deliver_one(k, "06HZ2V0000000", MAIL_OUTCOME_ACCEPTED, "bob@example.org", &good);
    world_idle(&k->w);
    close(fd);
}

/* The memory of connections and of what is sent to them. */
static void lives_with_little_memory(void **state)
{
    (void)state;
    MAIL_TEST_WALK(walk)
    {
        char heard[8192];
        kit k = {.pokes = 0};

        k.spool = mail_test_make_dir();
        rmdir(k.spool);
        assert_int_equal(world_open(&k.w, WORLD_POLL, NULL), MAIL_OK);
        open_queue(&k);
        put_three(&k);
        if (listen_here(&k, &walk.mem) == MAIL_OK) {
            converse(&k, "list all\nstats\n", 15, heard, sizeof(heard));
            assert_true(walk.failed || strstr(heard, "ok 3\nstat messages 3\n") != NULL);
            wait_in_vain(&k);
        }
        kit_close(&k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(does_what_an_operator_asks_of_the_owner),
        cmocka_unit_test(names_messages_by_id_however_many),
        cmocka_unit_test(sends_the_content_of_a_message_of_any_size),
        cmocka_unit_test(answers_each_line_in_turn),
        cmocka_unit_test(gives_up_on_a_line_without_end),
        cmocka_unit_test(hears_whoever_only_connects),
        cmocka_unit_test(takes_no_more_than_so_many),
        cmocka_unit_test(tells_whoever_waits_what_becomes_of_a_message),
        cmocka_unit_test(is_not_asked_to_wait_where_nobody_is),
        cmocka_unit_test(lets_so_many_wait_beside_its_operators),
        cmocka_unit_test(is_for_its_user_alone),
        cmocka_unit_test(works_without_an_owner),
        cmocka_unit_test(lives_with_little_memory),
    };

    return mail_test_run(tests);
}
