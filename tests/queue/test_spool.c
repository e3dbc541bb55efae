/* SPDX-License-Identifier: MIT */
/*
 * What others may have put in the way of a spool, on the system's own files: whoever could
 * lead it elsewhere could make it send, overwrite or lose anything (HOSTILE section 7).
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "queue/kit.h"

#define LARGE 20000

/* A spool with a small message and a large one in it, closed; and a file of somebody's beside it. */
typedef struct bench {
    kit k;
    char *dir;
    char spool[128];
    char victim[128];
    char elsewhere[128]; /* a folder */
    char large[160];     /* where the large message's body is */
    char segment[300];
} bench;

static const char precious[] = "nobody may touch this";

static void write_victim(const bench *b)
{
    int fd = open(b->victim, O_WRONLY | O_CREAT | O_EXCL, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, precious, sizeof(precious)), sizeof(precious));
    close(fd);
}

static int find_segment(const char *name, void *arg)
{
    bench *b = arg;
    size_t length = strlen(name);

    if (length > 4 && strcmp(name + length - 4, ".seg") == 0) {
        snprintf(b->segment, sizeof(b->segment), "%s/log/%s", b->spool, name);
        return 1;
    }
    return 0;
}

static void set_up(bench *b)
{
    static char body[LARGE];
    char log[160];
    int fd;

    *b = (bench){.dir = mail_test_make_dir()};
    snprintf(b->spool, sizeof(b->spool), "%s/spool", b->dir);
    snprintf(b->victim, sizeof(b->victim), "%s/victim", b->dir);
    snprintf(b->elsewhere, sizeof(b->elsewhere), "%s/elsewhere", b->dir);
    kit_init(&b->k, &(mail_queue_options){
                        .segment_bytes = 65536, .large_bytes = 10000, .reserve_bytes = 1});
    assert_int_equal(kit_open(&b->k, b->spool), MAIL_OK);
    memset(body, 'x', sizeof(body));
    assert_int_equal(kit_accept_text(&b->k, "a@x.example", "b@y.example", "small\r\n"), MAIL_OK);
    assert_int_equal(
        kit_accept(&b->k, "a@x.example", "b@y.example", mail_span_of(body, sizeof(body))), MAIL_OK);
    snprintf(b->large, sizeof(b->large), "%s/large/%s", b->spool, b->k.id);
    kit_close(&b->k);
    snprintf(log, sizeof(log), "%s/log", b->spool);
    fd = open(log, O_RDONLY | O_DIRECTORY);
    assert_true(fd >= 0);
    assert_int_equal(file_system.ops->list(&file_system, fd, find_segment, b), 1);
    close(fd);
    assert_int_equal(mkdir(b->elsewhere, 0700), 0);
    write_victim(b);
}

static void check_untouched(const bench *b)
{
    char text[sizeof(precious) + 1];
    struct stat st;
    int fd = open(b->victim, O_RDONLY);

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, sizeof(precious));
    assert_int_equal(read(fd, text, sizeof(text)), sizeof(precious));
    assert_memory_equal(text, precious, sizeof(precious));
    close(fd);
    assert_int_equal(rmdir(b->elsewhere), 0); /* nothing was put in it */
}

static void tear_down(bench *b)
{
    check_untouched(b);
    mail_test_remove_dir(b->dir);
}

static void opens_no_folder_that_others_may_write_to(void **state)
{
    static const struct {
        mode_t mode;
        int want;
    } cases[] = {
        {0700, MAIL_OK},    {0750, MAIL_OK},    {0755, MAIL_OK},     {0777, MAIL_EPERM},
        {0702, MAIL_EPERM}, {0757, MAIL_EPERM}, {01777, MAIL_EPERM},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_error err = {0};
        bench b;

        set_up(&b);
        assert_int_equal(chmod(b.spool, cases[i].mode), 0);
        assert_int_equal(mail_queue_open(&b.k.queue, b.spool, &b.k.opts, &err), cases[i].want);
        if (cases[i].want == MAIL_OK) {
            mail_queue_close(b.k.queue);
        } else {
            assert_string_equal(err.text, "anybody may write to the spool folder");
        }
        tear_down(&b);
    }
}

static void opens_no_folder_of_another_user(void **state)
{
    mail_error err = {0};
    bench b;

    (void)state;
    if (geteuid() != 0) {
        skip(); /* only the superuser can give a folder away */
    }
    set_up(&b);
    assert_int_equal(chown(b.spool, 12345, 12345), 0);
    assert_int_equal(mail_queue_open(&b.k.queue, b.spool, &b.k.opts, &err), MAIL_EPERM);
    assert_string_equal(err.text, "the spool belongs to another user");
    b.k.opts.read_only = true; /* he may look */
    assert_int_equal(mail_queue_open(&b.k.queue, b.spool, &b.k.opts, &err), MAIL_OK);
    mail_queue_close(b.k.queue);
    tear_down(&b);
}

/* Only where nothing of a stranger's is, a spool is made; who only looks is told the same. */
static void makes_a_spool_in_no_folder_of_others(void **state)
{
    static const struct {
        const char *name; /* NULL: the folder is empty */
        int want;
    } cases[] = {
        {NULL, MAIL_OK},         {"drop", MAIL_OK},           {"lost+found", MAIL_OK},
        {"letters", MAIL_EPERM}, {"lost+found2", MAIL_EPERM},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        char *dir = mail_test_make_dir();
        mail_queue_options opts = MAIL_QUEUE_OPTIONS_INIT;
        mail_error err = {0};
        mail_queue *queue;
        char path[160];

        if (cases[i].name != NULL) {
            snprintf(path, sizeof(path), "%s/%s", dir, cases[i].name);
            assert_int_equal(mkdir(path, 0700), 0);
        }
        opts.read_only = true;
        assert_int_equal(mail_queue_open(&queue, dir, &opts, &err),
                         cases[i].want == MAIL_OK ? MAIL_ENOENT : cases[i].want);
        opts.read_only = false;
        assert_int_equal(mail_queue_open(&queue, dir, &opts, &err), cases[i].want);
        if (cases[i].want == MAIL_OK) {
            mail_queue_close(queue);
        } else {
            assert_string_equal(err.text, "the folder is not empty and no spool of ours");
        }
        mail_test_remove_dir(dir);
    }
}

static void lead_to_victim(const bench *b, const char *path)
{
    assert_int_equal(symlink(b->victim, path), 0);
}

static void lead_elsewhere(const bench *b, const char *path)
{
    assert_int_equal(symlink(b->elsewhere, path), 0);
}

static void lead_nowhere(const bench *b, const char *path)
{
    char gone[140];

    snprintf(gone, sizeof(gone), "%s/gone", b->elsewhere);
    assert_int_equal(symlink(gone, path), 0);
}

static void put_fifo(const bench *b, const char *path)
{
    (void)b;
    assert_int_equal(mkfifo(path, 0600), 0);
}

static void put_folder(const bench *b, const char *path)
{
    (void)b;
    assert_int_equal(mkdir(path, 0700), 0);
}

/* What stands in the place of each part of a spool; it neither follows nor waits. */
static void follows_nothing_that_stands_in_the_place_of_a_part(void **state)
{
    static const struct {
        const char *name;
        const char *part; /* NULL: a segment */
        void (*put)(const bench *b, const char *path);
        const char *says;
    } cases[] = {
        {"a link to a file for the lock", "spool", lead_to_victim, "cannot open"},
        {"a link to nothing for the lock", "spool", lead_nowhere, "cannot open"},
        {"a pipe for the lock", "spool", put_fifo, "cannot"},
        {"a folder for the lock", "spool", put_folder, "cannot"},
        {"a link to a folder for the log", "log", lead_elsewhere, "'log'"},
        {"a pipe for the log", "log", put_fifo, "'log'"},
        {"a link to a folder for large bodies", "large", lead_elsewhere, "'large'"},
        {"a link to a folder for what is damaged", "damaged", lead_elsewhere, "'damaged'"},
        {"a link to a file for a segment", NULL, lead_to_victim, "is no plain file"},
        {"a link to nothing for a segment", NULL, lead_nowhere, "is no plain file"},
        {"a pipe for a segment", NULL, put_fifo, "is no plain file"},
        {"a folder for a segment", NULL, put_folder, "is no plain file"},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        mail_error err = {0};
        char path[300];
        char away[320];
        bench b;

        mail_test_case(cases[i].name);
        set_up(&b);
        if (cases[i].part != NULL) {
            snprintf(path, sizeof(path), "%s/%s", b.spool, cases[i].part);
        } else {
            snprintf(path, sizeof(path), "%s", b.segment);
        }
        snprintf(away, sizeof(away), "%s/away", b.dir);
        assert_int_equal(rename(path, away), 0);
        cases[i].put(&b, path);
        for (int only_looks = 0; only_looks < 2; only_looks++) {
            b.k.opts.read_only = only_looks;
            assert_true(mail_queue_open(&b.k.queue, b.spool, &b.k.opts, &err) < 0);
            assert_non_null(strstr(err.text, cases[i].says));
        }
        tear_down(&b);
    }
}

/* A body is never read from where a link leads. */
static void sends_no_file_that_a_link_leads_to(void **state)
{
    mail_lane *lane;
    mail_lease *lease;
    mail_source *source;
    unsigned bodies = 0;
    bench b;

    (void)state;
    set_up(&b);
    assert_int_equal(unlink(b.large), 0);
    lead_to_victim(&b, b.large);
    assert_int_equal(kit_open(&b.k, b.spool), MAIL_OK);
    while ((lease = kit_lease(&b.k, &lane)) != NULL) {
        if (mail_lease_body(lease, &source) == MAIL_OK) {
            char text[64];

            assert_int_equal(kit_read(source, text, sizeof(text)), strlen("small\r\n"));
            bodies++;
        }
        mail_lease_report(lease, 0, MAIL_QUEUE_DONE, NULL, false);
        mail_lease_end(lease);
        mail_lane_give_back(lane, INT64_MIN);
        queue_step(b.k.queue);
    }
    assert_int_equal(bodies, 1);
    kit_close(&b.k);
    tear_down(&b);
}

static void makes_everything_private(void **state)
{
    mode_t old = umask(0);
    const char *parts[5];
    char folders[3][160];
    bench b;

    (void)state;
    set_up(&b);
    umask(old);
    for (size_t i = 0; i < 3; i++) {
        snprintf(folders[i], sizeof(folders[i]), "%s/%s", b.spool,
                 (const char *[]){"spool", "log", "large"}[i]);
        parts[i] = folders[i];
    }
    parts[3] = b.segment;
    parts[4] = b.large;
    for (size_t i = 0; i < MAIL_COUNT(parts); i++) {
        struct stat st;

        mail_test_case(parts[i]);
        assert_int_equal(lstat(parts[i], &st), 0);
        assert_int_equal(st.st_mode & 077, 0);
    }
    tear_down(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_no_folder_that_others_may_write_to),
        cmocka_unit_test(opens_no_folder_of_another_user),
        cmocka_unit_test(makes_a_spool_in_no_folder_of_others),
        cmocka_unit_test(follows_nothing_that_stands_in_the_place_of_a_part),
        cmocka_unit_test(sends_no_file_that_a_link_leads_to),
        cmocka_unit_test(makes_everything_private),
    };

    return mail_test_run(tests);
}
