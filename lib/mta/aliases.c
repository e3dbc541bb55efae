/* SPDX-License-Identifier: MIT */
#include <mail/aliases.h>

#include "base/ascii.h"
#include "base/buffer.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/table.h"
#include "mta/domain_set.h"

/* A chain of aliases longer than this is a mistake. */
#define DEPTH_MAX 50

/* What all aliases of a file may stand for together: lists of lists of lists are soon more than memory. */
#define TARGETS_MAX ((size_t)1 << 21)

/* Whether an alias knows what it stands for in the end. */
typedef enum progress {
    UNFOLLOWED,
    FOLLOWING, /* met again: a loop */
    FOLLOWED
} progress;

typedef struct targets {
    mail_span *items;
    size_t count;
    size_t capacity;
} targets;

typedef struct entry {
    table_entry by_name;
    mail_span name; /* canonical, in lower case */
    unsigned line;
    unsigned depth; /* of the aliases below it */
    progress state;
    targets written; /* owns its texts */
    targets all;     /* lends from the `written` of all */
    mail_alias alias;
} entry;

/* An address that some alias names, while aliases are followed. */
typedef struct named {
    table_entry by_text;
    mail_span text;    /* lent */
    const entry *user; /* the last alias among whose targets it was put */
} named;

struct mail_aliases {
    const mail_mem *mem;
    hash_seed seed;
    table entries;
    table names; /* empty again once all is read */
    size_t total;
    domain_set local;
};

/* Where reading stands, for what goes wrong. */
typedef struct reading {
    mail_aliases *aliases;
    const char *source;
    unsigned line;
    mail_error *err;
} reading;

static int fail(const reading *rd, unsigned line, const char *reason)
{
    return mail_error_set(rd->err, MAIL_EINVAL, "%s:%u: %s", rd->source, line, reason);
}

static int no_memory(const reading *rd)
{
    return mail_error_set(rd->err, MAIL_ENOMEM, "%s", mail_strerror(MAIL_ENOMEM));
}

static bool targets_add(const mail_mem *mem, targets *to, mail_span item)
{
    if (to->count == to->capacity) {
        size_t capacity = to->capacity > 0 ? to->capacity * 2 : 4;
        mail_span *items =
            mem_resize(mem, to->items, to->capacity * sizeof(*items), capacity * sizeof(*items));

        if (items == NULL) {
            return false;
        }
        to->items = items;
        to->capacity = capacity;
    }
    to->items[to->count++] = item;
    return true;
}

static void free_text(const mail_mem *mem, mail_span text)
{
    mem_free(mem, (char *)text.data, text.length + 1);
}

static void free_entry(const mail_mem *mem, entry *en)
{
    for (size_t i = 0; i < en->written.count; i++) {
        free_text(mem, en->written.items[i]);
    }
    mem_free(mem, en->written.items, en->written.capacity * sizeof(mail_span));
    mem_free(mem, en->all.items, en->all.capacity * sizeof(mail_span));
    if (en->name.data != NULL) {
        free_text(mem, en->name);
    }
    mem_free(mem, en, sizeof(*en));
}

static entry *find_name(const mail_aliases *aliases, mail_span name)
{
    uint64_t hash = hash_bytes_nocase(&aliases->seed, name);

    for (table_entry *e = table_first(&aliases->entries, hash); e != NULL; e = table_next(e)) {
        entry *en = LIST_OWNER(e, entry, by_name);

        if (mail_span_equal_nocase(en->name, name)) {
            return en;
        }
    }
    return NULL;
}

/* The whole address first, then its local part if the domain is ours. */
static entry *find(const mail_aliases *aliases, const mail_path *address)
{
    mail_span domain = mail_path_domain(address);
    entry *en = find_name(aliases, mail_path_text(address));

    if (en == NULL && domain_set_has(&aliases->local, domain)) {
        en = find_name(aliases, mail_path_local(address));
    }
    return en;
}

static mail_span trim(mail_span text)
{
    while (text.length > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text = mail_span_from(text, 1);
    }
    while (text.length > 0 && memchr(" \t\r", text.data[text.length - 1], 3) != NULL) {
        text.length--;
    }
    return text;
}

/* The length up to the first `stop` outside quotes, or that of the whole text. */
static size_t length_before(mail_span text, char stop)
{
    bool quoted = false;

    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] == '\\' && quoted) {
            i++;
        } else if (text.data[i] == '"') {
            quoted = !quoted;
        } else if (text.data[i] == stop && !quoted) {
            return i;
        }
    }
    return text.length;
}

/* A canonical copy of an address, or an empty span and the code why not. */
static int keep_address(const reading *rd, mail_span text, mail_span *out)
{
    mail_path path;
    char *copy;

    if (mail_path_from_text(text, MAIL_PATH_UTF8 | MAIL_PATH_BARE, &path) != MAIL_OK) {
        return fail(rd, rd->line, "this is no address");
    }
    copy = mem_text(rd->aliases->mem, mail_path_text(&path));
    if (copy == NULL) {
        return no_memory(rd);
    }
    *out = mail_span_of(copy, path.length);
    return MAIL_OK;
}

static int read_targets(const reading *rd, entry *en, mail_span rest)
{
    while (rest.length > 0) {
        size_t length = length_before(rest, ',');
        mail_span item = trim(mail_span_first(rest, length));
        mail_span kept;
        int code;

        if (item.length > 0 && memchr("|/:", item.data[0], 3) != NULL) {
            return fail(rd, rd->line, "programs, files and includes are no targets here");
        }
        code = keep_address(rd, item, &kept);
        if (code != MAIL_OK) {
            return code;
        }
        if (!targets_add(rd->aliases->mem, &en->written, kept)) {
            free_text(rd->aliases->mem, kept);
            return no_memory(rd);
        }
        rest = mail_span_from(rest, length < rest.length ? length + 1 : length);
    }
    return en->written.count > 0 ? MAIL_OK : fail(rd, rd->line, "no target stands there");
}

static int read_name(const reading *rd, entry *en, mail_span text)
{
    int code = keep_address(rd, text, &en->name);

    if (code != MAIL_OK) {
        return code;
    }
    if (find_name(rd->aliases, en->name) != NULL) {
        return fail(rd, rd->line, "this name has stood there before");
    }
    return MAIL_OK;
}

/* A line with those that go on with it. */
static int read_alias(const reading *rd, mail_span line)
{
    mail_aliases *aliases = rd->aliases;
    size_t colon = length_before(line, ':');
    entry *en = mem_alloc(aliases->mem, sizeof(*en));
    int code;

    if (en == NULL) {
        return no_memory(rd);
    }
    en->line = rd->line;
    code = colon < line.length ? read_name(rd, en, trim(mail_span_first(line, colon)))
                               : fail(rd, rd->line, "an alias is `name: target`");
    if (code == MAIL_OK) {
        code = read_targets(rd, en, trim(mail_span_from(line, colon + 1)));
    }
    if (code == MAIL_OK && table_insert(&aliases->entries, &en->by_name,
                                        hash_bytes_nocase(&aliases->seed, en->name)) != MAIL_OK) {
        code = no_memory(rd);
    }
    if (code != MAIL_OK) {
        free_entry(aliases->mem, en);
    }
    return code;
}

static bool goes_on(mail_span text)
{
    return text.length > 0 && (text.data[0] == ' ' || text.data[0] == '\t');
}

static mail_span cut_line(mail_span *text)
{
    const char *end = memchr(text->data, '\n', text->length);
    size_t length = end != NULL ? (size_t)(end - text->data) : text->length;
    mail_span line = mail_span_first(*text, length);

    *text = mail_span_from(*text, end != NULL ? length + 1 : length);
    return line;
}

static int read_lines(reading *rd, mail_span text)
{
    unsigned line_number = 0;
    buffer whole; /* a line with those that go on with it */
    int code = MAIL_OK;

    buffer_init(&whole, rd->aliases->mem, SIZE_MAX / 2);
    while (code == MAIL_OK && text.length > 0) {
        mail_span line = cut_line(&text);
        mail_span content = trim(line);

        line_number++;
        if (content.length == 0 || content.data[0] == '#') {
            continue;
        }
        rd->line = line_number;
        if (goes_on(line)) {
            code = fail(rd, line_number, "there is no alias that this could go on with");
            break;
        }
        buffer_clear(&whole, SIZE_MAX);
        code = buffer_append(&whole, content) == MAIL_OK ? MAIL_OK : no_memory(rd);
        while (code == MAIL_OK && goes_on(text)) {
            line_number++;
            code = buffer_append(&whole, cut_line(&text)) == MAIL_OK ? MAIL_OK : no_memory(rd);
        }
        if (code == MAIL_OK) {
            code = read_alias(rd, buffer_bytes(&whole));
        }
    }
    buffer_deinit(&whole);
    return code;
}

/* The one of that text; NULL: no memory. */
static named *name(mail_aliases *aliases, mail_span text)
{
    uint64_t hash = hash_bytes(&aliases->seed, text);
    named *nm;

    for (table_entry *e = table_first(&aliases->names, hash); e != NULL; e = table_next(e)) {
        nm = LIST_OWNER(e, named, by_text);
        if (mail_span_equal(nm->text, text)) {
            return nm;
        }
    }
    nm = mem_alloc(aliases->mem, sizeof(*nm));
    if (nm == NULL || table_insert(&aliases->names, &nm->by_text, hash) != MAIL_OK) {
        mem_free(aliases->mem, nm, sizeof(*nm));
        return NULL;
    }
    nm->text = text;
    return nm;
}

static void free_name(table_entry *e, void *arg)
{
    mail_aliases *aliases = arg;

    table_remove(&aliases->names, e);
    mem_free(aliases->mem, LIST_OWNER(e, named, by_text), sizeof(named));
}

static void forget_names(mail_aliases *aliases)
{
    table_each(&aliases->names, free_name, aliases);
    table_deinit(&aliases->names);
    table_init(&aliases->names, aliases->mem);
}

static int add_once(const reading *rd, entry *en, mail_span item)
{
    named *nm = name(rd->aliases, item);

    if (nm == NULL) {
        return no_memory(rd);
    }
    if (nm->user == en) {
        return MAIL_OK;
    }
    if (++rd->aliases->total > TARGETS_MAX) {
        return fail(rd, en->line, "aliases of aliases stand for too many addresses");
    }
    nm->user = en;
    return targets_add(rd->aliases->mem, &en->all, item) ? MAIL_OK : no_memory(rd);
}

/* The alias that a target is, or NULL. */
static int find_next(const reading *rd, const entry *en, mail_span target, entry **out)
{
    mail_path path;

    if (mail_path_from_text(target, MAIL_PATH_UTF8 | MAIL_PATH_BARE, &path) != MAIL_OK) {
        return fail(rd, en->line, "this is no address");
    }
    *out = find(rd->aliases, &path);
    *out = *out != en ? *out : NULL;
    return MAIL_OK;
}

static int follow(const reading *rd, entry *en, unsigned depth);

static int follow_target(const reading *rd, entry *en, mail_span target, unsigned depth)
{
    entry *next;
    int code = find_next(rd, en, target, &next);

    if (code != MAIL_OK || next == NULL) {
        return code;
    }
    code = follow(rd, next, depth + 1);
    if (code == MAIL_OK && next->depth >= en->depth) {
        en->depth = next->depth + 1;
    }
    return code;
}

/* What it stands for in the end; the alias that it may be was followed. */
static int collect_target(const reading *rd, entry *en, mail_span target)
{
    entry *next;
    int code = find_next(rd, en, target, &next);

    if (code == MAIL_OK && next == NULL) {
        return add_once(rd, en, target);
    }
    for (size_t i = 0; code == MAIL_OK && i < next->all.count; i++) {
        code = add_once(rd, en, next->all.items[i]);
    }
    return code;
}

static int follow(const reading *rd, entry *en, unsigned depth)
{
    int code = MAIL_OK;

    if (en->state == FOLLOWED) {
        return MAIL_OK;
    }
    if (en->state == FOLLOWING) {
        return fail(rd, en->line, "this alias leads back to itself");
    }
    en->state = FOLLOWING;
    if (depth > DEPTH_MAX) {
        return fail(rd, en->line, "aliases of aliases go too deep");
    }
    for (size_t i = 0; code == MAIL_OK && i < en->written.count; i++) {
        code = follow_target(rd, en, en->written.items[i], depth);
    }
    for (size_t i = 0; code == MAIL_OK && i < en->written.count; i++) {
        code = collect_target(rd, en, en->written.items[i]);
    }
    /* Whichever end is followed first. */
    if (code == MAIL_OK && en->depth > DEPTH_MAX) {
        code = fail(rd, en->line, "aliases of aliases go too deep");
    }
    en->state = FOLLOWED;
    en->alias = (mail_alias){en->all.items, en->all.count};
    return code;
}

typedef struct following {
    const reading *rd;
    int code;
} following;

static void follow_any(table_entry *e, void *arg)
{
    following *fw = arg;

    if (fw->code == MAIL_OK) {
        fw->code = follow(fw->rd, LIST_OWNER(e, entry, by_name), 0);
    }
}

static int read_all(mail_aliases *aliases, mail_span text, const char *source, mail_error *err)
{
    reading rd = {.aliases = aliases, .source = source, .err = err};
    following fw = {.rd = &rd};

    fw.code = read_lines(&rd, text);
    if (fw.code == MAIL_OK) {
        table_each(&aliases->entries, follow_any, &fw);
    }
    forget_names(aliases);
    return fw.code;
}

int mail_aliases_read(mail_aliases **out, mail_span text, const char *source,
                      const mail_span *local_domains, size_t local_count, const mail_mem *mem,
                      mail_error *err)
{
    mail_aliases *aliases = mem_alloc(mem, sizeof(*aliases));
    int code;

    if (aliases == NULL) {
        return mail_error_set(err, MAIL_ENOMEM, "%s", mail_strerror(MAIL_ENOMEM));
    }
    aliases->mem = mem;
    random_fill(NULL, &aliases->seed, sizeof(aliases->seed));
    table_init(&aliases->entries, mem);
    table_init(&aliases->names, mem);
    code = domain_set_init(&aliases->local, local_domains, local_count, mem);
    if (code != MAIL_OK) {
        mail_error_set(err, code, "local domains: %s", mail_strerror(code));
    } else {
        code = read_all(aliases, text, source, err);
    }
    if (code != MAIL_OK) {
        mail_aliases_destroy(aliases);
        return code;
    }
    *out = aliases;
    return MAIL_OK;
}

static void free_any(table_entry *e, void *arg)
{
    mail_aliases *aliases = arg;
    entry *en = LIST_OWNER(e, entry, by_name);

    table_remove(&aliases->entries, e);
    free_entry(aliases->mem, en);
}

void mail_aliases_destroy(mail_aliases *aliases)
{
    if (aliases == NULL) {
        return;
    }
    table_each(&aliases->entries, free_any, aliases);
    table_deinit(&aliases->entries);
    domain_set_deinit(&aliases->local);
    mem_free(aliases->mem, aliases, sizeof(*aliases));
}

const mail_alias *mail_aliases_find(const mail_aliases *aliases, const mail_path *address)
{
    entry *en = find(aliases, address);

    return en != NULL ? &en->alias : NULL;
}
