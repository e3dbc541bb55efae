/* SPDX-License-Identifier: MIT */
/*
 * RFC 5322, section 3.4, with the obsolete forms of section 4.4:
 *
 *     address      = mailbox / group
 *     mailbox      = name-addr / addr-spec
 *     name-addr    = [display-name] [CFWS] "<" [obs-route] addr-spec ">" [CFWS]
 *     group        = display-name ":" [mailbox-list] ";"
 *
 * MAIL_ADDRESS_STRICT keeps to what is left when the obsolete forms and groups are gone.
 *
 * Only tokens are told apart here. What may be an address is gathered without its
 * blanks and comments and judged by the one parser of paths.
 */
#include <mail/header.h>

#include "base/ascii.h"
#include "msg/chars.h"

/* The longest address looked at, with a source route. */
#define DRAFT_SIZE 1024

/* An address in the making. */
typedef struct draft {
    char text[DRAFT_SIZE];
    size_t length;
    mail_span written;   /* where it stands, from its first to its last token */
    bool ends_with_word; /* a word next would stand beside it, as in a display name */
    bool is_phrase;      /* two words stood side by side: no address */
    bool has_special;    /* what stands in no display name unless it is quoted; dots do */
    bool is_long;        /* more than fits */
    mail_span comment;   /* the last one, without its parentheses */
} draft;

static void draft_begin(draft *dr, const char *text)
{
    dr->length = strlen(text);
    memcpy(dr->text, text, dr->length);
    dr->written = mail_span_of(NULL, 0);
    dr->ends_with_word = false;
    dr->is_phrase = false;
    dr->has_special = false;
    dr->is_long = false;
}

/* Adds a token, line ends inside it dropped. */
static void draft_add(draft *dr, mail_span token, bool is_word)
{
    dr->is_phrase = dr->is_phrase || (is_word && dr->ends_with_word);
    dr->ends_with_word = is_word;
    if (token.length > DRAFT_SIZE - dr->length) {
        dr->is_long = true;
        return;
    }
    for (size_t i = 0; i < token.length; i++) {
        if (token.data[i] != '\r' && token.data[i] != '\n') {
            dr->text[dr->length++] = token.data[i];
        }
    }
}

static bool is_blank(char c)
{
    return char_is_wsp(c) || c == '\r' || c == '\n';
}

static bool is_special(char c)
{
    return c != '\0' && strchr("()<>[]:;@\\,.\"", c) != NULL;
}

/* The length of what ends with `close` at the start of `in`, backslashes minded; 0: it never ends. */
static size_t delimited_length(mail_span in, char close)
{
    for (size_t i = 1; i < in.length; i++) {
        if (in.data[i] == '\\') {
            i++;
        } else if (in.data[i] == close) {
            return i + 1;
        }
    }
    return 0;
}

/* The same for a comment, and for those inside it. */
static size_t comment_length(mail_span in)
{
    size_t depth = 0;

    for (size_t i = 0; i < in.length; i++) {
        if (in.data[i] == '\\') {
            i++;
        } else if (in.data[i] == '(') {
            depth++;
        } else if (in.data[i] == ')' && --depth == 0) {
            return i + 1;
        }
    }
    return 0;
}

static size_t word_length(mail_span in)
{
    size_t n = 0;

    while (n < in.length && !is_blank(in.data[n]) && !is_special(in.data[n])) {
        n++;
    }
    return n;
}

/* The same for a token of the text that is read. */
static void draft_take(draft *dr, mail_span token, bool is_word)
{
    if (dr->written.data == NULL) {
        dr->written.data = token.data;
    }
    dr->written.length = (size_t)(token.data + token.length - dr->written.data);
    draft_add(dr, token, is_word);
}

/* Takes one token off `in` into the draft. False: it has no end. */
static bool take_token(mail_span *in, draft *dr)
{
    size_t n = 1;

    switch (in->data[0]) {
    case ' ':
    case '\t':
    case '\r':
    case '\n':
        break;
    case '(':
        n = comment_length(*in);
        if (n > 0) {
            dr->comment = mail_span_of(in->data + 1, n - 2);
        }
        break;
    case '"':
        n = delimited_length(*in, '"');
        draft_take(dr, mail_span_first(*in, n), true);
        break;
    case '[':
        n = delimited_length(*in, ']');
        dr->has_special = true;
        draft_take(dr, mail_span_first(*in, n), true);
        break;
    default:
        n = word_length(*in);
        dr->has_special = dr->has_special || (n == 0 && in->data[0] != '.');
        draft_take(dr, mail_span_first(*in, n > 0 ? n : 1), n > 0);
        n = n > 0 ? n : 1;
    }
    *in = mail_span_from(*in, n);
    return n > 0;
}

/* Gathers tokens up to one of `stops` or the end of `in`. */
static bool take_until(mail_span *in, const char *stops, draft *dr)
{
    while (in->length > 0 && (in->data[0] == '\0' || strchr(stops, in->data[0]) == NULL)) {
        if (!take_token(in, dr)) {
            return false;
        }
    }
    return true;
}

/* Goes on behind the next comma that is not inside something. */
static void skip_to_comma(mail_span *in, draft *dr)
{
    if (!take_until(in, ",;", dr)) {
        *in = mail_span_from(*in, in->length);
    }
}

static bool is_strict(const mail_address_reader *reader)
{
    return (reader->flags & MAIL_ADDRESS_STRICT) != 0;
}

/* An address in one piece: `length` octets were gathered, none passed over, and no route. */
static bool is_whole(mail_span written, size_t length)
{
    return written.length == length && (length == 0 || written.data[0] != '@');
}

/*
 * What has a special may stand before the brackets if it is exactly what they hold, as sloppy
 * programs write it: whoever takes it for an address takes it for the same one.
 */
static bool may_stand_before(mail_span special, const mail_address *mailbox)
{
    return special.length == 0 || mail_span_equal(special, mailbox->written);
}

/* `<address>`, and nothing but comments up to the next comma. */
static int read_angle(mail_address_reader *reader, draft *dr, mail_address *mailbox)
{
    size_t used;
    int code;

    draft_begin(dr, "<");
    reader->rest = mail_span_from(reader->rest, 1);
    if (!take_until(&reader->rest, ">", dr) || reader->rest.length == 0 || dr->is_phrase) {
        return MAIL_EINVAL;
    }
    mailbox->written = dr->written;
    if (is_strict(reader) && !is_whole(dr->written, dr->length - 1)) {
        return MAIL_EINVAL;
    }
    draft_add(dr, MAIL_SPAN(">"), false);
    reader->rest = mail_span_from(reader->rest, 1);
    if (dr->is_long) {
        return MAIL_ELIMIT;
    }
    code =
        mail_path_parse(mail_span_of(dr->text, dr->length), reader->flags, &mailbox->path, &used);
    if (code != MAIL_OK || used != dr->length) {
        return code != MAIL_OK ? code : MAIL_EINVAL;
    }
    draft_begin(dr, "");
    if (!take_until(&reader->rest, ",;", dr) || dr->length > 0 || dr->is_long) {
        return MAIL_EINVAL;
    }
    return MAIL_OK;
}

static int read_addr_spec(mail_address_reader *reader, draft *dr, mail_address *mailbox)
{
    if (dr->is_long) {
        return MAIL_ELIMIT;
    }
    if (dr->is_phrase || dr->length == 0 ||
        (is_strict(reader) && !is_whole(dr->written, dr->length))) {
        return MAIL_EINVAL;
    }
    mailbox->written = dr->written;
    return mail_path_from_text(mail_span_of(dr->text, dr->length), reader->flags, &mailbox->path);
}

/* Reads a mailbox from its first token on; sees the names of groups go by. */
static int read_mailbox(mail_address_reader *reader, draft *dr, mail_address *mailbox)
{
    mail_span start = reader->rest;
    int code;

    if (!take_until(&reader->rest, "<:,;", dr)) {
        return MAIL_EINVAL;
    }
    if (reader->rest.length > 0 && reader->rest.data[0] == '<') {
        mail_span special = dr->has_special ? dr->written : mail_span_of(NULL, 0);

        mailbox->display =
            ascii_trim(mail_span_first(start, start.length - reader->rest.length), " \t\r\n");
        code = read_angle(reader, dr, mailbox);
        if (code == MAIL_OK && is_strict(reader) && !may_stand_before(special, mailbox)) {
            code = MAIL_EINVAL;
        }
    } else {
        code = read_addr_spec(reader, dr, mailbox);
    }
    if (mailbox->display.length == 0) {
        mailbox->display = ascii_trim(dr->comment, " \t\r\n");
    }
    return code;
}

/* The name of a group and its colon; false when something else comes first, or must. */
static bool take_group_name(mail_address_reader *reader, draft *dr)
{
    mail_span in = reader->rest;

    draft_begin(dr, "");
    if (reader->in_group || is_strict(reader) || !take_until(&in, "<:,;", dr) || in.length == 0 ||
        in.data[0] != ':' || dr->length == 0) {
        return false;
    }
    reader->rest = mail_span_from(in, 1);
    reader->in_group = true;
    return true;
}

/* Blanks, comments, empty list elements, the ends of groups. */
static void skip_separators(mail_address_reader *reader, draft *dr)
{
    mail_span *rest = &reader->rest;

    while (rest->length > 0) {
        char c = rest->data[0];
        size_t n = 1;

        if (c == '(') {
            n = comment_length(*rest);
            dr->comment = n > 0 ? mail_span_of(rest->data + 1, n - 2) : dr->comment;
        } else if (c == ';' || c == ',') {
            reader->in_group = reader->in_group && c == ',';
            dr->comment = mail_span_of(NULL, 0);
        } else if (!is_blank(c)) {
            return;
        }
        if (n == 0) {
            return;
        }
        *rest = mail_span_from(*rest, n);
    }
}

void mail_address_reader_init(mail_address_reader *reader, mail_span value, unsigned flags)
{
    *reader = (mail_address_reader){.rest = value, .flags = flags};
}

int mail_address_reader_next(mail_address_reader *reader, mail_address *mailbox)
{
    draft dr;
    int code;

    dr.comment = mail_span_of(NULL, 0);
    do {
        skip_separators(reader, &dr);
    } while (reader->rest.length > 0 && take_group_name(reader, &dr));
    if (reader->rest.length == 0) {
        return MAIL_ENOENT;
    }
    mailbox->display = mail_span_of(NULL, 0);
    mailbox->in_group = reader->in_group;
    draft_begin(&dr, "");
    code = read_mailbox(reader, &dr, mailbox);
    if (code != MAIL_OK) {
        skip_to_comma(&reader->rest, &dr);
    }
    return code;
}
