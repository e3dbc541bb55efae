/* SPDX-License-Identifier: MIT */
#include "mta/drop.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/mem.h"
#include "base/random.h"

/*
 * What lies in the folder at each step, and what a crash there leaves behind:
 *
 *     NAME.part, growing            nothing counts; the owner sweeps it up a day later
 *     NAME.part, whole and synced   the same
 *     NAME.mail                     the message is the owner's, but the name may be lost again
 *     NAME.mail, folder synced      `finish` has said MAIL_OK
 */
typedef struct drop_sink {
    mail_sink sink;
    const mail_mem *mem;
    const mail_files *fs;
    drop_seams seams;
    int dir;
    bool is_blind; /* the folder is another's, where we may make files and no more */
    int fd;
    uint64_t offset; /* of what is gathered, in the file */
    buffer gathered;
    char partial[MAIL_DROP_NAME_SIZE];
    char name[MAIL_DROP_NAME_SIZE];
    size_t spool_size;
    char spool[]; /* for the poke */
} drop_sink;

/* What is gathered before it is written; more comes in one piece. */
#define GATHER_BYTES ((size_t)32 * 1024)

static drop_sink *self_of(mail_sink *sink)
{
    return (drop_sink *)sink;
}

static size_t drop_room(mail_sink *sink)
{
    (void)sink;
    return (size_t)1 << 30;
}

static int write_parts(drop_sink *self, mail_span bytes)
{
    mail_span gathered = buffer_bytes(&self->gathered);
    struct iovec parts[] = {{(void *)gathered.data, gathered.length},
                            {(void *)bytes.data, bytes.length}};
    int code = file_write_all(self->fs, self->fd, parts, 2, self->offset);

    if (code < 0) {
        return mail_error_from_errno(-code);
    }
    self->offset += gathered.length + bytes.length;
    buffer_clear(&self->gathered, GATHER_BYTES);
    return MAIL_OK;
}

static int drop_put(mail_sink *sink, mail_span bytes)
{
    drop_sink *self = self_of(sink);

    if (bytes.length <= buffer_room(&self->gathered)) {
        return buffer_append(&self->gathered, bytes);
    }
    return write_parts(self, bytes);
}

static void free_sink(drop_sink *self)
{
    if (self->fd >= 0) {
        self->fs->ops->close(self->fs, self->fd);
    }
    if (self->dir >= 0) {
        self->fs->ops->close(self->fs, self->dir);
    }
    buffer_deinit(&self->gathered);
    mem_free(self->mem, self, sizeof(*self) + self->spool_size);
}

static void drop_abort(mail_sink *sink)
{
    drop_sink *self = self_of(sink);

    self->fs->ops->unlink(self->fs, self->dir, self->partial);
    free_sink(self);
}

/*
 * A name that may not last is taken back. If it has gone, the owner was quicker, and the message
 * is safe in the queue.
 */
static int take_back(drop_sink *self, int number)
{
    if (self->fs->ops->unlink(self->fs, self->dir, self->name) == -ENOENT) {
        return MAIL_OK;
    }
    return mail_error_from_errno(-number);
}

static int give_name(drop_sink *self)
{
    const mail_files_ops *ops = self->fs->ops;
    int number = ops->sync(self->fs, self->fd);

    if (number == 0) {
        number = ops->rename(self->fs, self->dir, self->partial, self->dir, self->name);
    }
    if (number < 0) {
        ops->unlink(self->fs, self->dir, self->partial);
        return mail_error_from_errno(-number);
    }
    /*
     * A folder that we may not read we can't sync. File systems with a journal, which these are, write
     * a file's new name with the file.
     */
    number = ops->sync(self->fs, self->is_blind ? self->fd : self->dir);
    return number < 0 ? take_back(self, number) : MAIL_OK;
}

static int drop_finish(mail_sink *sink, mail_finish_fn *fn, void *arg)
{
    drop_sink *self = self_of(sink);
    int code = write_parts(self, MAIL_SPAN(""));

    (void)fn;
    (void)arg;
    if (code != MAIL_OK) {
        drop_abort(sink);
        return code;
    }
    code = give_name(self);
    if (code == MAIL_OK && !self->seams.no_poke) {
        (void)mail_drop_poke(self->spool);
    }
    free_sink(self);
    return code;
}

static const mail_sink_ops drop_ops = {drop_room, drop_put, drop_finish, drop_abort};

/* What would break out of its line, however it got into the envelope. */
static bool holds(mail_span text, const char *octets)
{
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] == '\0' || strchr(octets, text.data[i]) != NULL) {
            return true;
        }
    }
    return false;
}

static int print_recipients(buffer *buf, const mail_envelope *envelope)
{
    int code = MAIL_OK;

    for (size_t i = 0; i < mail_envelope_count(envelope) && code == MAIL_OK; i++) {
        mail_recipient rcpt = mail_envelope_recipient(envelope, i);
        mail_span orcpt = rcpt.orcpt.length > 0 ? rcpt.orcpt : MAIL_SPAN("-");

        if (holds(rcpt.address, "\r\n") || holds(orcpt, "\r\n ")) {
            return MAIL_EINVAL;
        }
        code = buffer_printf(buf, "to %u %.*s %.*s\n", rcpt.notify, (int)orcpt.length, orcpt.data,
                             (int)rcpt.address.length, rcpt.address.data);
    }
    return code;
}

static int print_envid(buffer *buf, mail_span envid)
{
    char xtext[3 * DROP_ENVID_MAX];
    int length;

    if (envid.length == 0 || envid.length > DROP_ENVID_MAX) {
        return envid.length == 0 ? MAIL_OK : MAIL_EINVAL;
    }
    length = mail_xtext_encode(envid, xtext, sizeof(xtext));
    return length < 0 ? length : buffer_printf(buf, "envid %.*s\n", length, xtext);
}

static int print_envelope(buffer *buf, const mail_envelope *envelope)
{
    static const char *const rets[] = {"", "ret full\n", "ret hdrs\n"};
    static const char *const bodies[] = {"", "body 8bitmime\n", "body binarymime\n"};
    mail_span sender = mail_envelope_sender(envelope);
    int code;

    if (holds(sender, "\r\n")) {
        return MAIL_EINVAL;
    }
    code = buffer_printf(buf, DROP_MAGIC DROP_VERSION "\nsender %.*s\n", (int)sender.length,
                         sender.data);
    if (code == MAIL_OK) {
        code = print_envid(buf, mail_envelope_envid(envelope));
    }
    if (code == MAIL_OK) {
        code = buffer_printf(buf, "%s%s%s%s", rets[envelope->ret], bodies[envelope->body],
                             envelope->smtputf8 ? "smtputf8\n" : "",
                             envelope->requiretls ? "requiretls\n" : "");
    }
    if (code == MAIL_OK) {
        code = print_recipients(buf, envelope);
    }
    return code == MAIL_OK ? buffer_append(buf, MAIL_SPAN("\n")) : code;
}

/* The envelope goes out on its own: it may be longer than what is gathered of the message. */
static int write_envelope(drop_sink *self, const mail_envelope *envelope)
{
    buffer text;
    int code;

    buffer_init(&text, self->mem, SIZE_MAX / 2);
    code = print_envelope(&text, envelope);
    if (code == MAIL_OK) {
        code = write_parts(self, buffer_bytes(&text));
    }
    buffer_deinit(&text);
    return code;
}

/* The time in front, so that a listing in order of names is one in order of arrival. */
static void make_names(drop_sink *self)
{
    const drop_seams *seams = &self->seams;
    struct timespec now = {.tv_nsec = 0};
    uint64_t random = random_u64(seams->random);

    if (seams->wall != NULL) {
        now.tv_sec = (time_t)seams->wall(seams->wall_arg);
    } else {
        clock_gettime(CLOCK_REALTIME, &now);
    }
    snprintf(self->name, sizeof(self->name), "%010" PRIx64 "%08lx%016" PRIx64 DROP_SUFFIX,
             (uint64_t)now.tv_sec, (unsigned long)now.tv_nsec, random);
    snprintf(self->partial, sizeof(self->partial), "%010" PRIx64 "%08lx%016" PRIx64 DROP_PARTIAL,
             (uint64_t)now.tv_sec, (unsigned long)now.tv_nsec, random);
}

int drop_open_dir(const mail_files *fs, const char *spool)
{
    int above = fs->ops->open_dir(fs, FILE_CWD, spool);
    int dir;

    if (above < 0) {
        return above;
    }
    dir = fs->ops->open_dir(fs, above, DROP_DIR);
    fs->ops->close(fs, above);
    return dir;
}

/*
 * What root drops is of no use to an owner of the spool that is not root, unless it is the owner's,
 * as what lies round it is.
 */
static int give_as(const mail_files *fs, int fd, int above)
{
    file_info info;
    int number = fs->ops->give != NULL ? fs->ops->info(fs, above, &info) : 0;

    return number == 0 && fs->ops->give != NULL ? fs->ops->give(fs, fd, info.owner) : number;
}

static int make_dir_in(const mail_files *fs, int above)
{
    int number = fs->ops->make_dir(fs, above, DROP_DIR);
    int dir;

    if (number < 0) {
        return number == -EEXIST ? 0 : number;
    }
    dir = fs->ops->open_dir(fs, above, DROP_DIR);
    if (dir < 0) {
        return dir;
    }
    number = give_as(fs, dir, above);
    fs->ops->close(fs, dir);
    return number == 0 ? fs->ops->sync(fs, above) : number;
}

/* What else there is in a folder that mail is to be dropped in for the first time. */
typedef struct contents {
    bool is_spool;
    bool has_others;
} contents;

static int see(const char *name, void *arg)
{
    contents *in = arg;

    in->is_spool |= strcmp(name, "spool") == 0;
    in->has_others |= strcmp(name, DROP_DIR) != 0; /* another may just have made that */
    return 0;
}

/* Mail is stored only where somebody will look for it: in a spool of ours, or what may become one. */
static int check_folder(const mail_files *fs, int dir)
{
    contents in = {false, false};
    file_info info;
    int number = fs->ops->info(fs, dir, &info);

    if (number == 0) {
        number = fs->ops->list(fs, dir, see, &in);
    }
    if (number == 0 && ((info.owner != geteuid() && geteuid() != 0) || /* nor could they read it */
                        (in.has_others && !in.is_spool))) {
        number = -EPERM;
    }
    return number;
}

static int make_dir(const mail_files *fs, const char *spool)
{
    int above = fs->ops->open_dir(fs, FILE_CWD, spool);
    int number;

    if (above < 0) {
        return above;
    }
    number = check_folder(fs, above);
    if (number == 0) {
        number = make_dir_in(fs, above);
    }
    fs->ops->close(fs, above);
    return number == 0 ? drop_open_dir(fs, spool) : number;
}

/* As drop_open_dir, when we may do no more than make files there. */
static int search_dir(const mail_files *fs, const char *spool)
{
    int above = fs->ops->open_search(fs, FILE_CWD, spool);
    int dir;

    if (above < 0) {
        return above;
    }
    dir = fs->ops->open_search(fs, above, DROP_DIR);
    fs->ops->close(fs, above);
    return dir;
}

/*
 * What we drop in another's folder he must be able to read, and nobody else. That is so where the
 * folder shows nobody else what is in it: the name is not to be guessed, and strangers do not even
 * get so far. Anywhere else only root's relay could read it.
 */
static int show_to_owner(const mail_files *fs, int fd, int dir)
{
    file_info info;
    int number = fs->ops->set_mode != NULL ? fs->ops->info(fs, dir, &info) : -ENOSYS;

    if (number < 0 || info.owner == geteuid() || geteuid() == 0 || (info.mode & 0047) != 0) {
        return number == -ENOSYS ? 0 : number;
    }
    return fs->ops->set_mode(fs, fd, 0644);
}

static int open_file(drop_sink *self, const char *spool)
{
    int number;

    self->dir = drop_open_dir(self->fs, spool);
    if (self->dir == -ENOENT) {
        self->dir = make_dir(self->fs, spool);
    } else if (self->dir == -EACCES && self->fs->ops->open_search != NULL) {
        self->dir = search_dir(self->fs, spool);
        self->is_blind = true;
    }
    if (self->dir < 0) {
        return mail_error_from_errno(-self->dir);
    }
    make_names(self);
    self->fd = self->fs->ops->open(self->fs, self->dir, self->partial,
                                   FILE_WRITE | FILE_CREATE | FILE_NEW);
    if (self->fd < 0) {
        return mail_error_from_errno(-self->fd);
    }
    number = give_as(self->fs, self->fd, self->dir);
    if (number == 0) {
        number = show_to_owner(self->fs, self->fd, self->dir);
    }
    if (number < 0) {
        self->fs->ops->unlink(self->fs, self->dir, self->partial);
    }
    return mail_error_from_errno(-number);
}

int drop_begin(mail_sink **out, const drop_seams *seams, const char *spool,
               const mail_envelope *envelope, const mail_mem *mem, char *name, mail_error *err)
{
    size_t spool_size = strlen(spool) + 1;
    drop_sink *self;
    int code;

    if (mail_envelope_count(envelope) > DROP_RECIPIENTS_MAX) {
        return mail_error_set(err, MAIL_ELIMIT, "more than %d recipients", DROP_RECIPIENTS_MAX);
    }
    self = mem_alloc(mem, sizeof(*self) + spool_size);
    if (self == NULL) {
        return mail_error_set(err, MAIL_ENOMEM, "%s", mail_strerror(MAIL_ENOMEM));
    }
    self->sink.ops = &drop_ops;
    self->mem = mem;
    self->fs = seams->files;
    self->seams = *seams;
    self->fd = -1;
    self->spool_size = spool_size;
    memcpy(self->spool, spool, spool_size);
    buffer_init(&self->gathered, mem, GATHER_BYTES);
    code = open_file(self, spool);
    if (code != MAIL_OK) {
        free_sink(self);
        return mail_error_set(err, code, "%s/" DROP_DIR ": %s", spool,
                              code == MAIL_EPERM ? "not in a spool that we may write to"
                                                 : mail_strerror(code));
    }
    code = write_envelope(self, envelope);
    if (code != MAIL_OK) {
        drop_abort(&self->sink);
        return mail_error_set(err, code, "%s/" DROP_DIR ": %s", spool, mail_strerror(code));
    }
    if (name != NULL) {
        memcpy(name, self->name, sizeof(self->name));
    }
    *out = &self->sink;
    return MAIL_OK;
}

int mail_drop_begin(mail_sink **out, const char *spool, const mail_envelope *envelope,
                    const mail_mem *mem, char name[MAIL_DROP_NAME_SIZE], mail_error *err)
{
    const drop_seams seams = {.files = &file_system};

    return drop_begin(out, &seams, spool, envelope, mem, name, err);
}

static int copy(mail_source *body, mail_sink *sink)
{
    for (;;) {
        mail_span bytes;
        int code = mail_source_peek(body, &bytes);

        if (code != MAIL_OK || bytes.length == 0) {
            return code;
        }
        if (bytes.length > mail_sink_room(sink)) {
            bytes.length = mail_sink_room(sink);
        }
        code = mail_sink_write(sink, bytes);
        if (code != MAIL_OK) {
            return code;
        }
        mail_source_drop(body, bytes.length);
    }
}

int mail_drop_write(const char *spool, const mail_envelope *envelope, mail_source *body,
                    const mail_mem *mem, char name[MAIL_DROP_NAME_SIZE], mail_error *err)
{
    mail_sink *sink;
    int code = mail_drop_begin(&sink, spool, envelope, mem, name, err);

    if (code != MAIL_OK) {
        return code;
    }
    code = copy(body, sink);
    if (code != MAIL_OK) {
        mail_sink_abort(sink);
    } else {
        code = mail_sink_finish(sink, NULL, NULL);
    }
    if (code != MAIL_OK) {
        return mail_error_set(err, code, "%s/" DROP_DIR ": %s", spool, mail_strerror(code));
    }
    return MAIL_OK;
}

bool mail_drop_poke(const char *spool)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int length = snprintf(to.sun_path, sizeof(to.sun_path), "%s/" DROP_CONTROL, spool);
    bool heard;
    int fd;

    if (length < 0 || (size_t)length >= sizeof(to.sun_path)) {
        return false; /* the owner looks once a second anyway */
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return false;
    }
    heard = connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0 || errno == EAGAIN;
    close(fd);
    return heard;
}
