/* SPDX-License-Identifier: MIT */
/*
 * The one parser of addresses. Whatever the library relays, stores, compares or
 * logs has come through here and is in the form written here, so that no two
 * places can read one address differently.
 *
 *     Path        = "<" [ A-d-l ":" ] Mailbox ">"        RFC 5321, section 4.1.2
 *     A-d-l       = At-domain *( "," At-domain )
 *     Mailbox     = Local-part "@" ( Domain / address-literal )
 *     Local-part  = Dot-string / Quoted-string           and UTF-8: RFC 6531, section 3.3
 */
#include <mail/address.h>

#include "base/utf8.h"
#include "msg/chars.h"
#include "msg/clean.h"
#include "msg/domain.h"

/* RFC 5321, section 4.5.3.1, the brackets of a path not counted. */
#define LOCAL_MAX      64
#define ASCII_PATH_MAX 254

typedef struct parser {
    const char *at;
    const char *end;
    unsigned flags;
} parser;

static mail_span rest(const parser *ps)
{
    return mail_span_of(ps->at, (size_t)(ps->end - ps->at));
}

static bool sees(const parser *ps, char c)
{
    return ps->at < ps->end && *ps->at == c;
}

static bool takes(parser *ps, char c)
{
    if (!sees(ps, c)) {
        return false;
    }
    ps->at++;
    return true;
}

/* The length of the non-ASCII character next, or 0 where it is not allowed. */
static size_t utf8_next(const parser *ps)
{
    return (ps->flags & MAIL_PATH_UTF8) != 0 ? clean_character(rest(ps)) : 0;
}

/* Takes a character that is not ASCII into the local part. */
static int take_utf8(parser *ps, mail_path *path, size_t *length)
{
    size_t n = utf8_next(ps);

    if (n == 0) {
        return MAIL_EINVAL;
    }
    if (n > LOCAL_MAX - *length) {
        return MAIL_ELIMIT;
    }
    memcpy(path->text + *length, ps->at, n);
    *length += n;
    ps->at += n;
    path->is_utf8 = true;
    return MAIL_OK;
}

/* Dot-string = Atom *("." Atom). Stops at what can't belong to it. */
static int parse_dot_string(parser *ps, mail_path *path)
{
    bool wants_atom = true;
    size_t length = 0;

    while (ps->at < ps->end) {
        char c = *ps->at;

        if (!char_is_ascii(c)) {
            int code = take_utf8(ps, path, &length);

            if (code != MAIL_OK) {
                return code;
            }
            wants_atom = false;
            continue;
        }
        if (c == '.' ? wants_atom : !char_is_atext(c)) {
            break;
        }
        if (length == LOCAL_MAX) {
            return MAIL_ELIMIT;
        }
        wants_atom = c == '.';
        path->text[length++] = c;
        ps->at++;
    }
    path->local_length = (uint16_t)length;
    return wants_atom ? MAIL_EINVAL : MAIL_OK;
}

/* The length of the character next in a quoted string, its backslash taken; 0: not allowed there. */
static size_t quoted_next(parser *ps, mail_path *path)
{
    bool escaped = takes(ps, '\\');
    size_t n;

    if (ps->at == ps->end) {
        return 0;
    }
    if (char_is_ascii(*ps->at)) {
        return char_is_printable(*ps->at) ? 1 : 0;
    }
    n = escaped ? 0 : utf8_next(ps);
    path->is_utf8 = path->is_utf8 || n > 0;
    return n;
}

static bool is_dot_string(mail_span text)
{
    bool wants_atom = true;

    for (size_t i = 0; i < text.length; i++) {
        bool is_dot = text.data[i] == '.';

        if (is_dot ? wants_atom : char_is_ascii(text.data[i]) && !char_is_atext(text.data[i])) {
            return false;
        }
        wants_atom = is_dot;
    }
    return !wants_atom;
}

/* Writes a local part, quoted if it must be and escaped where it must be. */
static int write_local(mail_path *path, mail_span raw)
{
    bool quoted = !is_dot_string(raw);
    size_t length = 0;

    if (quoted) {
        path->text[length++] = '"';
    }
    for (size_t i = 0; i < raw.length && length < LOCAL_MAX; i++) {
        if (raw.data[i] == '"' || raw.data[i] == '\\') {
            path->text[length++] = '\\';
        }
        path->text[length++] = raw.data[i];
    }
    if (quoted) {
        path->text[length++] = '"';
    }
    path->local_length = (uint16_t)length;
    return length > LOCAL_MAX ? MAIL_ELIMIT : MAIL_OK;
}

/* Quoted-string = DQUOTE *QcontentSMTP DQUOTE, the first quote already taken. */
static int parse_quoted_string(parser *ps, mail_path *path)
{
    char raw[LOCAL_MAX];
    size_t length = 0;

    while (!takes(ps, '"')) {
        size_t n = quoted_next(ps, path);

        if (n == 0) {
            return MAIL_EINVAL;
        }
        if (n > LOCAL_MAX - length) {
            return MAIL_ELIMIT;
        }
        memcpy(raw + length, ps->at, n);
        length += n;
        ps->at += n;
    }
    return write_local(path, mail_span_of(raw, length));
}

static int parse_domain(parser *ps, char out[MAIL_DOMAIN_SIZE], size_t *length_out)
{
    size_t n = domain_extent(rest(ps), (ps->flags & MAIL_PATH_UTF8) != 0);
    mail_span name = mail_span_first(rest(ps), n);

    ps->at += n;
    return domain_canonical(name, out, length_out);
}

static int parse_literal(parser *ps, char *out, size_t *length_out)
{
    const char *close = memchr(ps->at, ']', (size_t)(ps->end - ps->at));
    mail_ip ip;
    int code;

    if (close == NULL) {
        return MAIL_EINVAL;
    }
    code = mail_ip_parse_literal(mail_span_of(ps->at, (size_t)(close + 1 - ps->at)), &ip);
    if (code == MAIL_OK) {
        ps->at = close + 1;
        *length_out = mail_ip_print_literal(&ip, out);
    }
    return code;
}

/* What may stand without a domain. The postmaster alone is known by any case. */
static int end_without_domain(const parser *ps, mail_path *path)
{
    path->length = path->local_length;
    if (mail_span_equal_nocase(mail_path_text(path), MAIL_SPAN("postmaster"))) {
        memcpy(path->text, "postmaster", path->length);
        return (ps->flags & (MAIL_PATH_POSTMASTER | MAIL_PATH_BARE)) != 0 ? MAIL_OK : MAIL_EINVAL;
    }
    return (ps->flags & MAIL_PATH_BARE) != 0 ? MAIL_OK : MAIL_EINVAL;
}

static int parse_mailbox(parser *ps, mail_path *path)
{
    size_t length = 0;
    char *domain;
    int code;

    code = takes(ps, '"') ? parse_quoted_string(ps, path) : parse_dot_string(ps, path);
    if (code != MAIL_OK) {
        return code;
    }
    if (!takes(ps, '@')) {
        return end_without_domain(ps, path);
    }
    path->text[path->local_length] = '@';
    domain = path->text + path->local_length + 1;
    path->is_literal = sees(ps, '[');
    code =
        path->is_literal ? parse_literal(ps, domain, &length) : parse_domain(ps, domain, &length);
    if (code != MAIL_OK) {
        return code;
    }
    path->is_utf8 = path->is_utf8 || !utf8_is_ascii(mail_span_of(domain, length));
    path->length = (uint16_t)(path->local_length + 1 + length);
    return path->length > ASCII_PATH_MAX && !path->is_utf8 ? MAIL_ELIMIT : MAIL_OK;
}

/* A-d-l ":", which RFC 5321, appendix C, wants understood and ignored. */
static int skip_route(parser *ps)
{
    char domain[MAIL_DOMAIN_SIZE];
    size_t length;

    do {
        int code = takes(ps, '@') ? parse_domain(ps, domain, &length) : MAIL_EINVAL;

        if (code != MAIL_OK) {
            return code;
        }
    } while (takes(ps, ','));
    return takes(ps, ':') ? MAIL_OK : MAIL_EINVAL;
}

static void clear(mail_path *path)
{
    path->length = 0;
    path->local_length = 0;
    path->is_utf8 = false;
    path->is_literal = false;
    path->text[0] = '\0';
}

static int parse_path(parser *ps, mail_path *path)
{
    int code;

    if (!takes(ps, '<')) {
        return MAIL_EINVAL;
    }
    if (takes(ps, '>')) {
        return (ps->flags & MAIL_PATH_NULL) != 0 ? MAIL_OK : MAIL_EINVAL;
    }
    if (sees(ps, '@')) {
        code = skip_route(ps);
        if (code != MAIL_OK) {
            return code;
        }
    }
    code = parse_mailbox(ps, path);
    if (code != MAIL_OK) {
        return code;
    }
    return takes(ps, '>') ? MAIL_OK : MAIL_EINVAL;
}

/* A path that was refused is the null path: nothing half-parsed is left to be used. */
static int end(int code, mail_path *path)
{
    if (code != MAIL_OK) {
        clear(path);
        return code;
    }
    path->text[path->length] = '\0';
    return MAIL_OK;
}

int mail_path_parse(mail_span in, unsigned flags, mail_path *path, size_t *used)
{
    parser ps = {in.data, in.data + in.length, flags};
    int code;

    clear(path);
    code = end(parse_path(&ps, path), path);
    if (code == MAIL_OK) {
        *used = (size_t)(ps.at - in.data);
    }
    return code;
}

int mail_path_from_text(mail_span in, unsigned flags, mail_path *path)
{
    parser ps = {in.data, in.data + in.length, flags};
    int code;

    clear(path);
    if (in.length == 0) {
        return (flags & MAIL_PATH_NULL) != 0 ? MAIL_OK : MAIL_EINVAL;
    }
    code = parse_mailbox(&ps, path);
    if (code == MAIL_OK && ps.at != ps.end) {
        code = MAIL_EINVAL;
    }
    return end(code, path);
}

size_t mail_path_local_unquoted(const mail_path *path, char *out)
{
    mail_span local = mail_path_local(path);
    size_t length = 0;

    if (local.length > 0 && local.data[0] == '"') {
        local = mail_span_of(local.data + 1, local.length - 2U);
    }
    for (size_t i = 0; i < local.length; i++) {
        if (local.data[i] == '\\') {
            i++;
        }
        out[length++] = local.data[i];
    }
    out[length] = '\0';
    return length;
}

static bool domains_equal(mail_span a, mail_span b)
{
    char ascii_a[MAIL_DOMAIN_SIZE];
    char ascii_b[MAIL_DOMAIN_SIZE];

    if (utf8_is_ascii(a) == utf8_is_ascii(b)) {
        return mail_span_equal_nocase(a, b);
    }
    return mail_domain_to_ascii(a, ascii_a) == MAIL_OK &&
           mail_domain_to_ascii(b, ascii_b) == MAIL_OK && strcmp(ascii_a, ascii_b) == 0;
}

bool mail_path_equal(const mail_path *a, const mail_path *b)
{
    return mail_span_equal(mail_path_local(a), mail_path_local(b)) &&
           domains_equal(mail_path_domain(a), mail_path_domain(b));
}
