/* SPDX-License-Identifier: MIT */
#include "store/accounts.h"

#include <assert.h>
#include <stdatomic.h>

#include "base/ascii.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/table.h"

/* The largest file of accounts. */
#define MAX_FILE ((size_t)64 << 20)

typedef struct record {
    mail_account shown;
    table_entry entry; /* by `key` */
    account_key key;
    secret secret;
    unsigned line;
} record;

struct mail_accounts {
    const mail_mem *mem;
    atomic_uint references;
    char *text; /* of the file, cut into its fields by NULs */
    size_t text_size;
    hash_seed seed;
    table by_key;
    record **all; /* those first to which one can log in by a password */
    size_t login_count;
    unsigned kinds; /* of secrets, as bits 1 << secret_kind */
    size_t count;
    size_t capacity;
};

/* Where the reading is, for errors. */
typedef struct place {
    const char *source;
    unsigned line;
    mail_error *err;
} place;

static int refuse(const place *at, const char *why)
{
    return mail_error_set(at->err, MAIL_EINVAL, "%s:%u: %s", at->source, at->line, why);
}

static int out_of_memory(const place *at)
{
    return mail_error_set(at->err, MAIL_ENOMEM, "%s: %s", at->source, mail_strerror(MAIL_ENOMEM));
}

static void make_key(const mail_path *name, account_key *key)
{
    mail_span local = mail_path_local(name);
    mail_span domain = mail_path_domain(name);
    char ascii[MAIL_DOMAIN_SIZE];

    if (domain.length > 0 && mail_domain_to_ascii(domain, ascii) == MAIL_OK) {
        domain = mail_span_text(ascii);
    }
    memcpy(key->text, local.data, local.length);
    key->length = local.length;
    if (domain.length > 0) {
        key->text[key->length++] = '@';
        memcpy(key->text + key->length, domain.data, domain.length);
        key->length += domain.length;
    }
    for (size_t i = 0; i < key->length; i++) {
        key->text[i] = ascii_lower(key->text[i]);
    }
}

static record *find(const mail_accounts *accounts, const account_key *key)
{
    mail_span text = mail_span_of(key->text, key->length);
    table_entry *entry = table_first(&accounts->by_key, hash_bytes(&accounts->seed, text));

    for (; entry != NULL; entry = table_next(entry)) {
        record *ac = LIST_OWNER(entry, record, entry);

        if (mail_span_equal(mail_span_of(ac->key.text, ac->key.length), text)) {
            return ac;
        }
    }
    return NULL;
}

static int reserve(mail_accounts *accounts)
{
    size_t capacity = accounts->capacity > 0 ? accounts->capacity * 2 : 8;
    record **all;

    if (accounts->count < accounts->capacity) {
        return MAIL_OK;
    }
    all = mem_resize(accounts->mem, accounts->all, accounts->capacity * sizeof(record *),
                     capacity * sizeof(record *));
    if (all == NULL) {
        return MAIL_ENOMEM;
    }
    accounts->all = all;
    accounts->capacity = capacity;
    return MAIL_OK;
}

static bool has_password(const record *ac)
{
    return ac->secret.kind != SECRET_NONE && ac->secret.kind != SECRET_EXTERNAL;
}

/* Keeps a copy of `parsed`. */
static int add(mail_accounts *accounts, const record *parsed)
{
    mail_span key = mail_span_of(parsed->key.text, parsed->key.length);
    record *ac;

    if (reserve(accounts) != MAIL_OK) {
        return MAIL_ENOMEM;
    }
    ac = mem_alloc(accounts->mem, sizeof(*ac));
    if (ac == NULL) {
        return MAIL_ENOMEM;
    }
    *ac = *parsed;
    if (table_insert(&accounts->by_key, &ac->entry, hash_bytes(&accounts->seed, key)) != MAIL_OK) {
        mem_free(accounts->mem, ac, sizeof(*ac));
        return MAIL_ENOMEM;
    }
    accounts->all[accounts->count++] = ac;
    accounts->kinds |= 1U << ac->secret.kind;
    if (has_password(ac)) {
        accounts->all[accounts->count - 1] = accounts->all[accounts->login_count];
        accounts->all[accounts->login_count++] = ac;
    }
    return MAIL_OK;
}

/* Ends the field at `text` with a NUL and returns the next one; NULL: it was the last. */
static char *cut_field(char *text)
{
    char *bracket = strstr(text, "@["); /* colons in the literal [IPv6:::1] are its own */
    char *colon = strchr(text, ':');

    if (bracket != NULL && colon != NULL && bracket < colon) {
        char *end = strchr(bracket, ']');

        colon = end != NULL ? strchr(end, ':') : NULL;
    }
    if (colon == NULL) {
        return NULL;
    }
    *colon = '\0';
    return colon + 1;
}

static int parse_account(mail_accounts *accounts, char *line, const place *at)
{
    record ac = {.line = at->line};
    char *secret_text = cut_field(line);
    const char *why = "";
    const record *other;

    if (secret_text == NULL) {
        return refuse(at, "not NAME:SECRET[:MAILBOX]");
    }
    ac.shown.mailbox = cut_field(secret_text);
    if (mail_path_from_text(mail_span_text(line), MAIL_PATH_UTF8 | MAIL_PATH_BARE,
                            &ac.shown.name) != MAIL_OK) {
        return refuse(at, "the name is neither an address nor a login name");
    }
    if (!secret_parse(&ac.secret, secret_text, &why)) {
        return refuse(at, why);
    }
    if (ac.shown.mailbox != NULL &&
        (*ac.shown.mailbox == '\0' || strlen(ac.shown.mailbox) >= MAIL_MAILBOX_PATH_SIZE)) {
        return refuse(at, "the path of the mailbox is empty or too long");
    }
    make_key(&ac.shown.name, &ac.key);
    other = find(accounts, &ac.key);
    if (other != NULL) {
        return mail_error_set(at->err, MAIL_EINVAL, "%s:%u: %s stands in line %u already",
                              at->source, at->line, line, other->line);
    }
    return add(accounts, &ac) == MAIL_OK ? MAIL_OK : out_of_memory(at);
}

/* Takes blanks off both ends. */
static char *trim(char *line)
{
    size_t length;

    line += strspn(line, " \t");
    length = strlen(line);
    while (length > 0 && strchr(" \t\r", line[length - 1]) != NULL) {
        line[--length] = '\0';
    }
    return line;
}

static bool has_control(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (ascii_is_control(text[i]) && text[i] != '\t' && text[i] != '\r') {
            return true;
        }
    }
    return false;
}

static int parse_lines(mail_accounts *accounts, place *at)
{
    char *next = accounts->text;
    char *end = accounts->text + accounts->text_size - 1;

    while (next < end) {
        char *line = next;
        char *lf = memchr(line, '\n', (size_t)(end - line));
        int code = MAIL_OK;

        lf = lf != NULL ? lf : end;
        next = lf + 1;
        at->line++;
        if (has_control(line, (size_t)(lf - line))) {
            return refuse(at, "control character");
        }
        *lf = '\0';
        line = trim(line);
        if (*line != '\0' && *line != '#') {
            code = parse_account(accounts, line, at);
        }
        if (code != MAIL_OK) {
            return code;
        }
    }
    return MAIL_OK;
}

static void destroy(mail_accounts *accounts)
{
    const mail_mem *mem = accounts->mem;

    for (size_t i = 0; i < accounts->count; i++) {
        mem_free(mem, accounts->all[i], sizeof(record));
    }
    mem_free(mem, accounts->all, accounts->capacity * sizeof(record *));
    table_deinit(&accounts->by_key);
    if (accounts->text != NULL) {
        explicit_bzero(accounts->text, accounts->text_size);
    }
    mem_free(mem, accounts->text, accounts->text_size);
    mem_free(mem, accounts, sizeof(*accounts));
}

int mail_accounts_parse(mail_accounts **out, mail_span text, const char *source,
                        const mail_mem *mem, mail_error *err)
{
    place at = {.source = source, .err = err};
    mail_accounts *accounts = mem_alloc(mem, sizeof(*accounts));
    int code;

    if (accounts == NULL) {
        return out_of_memory(&at);
    }
    accounts->mem = mem;
    atomic_init(&accounts->references, 1);
    random_fill(NULL, &accounts->seed, sizeof(accounts->seed));
    table_init(&accounts->by_key, mem);
    accounts->text = mem_text(mem, text);
    accounts->text_size = text.length + 1;
    code = accounts->text != NULL ? parse_lines(accounts, &at) : out_of_memory(&at);
    if (code != MAIL_OK) {
        destroy(accounts);
        return code;
    }
    *out = accounts;
    return MAIL_OK;
}

int mail_accounts_load(mail_accounts **out, const char *path, const mail_mem *mem, mail_error *err)
{
    char *data;
    size_t length;
    int code = file_load(&file_system, FILE_CWD, path, MAX_FILE, mem, &data, &length);

    if (code != MAIL_OK) {
        return mail_error_set(err, code, "%s: %s", path, mail_strerror(code));
    }
    code = mail_accounts_parse(out, mail_span_of(data, length), path, mem, err);
    explicit_bzero(data, length);
    mem_free(mem, data, length + 1);
    return code;
}

mail_accounts *mail_accounts_ref(mail_accounts *accounts)
{
    atomic_fetch_add_explicit(&accounts->references, 1, memory_order_relaxed);
    return accounts;
}

void mail_accounts_unref(mail_accounts *accounts)
{
    if (accounts != NULL &&
        atomic_fetch_sub_explicit(&accounts->references, 1, memory_order_acq_rel) == 1) {
        destroy(accounts);
    }
}

size_t mail_accounts_count(const mail_accounts *accounts)
{
    return accounts->count;
}

const mail_account *mail_accounts_at(const mail_accounts *accounts, size_t index)
{
    assert(index < accounts->count);
    return &accounts->all[index]->shown;
}

const mail_account *mail_accounts_find(const mail_accounts *accounts, const mail_path *address)
{
    account_key key;
    record *ac;

    make_key(address, &key);
    ac = find(accounts, &key);
    if (ac == NULL && address->local_length < address->length) {
        key.length = address->local_length;
        ac = find(accounts, &key);
    }
    return ac != NULL ? &ac->shown : NULL;
}

bool account_key_of(mail_span name, account_key *key)
{
    mail_path path;

    if (mail_path_from_text(name, MAIL_PATH_UTF8 | MAIL_PATH_BARE, &path) != MAIL_OK) {
        return false;
    }
    make_key(&path, key);
    return true;
}

const mail_account *accounts_secret(const mail_accounts *accounts, const account_key *key,
                                    uint64_t chance, secret *out)
{
    const record *ac = find(accounts, key);

    if (ac != NULL && has_password(ac)) {
        *out = ac->secret;
        return &ac->shown;
    }
    *out = accounts->login_count > 0 ? accounts->all[chance % accounts->login_count]->secret
                                     : (secret){.kind = SECRET_NONE};
    return NULL;
}

const mail_account *accounts_certified(const mail_accounts *accounts, const account_key *key)
{
    const record *ac = find(accounts, key);

    return ac != NULL && ac->secret.kind != SECRET_NONE ? &ac->shown : NULL;
}

unsigned accounts_mechanisms(const mail_accounts *accounts)
{
    unsigned bits = 1U << MAIL_SASL_PLAIN | 1U << MAIL_SASL_LOGIN | 1U << MAIL_SASL_EXTERNAL;

    if ((accounts->kinds & 1U << SECRET_CRYPT) != 0) {
        return bits;
    }
    bits |= 1U << MAIL_SASL_SCRAM_SHA_256 | 1U << MAIL_SASL_SCRAM_SHA_256_PLUS;
    if ((accounts->kinds & 1U << SECRET_SCRAM_SHA_256) != 0) {
        return bits;
    }
    return bits | 1U << MAIL_SASL_SCRAM_SHA_1 | 1U << MAIL_SASL_CRAM_MD5;
}

int mail_accounts_verify(const mail_accounts *accounts, mail_span name, mail_span password,
                         const mail_account **out)
{
    const mail_account *account;
    account_key key = {0};
    secret se;
    int code;

    (void)account_key_of(name, &key); /* or nobody's */
    account = accounts_secret(accounts, &key, hash_bytes_nocase(&accounts->seed, name), &se);
    code = secret_check(&se, password, accounts->mem);
    if (code == MAIL_OK && account == NULL) {
        return MAIL_EPERM;
    }
    if (code == MAIL_OK) {
        *out = account;
    }
    return code;
}

int mail_account_mailbox(const mail_account *account, const char *dir,
                         char out[MAIL_MAILBOX_PATH_SIZE])
{
    if (account->mailbox == NULL) {
        return mail_mailbox_path(dir, &account->name, out);
    }
    memcpy(out, account->mailbox, strlen(account->mailbox) + 1);
    return MAIL_OK;
}
