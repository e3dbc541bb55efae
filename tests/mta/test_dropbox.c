/* SPDX-License-Identifier: MIT */
#include "mta/kit.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mail/drop.h>

#include "base/file.h"
#include "mta/drop.h"
#include "mta/drop_report.h"
#include "mta/drop_shelf.h"
#include "support/fault_files.h"

/* The system's files, but for one whose name begins as told. */
typedef struct stubborn {
    mail_files files;
    mail_files_ops ops;
    const char *name;
    bool no_rename;
    bool no_unlink;
    unsigned refusals;
    int open_error;           /* of that file; 0: it opens */
    uint64_t unreadable_from; /* 0: all can be read */
    const char *unwanted;     /* the path of that file: an operator removes it as it is read */
    const char *held;         /* an operator gives that file this name before it is removed */
    bool becomes_folder;      /* or whoever wrote it makes one in its place */
    uint64_t size;            /* what its length is said to be; 0: what it is */
    int fd;                   /* of that file, last opened */
} stubborn;

static stubborn *self_of(const mail_files *fs)
{
    return (stubborn *)(uintptr_t)fs;
}

static bool is_meant(const mail_files *fs, const char *name)
{
    return strncmp(name, self_of(fs)->name, strlen(self_of(fs)->name)) == 0;
}

static int stubborn_open(const mail_files *fs, int dir, const char *name, int flags)
{
    int fd;

    if (self_of(fs)->open_error != 0 && strcmp(name, "00.mail") == 0) {
        self_of(fs)->refusals++;
        return self_of(fs)->open_error;
    }
    fd = file_system.ops->open(fs, dir, name, flags);
    if (is_meant(fs, name)) {
        self_of(fs)->fd = fd;
    } else if (self_of(fs)->fd == fd) {
        self_of(fs)->fd = -1;
    }
    return fd;
}

static ssize_t stubborn_read(const mail_files *fs, int fd, void *to, size_t size, uint64_t offset)
{
    const stubborn *self = self_of(fs);

    if (self->unreadable_from > 0 && fd == self->fd && offset >= self->unreadable_from) {
        return -EIO;
    }
    if (self->unwanted != NULL && fd == self->fd) {
        if (unlink(self->unwanted) == 0 && self->becomes_folder) {
            assert_int_equal(mkdir(self->unwanted, 0700), 0);
        }
    }
    return file_system.ops->read(fs, fd, to, size, offset);
}

static int stubborn_info(const mail_files *fs, int fd, file_info *out)
{
    int number = file_system.ops->info(fs, fd, out);

    if (fd == self_of(fs)->fd && self_of(fs)->size > 0) {
        out->size = self_of(fs)->size;
    }
    return number;
}

static int stubborn_rename(const mail_files *fs, int from_dir, const char *from, int to_dir,
                           const char *to)
{
    return self_of(fs)->no_rename && is_meant(fs, from)
               ? -EROFS
               : file_system.ops->rename(fs, from_dir, from, to_dir, to);
}

static int stubborn_unlink(const mail_files *fs, int dir, const char *name)
{
    if (self_of(fs)->held != NULL && strcmp(name, "00.mail") == 0) {
        assert_int_equal(file_system.ops->rename(fs, dir, name, dir, self_of(fs)->held), 0);
    }
    return self_of(fs)->no_unlink && is_meant(fs, name) ? -EROFS
                                                        : file_system.ops->unlink(fs, dir, name);
}

static void stubborn_init(stubborn *self, const char *name)
{
    *self = (stubborn){.ops = *file_system.ops, .name = name, .fd = -1};
    self->ops.open = stubborn_open;
    self->ops.read = stubborn_read;
    self->ops.info = stubborn_info;
    self->ops.rename = stubborn_rename;
    self->ops.unlink = stubborn_unlink;
    self->files.ops = &self->ops;
}

/* A front that sees its spool, which it gives, by `fs`. */
static char *kit_begin(kit *k, stubborn *fs)
{
    mail_receive_options opts = MAIL_RECEIVE_OPTIONS_INIT;

    opts.files = &fs->files;
    kit_open(k, WORLD_POLL);
    kit_receive(k, &opts);
    return mail_test_make_dir();
}

static void kit_end(kit *k, char *spool)
{
    kit_close(k);
    mail_test_remove_dir(spool);
}

/* Begins to drop a message, whose file will be called `name`. */
static mail_sink *begin_drop(const char *spool, const char *sender, const mail_recipient *to,
                             char name[MAIL_DROP_NAME_SIZE])
{
    mail_envelope envelope;
    mail_sink *sink;

    mail_envelope_init(&envelope, NULL);
    assert_int_equal(mail_envelope_set_sender(&envelope, mail_span_text(sender), MAIL_SPAN("")),
                     MAIL_OK);
    assert_int_equal(mail_envelope_add(&envelope, to), MAIL_OK);
    assert_int_equal(mail_drop_begin(&sink, spool, &envelope, NULL, name, NULL), MAIL_OK);
    mail_envelope_deinit(&envelope);
    return sink;
}

/* Drops a message, whose name is then `name` if that is not NULL. */
static void drop_named(const char *spool, const char *name, size_t size)
{
    const mail_recipient recipient = {.address = MAIL_SPAN("you@mx.example")};
    char made[MAIL_DROP_NAME_SIZE];
    char from[600];
    char to[600];
    mail_sink *sink = begin_drop(spool, "me@mx.example", &recipient, made);

    assert_int_equal(mail_sink_write(sink, MAIL_SPAN("Subject: x\r\n\r\n")), MAIL_OK);
    for (size_t i = 0; i < size; i += 10) {
        assert_int_equal(mail_sink_write(sink, MAIL_SPAN("12345678\r\n")), MAIL_OK);
    }
    assert_int_equal(mail_sink_finish(sink, NULL, NULL), MAIL_OK);
    if (name != NULL) {
        snprintf(from, sizeof(from), "%s/drop/%s", spool, made);
        snprintf(to, sizeof(to), "%s/drop/%s", spool, name);
        assert_int_equal(rename(from, to), 0);
    }
    (void)mail_drop_poke(spool);
}

static size_t lines_with(const kit *k, const char *text)
{
    size_t count = 0;

    for (const char *at = k->log; (at = strstr(at, text)) != NULL; at++) {
        count++;
    }
    return count;
}

/* What cannot be dealt with is said once, and keeps nothing else waiting. */
static void goes_on_with_others_when_nothing_can_be_done_about_one(void **state)
{
    static const struct {
        const char *name;
        size_t size; /* of its body; 0: it is none of ours */
        bool no_rename;
        bool no_unlink;
        uint64_t unreadable_from;
        int open_error;
        const char *says;
        size_t queued;
    } cases[] = {
        {"neither taken nor renamed", 0, true, false, 0, 0, "neither taken from drop nor set aside",
         0},
        {"taken, but not removed", 10, false, true, 0, 0, "taken from drop, but not removed", 1},
        {"not to be read to its end", 400000, false, false, 200000, 0, "cannot be read in drop", 0},
        {"not to be opened", 10, false, false, 0, -EIO, "cannot be read in drop", 0},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        char *spool;
        char path[600];
        stubborn fs;
        kit k;

        mail_test_case(cases[i].name);
        stubborn_init(&fs, "00");
        fs.no_rename = cases[i].no_rename;
        fs.no_unlink = cases[i].no_unlink;
        fs.unreadable_from = cases[i].unreadable_from;
        fs.open_error = cases[i].open_error;
        spool = kit_begin(&k, &fs);
        drop_named(spool, "00.mail", cases[i].size);
        snprintf(path, sizeof(path), "%s/drop/00.mail", spool);
        if (cases[i].size == 0) {
            assert_int_equal(truncate(path, 5), 0);
        }
        assert_int_equal(mail_receive_watch_drop(k.receive, spool, NULL), MAIL_OK);
        world_until(&k.w, lines_with(&k, cases[i].says) == 1);
        for (size_t n = 1; n <= 20; n++) { /* each is a further look */
            drop_named(spool, NULL, 10);
            world_until(&k.w, kit_list(&k).count == cases[i].queued + n);
        }
        world_idle(&k.w);
        assert_int_equal(lines_with(&k, "file=00.mail"), 1);
        assert_int_equal(kit_list(&k).count, cases[i].queued + 20);
        assert_int_equal(access(path, F_OK), 0);
        kit_end(&k, spool);
    }
}

/* More than can be remembered, and than one look sees: whose names come first has no advantage. */
static void goes_on_with_others_however_many_nothing_can_be_done_about(void **state)
{
    char *spool;
    char path[600];
    stubborn fs;
    kit k;

    (void)state;
    stubborn_init(&fs, "01");
    fs.no_rename = true;
    spool = kit_begin(&k, &fs);
    drop_named(spool, NULL, 10);
    for (unsigned i = 0; i < 1200; i++) {
        FILE *file;

        snprintf(path, sizeof(path), "%s/drop/01%u.mail", spool, i);
        file = fopen(path, "w");
        assert_non_null(file);
        fclose(file);
    }
    assert_int_equal(mail_receive_watch_drop(k.receive, spool, NULL), MAIL_OK);
    world_until(&k.w, kit_list(&k).count == 1);
    for (size_t n = 2; n <= 4; n++) {
        drop_named(spool, NULL, 10);
        for (unsigned looks = 0; looks < 3; looks++) {
            assert_true(mail_drop_poke(spool));
            world_idle(&k.w);
        }
        world_until(&k.w, kit_list(&k).count == n);
    }
    assert_int_equal(lines_with(&k, "error neither taken from drop nor set aside"), DROP_SHELF_MAX);
    kit_end(&k, spool);
}

/* Anybody can make a file of any length that takes no room. It is kept, for when there is room. */
static void goes_on_with_smaller_ones_when_one_is_too_large(void **state)
{
    mail_queue_options queue = MAIL_QUEUE_OPTIONS_INIT;
    mail_receive_options opts = MAIL_RECEIVE_OPTIONS_INIT;
    char *spool = mail_test_make_dir();
    stubborn fs;
    kit k;

    (void)state;
    stubborn_init(&fs, "00.");
    fs.size = UINT64_MAX / 2;
    opts.files = &fs.files;
    opts.engine.max_message_bytes = UINT64_MAX;
    kit_open(&k, WORLD_POLL);
    mail_queue_close(k.queue);
    queue.segment_bytes = 1 << 20;
    assert_int_equal(mail_queue_open(&k.queue, spool, &queue, NULL), MAIL_OK);
    kit_receive(&k, &opts);
    drop_named(spool, "00.mail", 10);
    assert_int_equal(mail_receive_watch_drop(k.receive, spool, NULL), MAIL_OK);
    for (size_t n = 1; n <= 3; n++) {
        drop_named(spool, NULL, 10);
        world_until(&k.w, kit_list(&k).count == n);
    }
    assert_int_equal(lines_with(&k, "error too large to be taken from drop"), 1);
    assert_int_equal(lines_with(&k, "file=00.mail"), 1);
    assert_true(drop_is_there(&file_system, spool, "00.mail"));
    kit_close(&k);
    mail_test_remove_dir(spool);
}

/* As large as is taken, or larger: whoever dropped it is not there any more to be told. */
static void reports_what_is_larger_than_is_taken(void **state)
{
    static const char content[] = "Subject: x\r\n\r\nbody\r\n";
    static const struct {
        const char *name;
        const char *sender;
        uint8_t notify;
        mail_span content;
        uint64_t limit;
        const char *queued; /* NULL: it is set aside */
        const char *says;   /* what comes of it: the text, … */
        const char *omits;  /* … and what is not in it */
    } cases[] = {
        {"as large",
         "me",
         0,
         {content, 20},
         20,
         "<me@mx.example> you@mx.example\n",
         "body",
         "5.3.4"},
        {"larger",
         "me",
         0,
         {content, 20},
         19,
         "<> me@mx.example\n",
         "\r\nFinal-Recipient: rfc822; you@mx.example\r\nAction: failed\r\nStatus: 5.3.4\r\n"
         "Diagnostic-Code: x-libmail; 552 5.3.4 Message too big\r\n",
         "body"},
        {"its header comes back",
         "a@b.example",
         0,
         {content, 20},
         1,
         "<> a@b.example\n",
         "\r\nSubject: x\r\n",
         "body"},
        {"not one with a NUL",
         "me",
         0,
         {"Subject: \0\r\n\r\nbody\r\n", 20},
         1,
         "<> me@mx.example\n",
         "5.3.4",
         "Subject: \r"},
        {"nor one without end",
         "me",
         0,
         {"Subject: x\r\n", 12},
         1,
         "<> me@mx.example\n",
         "5.3.4",
         "Subject: x"},
        {"of nobody", "", 0, {content, 20}, 1, NULL, NULL, NULL},
        {"no report is wanted", "me", MAIL_NOTIFY_NEVER, {content, 20}, 1, NULL, NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_receive_options opts = MAIL_RECEIVE_OPTIONS_INIT;
        char *spool = mail_test_make_dir();
        char name[MAIL_DROP_NAME_SIZE];
        mail_recipient to = {.address = MAIL_SPAN("you"), .notify = cases[i].notify};
        mail_sink *sink = begin_drop(spool, cases[i].sender, &to, name);
        bool is_refused = cases[i].limit < cases[i].content.length;
        kit k;

        mail_test_case(cases[i].name);
        assert_int_equal(mail_sink_write(sink, cases[i].content), MAIL_OK);
        assert_int_equal(mail_sink_finish(sink, NULL, NULL), MAIL_OK);
        opts.engine.max_message_bytes = cases[i].limit;
        kit_open(&k, WORLD_POLL);
        kit_receive(&k, &opts);
        assert_int_equal(mail_receive_watch_drop(k.receive, spool, NULL), MAIL_OK);
        world_until(&k.w, !drop_is_there(&file_system, spool, name));
        assert_int_equal(lines_with(&k, " warn refused file="), is_refused ? 1 : 0);
        if (cases[i].queued != NULL) {
            kit_listing queue = kit_list(&k);
            char *text = kit_read(&k, queue.id);

            assert_string_equal(queue.text, cases[i].queued);
            assert_non_null(strstr(text, cases[i].says));
            assert_null(strstr(text, cases[i].omits));
            free(text);
        } else {
            assert_int_equal(kit_list(&k).count, 0);
            assert_int_equal(lines_with(&k, "error set aside from drop"), 1);
            strcat(name, ".bad");
            assert_true(drop_is_there(&file_system, spool, name));
        }
        kit_close(&k);
        mail_test_remove_dir(spool);
    }
}

static void tells_who_dropped_what_is_refused(void **state)
{
    const mail_recipient to = {.address = MAIL_SPAN("you@mx.example")};
    mail_receive_options opts = MAIL_RECEIVE_OPTIONS_INIT;
    char *spool = mail_test_make_dir();
    char name[MAIL_DROP_NAME_SIZE];
    char want[300];
    mail_sink *sink = begin_drop(spool, "me@mx.example", &to, name);
    kit k;

    (void)state;
    assert_int_equal(mail_sink_write(sink, MAIL_SPAN("Subject: x\r\n\r\n")), MAIL_OK);
    assert_int_equal(mail_sink_finish(sink, NULL, NULL), MAIL_OK);
    opts.engine.max_message_bytes = 3;
    kit_open(&k, WORLD_POLL);
    kit_receive(&k, &opts);
    assert_int_equal(mail_receive_watch_drop(k.receive, spool, NULL), MAIL_OK);
    world_until(&k.w, lines_with(&k, "refused file=") == 1);
    snprintf(want, sizeof(want),
             " warn refused file=%s from=me@mx.example to=you@mx.example recipients=1 size=14 "
             "uid=%u reply=\"552 5.3.4 Message too big\" report=%s\n",
             name, (unsigned)getuid(), kit_list(&k).id);
    assert_non_null(strstr(k.log, want));
    kit_close(&k);
    mail_test_remove_dir(spool);
}

static void makes_a_report_or_fails_at_every_allocation(void **state)
{
    const mail_recipient to = {.address = MAIL_SPAN("you@mx.example")};
    mail_receive_options opts = MAIL_RECEIVE_OPTIONS_INIT;
    char *spool = mail_test_make_dir();
    char name[MAIL_DROP_NAME_SIZE];
    mail_sink *sink = begin_drop(spool, "me@mx.example", &to, name);
    kit k;

    (void)state;
    assert_int_equal(mail_sink_finish(sink, NULL, NULL), MAIL_OK);
    kit_open(&k, WORLD_POLL);
    kit_receive(&k, &opts);
    MAIL_TEST_WALK(walk)
    {
        const mail_mem *before = k.receive->mem;
        drop_report report = {.text = NULL};
        mail_envelope envelope;
        mail_drop *drop;
        int code;

        assert_int_equal(mail_drop_open(&drop, spool, name, NULL, NULL), MAIL_OK);
        mail_envelope_init(&envelope, &walk.mem);
        k.receive->mem = &walk.mem;
        code = drop_report_open(&report, k.receive, drop, &envelope);
        k.receive->mem = before;
        assert_int_equal(code, walk.failed ? MAIL_ENOMEM : MAIL_OK);
        assert_int_equal(report.text != NULL, code == MAIL_OK);
        drop_report_close(&report);
        mail_envelope_deinit(&envelope);
        mail_drop_close(drop);
    }
    kit_close(&k);
    mail_test_remove_dir(spool);
}

/* However often the folder is looked at. */
static void says_once_that_a_name_is_too_long(void **state)
{
    mail_receive_options opts = MAIL_RECEIVE_OPTIONS_INIT;
    char *spool = mail_test_make_dir();
    char name[59 + sizeof(".mail")];
    char path[600];
    kit k;

    (void)state;
    snprintf(name, sizeof(name), "%059d.mail", 0);
    kit_open(&k, WORLD_POLL);
    kit_receive(&k, &opts);
    drop_named(spool, name, 10);
    drop_named(spool, name + 1, 10); /* just right */
    assert_int_equal(mail_receive_watch_drop(k.receive, spool, NULL), MAIL_OK);
    world_until(&k.w, kit_list(&k).count == 1);
    for (size_t n = 2; n <= 5; n++) { /* each is a further look */
        drop_named(spool, NULL, 10);
        world_until(&k.w, kit_list(&k).count == n);
    }
    assert_int_equal(lines_with(&k, "warn passed over in drop file=0"), 1);
    assert_int_equal(lines_with(&k, " reason=\"its name is too long\"\n"), 1);
    snprintf(path, sizeof(path), "%s/drop/%s", spool, name);
    assert_int_equal(access(path, F_OK), 0);
    kit_close(&k);
    mail_test_remove_dir(spool);
}

static void remembers_what_was_told_as_long_as_there_is_any(void **state)
{
    drop_told told = {.count = 0};

    (void)state;
    for (uint64_t hash = 0; hash < 2 * DROP_TOLD_MAX; hash++) {
        assert_int_equal(drop_told_is_due(&told, hash), hash < DROP_TOLD_MAX);
        assert_false(drop_told_is_due(&told, hash));
    }
    drop_told_end_look(&told);
    assert_false(drop_told_is_due(&told, 1));
    drop_told_end_look(&told);
    drop_told_end_look(&told); /* it saw none */
    assert_true(drop_told_is_due(&told, 1));
    assert_false(drop_told_is_due(&told, 1));
}

/* A folder in the place of what was taken can't be removed as that can. */
static void sets_aside_what_took_the_place_of_one_that_was_taken(void **state)
{
    char *spool;
    char path[600];
    stubborn fs;
    kit k;

    (void)state;
    stubborn_init(&fs, "00.");
    spool = kit_begin(&k, &fs);
    drop_named(spool, "00.mail", 10);
    snprintf(path, sizeof(path), "%s/drop/00.mail", spool);
    fs.unwanted = path;
    fs.becomes_folder = true;
    assert_int_equal(mail_receive_watch_drop(k.receive, spool, NULL), MAIL_OK);
    world_until(&k.w, drop_is_dir(&file_system, spool, "00.mail.bad"));
    world_idle(&k.w);
    assert_int_equal(kit_list(&k).count, 1);
    assert_int_equal(lines_with(&k, "set aside from drop file=00.mail"), 1);
    kit_end(&k, spool);
}

/* One that is held a moment too late is in the queue already, and would come twice once released. */
static void takes_once_what_an_operator_holds_too_late(void **state)
{
    static const char *const names[] = {"00.held", "another.held"};

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(names); i++) {
        char *spool;
        stubborn fs;
        kit k;

        stubborn_init(&fs, "00.");
        fs.held = names[i];
        spool = kit_begin(&k, &fs);
        drop_named(spool, "00.mail", 10);
        drop_named(spool, i == 0 ? "another.held" : "00.held", 10); /* these are others */
        assert_int_equal(mail_receive_watch_drop(k.receive, spool, NULL), MAIL_OK);
        world_until(&k.w, lines_with(&k, "taken from drop file=00.mail") == 1);
        assert_int_equal(kit_list(&k).count, 1);
        assert_int_equal(drop_is_there(&file_system, spool, "00.held"), i == 1);
        assert_true(drop_is_there(&file_system, spool, "another.held"));
        kit_end(&k, spool);
    }
}

static void takes_nothing_that_an_operator_has_just_removed(void **state)
{
    char *spool;
    char path[600];
    stubborn fs;
    kit k;

    (void)state;
    stubborn_init(&fs, "00");
    spool = kit_begin(&k, &fs);
    drop_named(spool, "00.mail", 100000);
    snprintf(path, sizeof(path), "%s/drop/00.mail", spool);
    fs.unwanted = path;
    assert_int_equal(mail_receive_watch_drop(k.receive, spool, NULL), MAIL_OK);
    world_until(&k.w, access(path, F_OK) != 0);
    drop_named(spool, NULL, 10);
    world_until(&k.w, kit_list(&k).count == 1);
    world_idle(&k.w);
    assert_int_equal(kit_list(&k).count, 1);
    assert_int_equal(lines_with(&k, "file=00.mail"), 0);
    kit_end(&k, spool);
}

/* What fails for want of something else than a sound file is no verdict on it. */
static void keeps_what_it_cannot_open_for_now(void **state)
{
    static const int errors[] = {-EMFILE, -ENOMEM};

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(errors); i++) {
        char *spool;
        stubborn fs;
        kit k;

        stubborn_init(&fs, "00");
        fs.open_error = errors[i];
        spool = kit_begin(&k, &fs);
        drop_named(spool, "00.mail", 10);
        assert_int_equal(mail_receive_watch_drop(k.receive, spool, NULL), MAIL_OK);
        for (unsigned looks = 0; looks < 3; looks++) { /* said once, whoever looks in */
            world_until(&k.w, fs.refusals > looks);
            (void)mail_drop_poke(spool);
        }
        assert_int_equal(lines_with(&k, "warn not taken from drop"), errors[i] == -EMFILE ? 1 : 0);
        assert_int_equal(kit_list(&k).count, 0);
        fs.open_error = 0;
        assert_true(mail_drop_poke(spool));
        world_until(&k.w, kit_list(&k).count == 1);
        assert_int_equal(lines_with(&k, "set aside"), 0);
        kit_end(&k, spool);
    }
}

static bool count_name(const char *name, void *arg)
{
    (void)name;
    ++*(size_t *)arg;
    return true;
}

static size_t files_in(fault_files *disk, const char *spool)
{
    size_t count = 0;

    assert_int_equal(drop_list(fault_files_table(disk), spool, count_name, &count), MAIL_OK);
    return count;
}

static int count_syncs(fault_op op, const char *name, void *arg)
{
    (void)name;
    *(size_t *)arg += op == FAULT_SYNC;
    return 0;
}

/* Makes a folder and those above it, to last. */
static void make_path(const mail_files *fs, const char *path)
{
    for (size_t length = 1; length <= strlen(path); length++) {
        char part[512];
        char above[512];
        int dir;

        if (path[length] != '/' && path[length] != '\0') {
            continue;
        }
        snprintf(part, sizeof(part), "%.*s", (int)length, path);
        snprintf(above, sizeof(above), "%.*s", (int)(strrchr(part, '/') - part + 1), path);
        assert_int_equal(fs->ops->make_dir(fs, FILE_CWD, part), 0);
        dir = fs->ops->open_dir(fs, FILE_CWD, above);
        assert_int_equal(fs->ops->sync(fs, dir), 0);
        fs->ops->close(fs, dir);
    }
}

static void drop_on(fault_files *disk, const char *spool)
{
    const mail_recipient recipient = {.address = MAIL_SPAN("you@mx.example")};
    const drop_seams seams = {.files = fault_files_table(disk), .no_poke = true};
    mail_envelope envelope;
    mail_sink *sink;

    mail_envelope_init(&envelope, NULL);
    assert_int_equal(mail_envelope_add(&envelope, &recipient), MAIL_OK);
    assert_int_equal(drop_begin(&sink, &seams, spool, &envelope, NULL, NULL, NULL), MAIL_OK);
    mail_envelope_deinit(&envelope);
    assert_int_equal(mail_sink_write(sink, MAIL_SPAN("Subject: x\r\n\r\n")), MAIL_OK);
    assert_int_equal(mail_sink_finish(sink, NULL, NULL), MAIL_OK);
}

#define FLOOD 50

/*
 * What was taken does not come again, whether the power goes a moment later or the program ends
 * before; and many files share a sync.
 */
static void removes_for_good_what_it_has_taken(void **state)
{
    (void)state;
    for (int ends = 0; ends < 2; ends++) {
        mail_receive_options opts = MAIL_RECEIVE_OPTIONS_INIT;
        fault_files *disk = fault_files_create(1);
        char *spool = mail_test_make_dir(); /* for the socket */
        size_t syncs = 0;
        kit k;

        mail_test_case(ends ? "ends" : "goes on");
        opts.files = fault_files_table(disk);
        make_path(opts.files, spool);
        kit_open(&k, WORLD_POLL);
        kit_receive(&k, &opts);
        for (int i = 0; i < FLOOD; i++) {
            drop_on(disk, spool);
        }
        fault_files_set(disk, count_syncs, &syncs);
        assert_int_equal(mail_receive_watch_drop(k.receive, spool, NULL), MAIL_OK);
        world_until(&k.w, files_in(disk, spool) == 0);
        assert_int_equal(kit_list(&k).count, FLOOD);
        if (ends) {
            kit_close(&k);
        } else {
            world_until(&k.w, syncs > 0);
        }
        fault_files_crash(disk);
        if (!ends) {
            kit_close(&k);
        }
        fault_files_reboot(disk);
        assert_int_equal(files_in(disk, spool), 0);
        assert_int_equal(syncs, 1);
        fault_files_destroy(disk);
        mail_test_remove_dir(spool);
    }
}

static void tries_what_is_on_the_shelf_less_and_less_often(void **state)
{
    drop_shelf shelf = {.count = 0};
    mail_duration waited = 0;
    mail_time now = 1000 * MAIL_HOUR;
    unsigned tries = 0;

    (void)state;
    assert_false(drop_shelf_rests(&shelf, "a", now));
    while (waited < MAIL_DAY) {
        assert_true(drop_shelf_put(&shelf, "a", true, now));
        tries++;
        while (drop_shelf_rests(&shelf, "a", now)) {
            now += MAIL_SECOND;
            waited += MAIL_SECOND;
        }
    }
    assert_in_range(tries, 24, 32);
    assert_true(drop_shelf_find(&shelf, "a")->is_safe);
    drop_shelf_take(&shelf, "a");
    assert_null(drop_shelf_find(&shelf, "a"));
    drop_shelf_take(&shelf, "a");
}

static void has_room_on_the_shelf_for_so_many_and_forgets_those_that_have_gone(void **state)
{
    drop_shelf shelf = {.count = 0};
    char name[16];

    (void)state;
    for (int i = 0; i < DROP_SHELF_MAX; i++) {
        snprintf(name, sizeof(name), "%d", i);
        assert_true(drop_shelf_put(&shelf, name, false, 0));
    }
    assert_false(drop_shelf_put(&shelf, "one more", false, 0));
    assert_true(drop_shelf_put(&shelf, "taken", true, 0)); /* in the place of one that was not */
    assert_null(drop_shelf_find(&shelf, "0"));
    assert_true(drop_shelf_put(&shelf, "7", false, 0));
    assert_true(drop_shelf_put(&shelf, "one more", false, 10 * MAIL_MINUTE));
    drop_shelf_take(&shelf, "9");
    assert_null(drop_shelf_find(&shelf, "9"));
    assert_non_null(drop_shelf_find(&shelf, "63"));
    assert_non_null(drop_shelf_find(&shelf, "one more"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_on_with_others_when_nothing_can_be_done_about_one),
        cmocka_unit_test(goes_on_with_others_however_many_nothing_can_be_done_about),
        cmocka_unit_test(goes_on_with_smaller_ones_when_one_is_too_large),
        cmocka_unit_test(reports_what_is_larger_than_is_taken),
        cmocka_unit_test(tells_who_dropped_what_is_refused),
        cmocka_unit_test(makes_a_report_or_fails_at_every_allocation),
        cmocka_unit_test(says_once_that_a_name_is_too_long),
        cmocka_unit_test(remembers_what_was_told_as_long_as_there_is_any),
        cmocka_unit_test(sets_aside_what_took_the_place_of_one_that_was_taken),
        cmocka_unit_test(takes_once_what_an_operator_holds_too_late),
        cmocka_unit_test(takes_nothing_that_an_operator_has_just_removed),
        cmocka_unit_test(keeps_what_it_cannot_open_for_now),
        cmocka_unit_test(removes_for_good_what_it_has_taken),
        cmocka_unit_test(tries_what_is_on_the_shelf_less_and_less_often),
        cmocka_unit_test(has_room_on_the_shelf_for_so_many_and_forgets_those_that_have_gone),
    };

    return mail_test_run(tests);
}
