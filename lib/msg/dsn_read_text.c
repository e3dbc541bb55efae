/* SPDX-License-Identifier: MIT */
/*
 * Reports that were written for people, by programs that have always put it the same way. Each
 * lists recipients, and below each what was said of it, up to an empty line or a further
 * recipient.
 */
#include "msg/dsn_read.h"

/* How far into a text its kind must show. */
#define INTRODUCTION 2000

static size_t blanks_before(mail_span line)
{
    size_t n = 0;

    while (n < line.length && (line.data[n] == ' ' || line.data[n] == '\t')) {
        n++;
    }
    return n;
}

static bool has(mail_span text, const char *what)
{
    return dsn_find(text, what) < text.length;
}

static mail_span first_word(mail_span text)
{
    size_t length = 0;

    text = dsn_trim(text);
    while (length < text.length && text.data[length] != ' ' && text.data[length] != '\t') {
        length++;
    }
    return mail_span_first(text, length);
}

/* What stands between the first `open` and the next `close`; empty: nothing does. */
static mail_span between(mail_span line, const char *open, const char *close)
{
    mail_span inner = mail_span_from(line, dsn_find(line, open));
    size_t end;

    if (inner.length == 0) {
        return inner;
    }
    inner = mail_span_from(inner, strlen(open));
    end = dsn_find(inner, close);
    return end < inner.length ? mail_span_first(inner, end) : mail_span_of(NULL, 0);
}

/* QSBMF: `<a@b>:` alone on a line. */
static mail_span qsbmf_recipient(mail_span line)
{
    bool is_one =
        line.length > 3 && line.data[0] == '<' && memcmp(line.data + line.length - 2, ">:", 2) == 0;

    return is_one ? mail_span_of(line.data + 1, line.length - 3) : mail_span_of(NULL, 0);
}

/* Exim: two blanks before the address, four before the words. */
static mail_span exim_recipient(mail_span line)
{
    mail_span word = first_word(line);

    return blanks_before(line) == 2 && has(word, "@") ? word : mail_span_of(NULL, 0);
}

static mail_span dma_recipient(mail_span line)
{
    return dsn_begins(line, "There was an error delivering your mail to <")
               ? between(line, "<", ">")
               : mail_span_of(NULL, 0);
}

/* Exchange: the address alone on a line; in older ones, `'name' on DATE` with blanks before. */
static mail_span exchange_recipient(mail_span line)
{
    mail_span word = first_word(line);
    mail_span quoted = between(line, "'", "' on ");

    if (blanks_before(line) > 0 && quoted.length > 0) {
        return quoted;
    }
    return blanks_before(line) == 0 && word.length == dsn_trim(line).length && has(word, "@") &&
                   word.data[0] != '#' && !has(word, "<")
               ? word
               : mail_span_of(NULL, 0);
}

static const struct form {
    mail_dsn_kind kind;
    const char *says;  /* in its introduction */
    const char *after; /* the recipients come behind it; NULL: behind `says` */
    const char *end;   /* a line that begins so ends them */
    bool has_gap;      /* an empty line between a recipient and the words */
    mail_span (*recipient)(mail_span line);
} forms[] = {
    /* cr.yp.to/proto/qsbmf.txt: the first four words are the mark of the format. */
    {MAIL_DSN_KIND_QSBMF, "Hi. This is the", NULL, "-", false, qsbmf_recipient},
    {MAIL_DSN_KIND_DMA, "This is the DragonFly Mail Agent", NULL, "Message headers follow", true,
     dma_recipient},
    {MAIL_DSN_KIND_EXIM, "This message was created automatically by mail delivery software", ":\n",
     "------", false, exim_recipient},
    {MAIL_DSN_KIND_EXCHANGE, "Delivery has failed to these recipients",
     "Diagnostic information for administrators:", "Original message headers:", false,
     exchange_recipient},
    {MAIL_DSN_KIND_EXCHANGE, "did not reach some or all of the intended recipients",
     "recipient(s) ", "Original message headers:", false, exchange_recipient},
};

static const struct form *form_of(mail_span text)
{
    mail_span introduction =
        mail_span_first(text, text.length < INTRODUCTION ? text.length : INTRODUCTION);

    for (size_t i = 0; i < MAIL_COUNT(forms); i++) {
        if (has(introduction, forms[i].says)) {
            return &forms[i];
        }
    }
    return NULL;
}

/* Only what begins with it: anybody may quote a report. */
static bool is_at_start(const struct form *fm, mail_span text)
{
    return fm->kind == MAIL_DSN_KIND_EXCHANGE || dsn_begins(dsn_trim(text), fm->says);
}

/* Behind the first line that ends like this, in whatever line ends. */
static mail_span behind_colon(mail_span text)
{
    while (text.length > 0) {
        mail_span line = dsn_trim(dsn_line(&text));

        if (line.length > 0 && line.data[line.length - 1] == ':') {
            return text;
        }
    }
    return text;
}

mail_dsn_kind dsn_text_kind(mail_span text, mail_span *text_out, mail_dsn_action *action)
{
    const struct form *fm = form_of(text);

    if (fm == NULL || !is_at_start(fm, text)) {
        *text_out = mail_span_of(NULL, 0);
        return MAIL_DSN_KIND_NONE;
    }
    *action = fm->kind == MAIL_DSN_KIND_EXIM && has(text, "has not yet been delivered")
                  ? MAIL_DSN_DELAYED
                  : MAIL_DSN_FAILED;
    text = mail_span_from(text, dsn_find(text, fm->says));
    (void)dsn_line(&text);
    if (fm->kind == MAIL_DSN_KIND_EXIM) {
        text = behind_colon(text);
    } else if (fm->after != NULL) {
        text = mail_span_from(text, dsn_find(text, fm->after));
        (void)dsn_line(&text);
    }
    *text_out = text;
    return fm->kind;
}

static const struct form *form_named(mail_dsn_kind kind)
{
    for (size_t i = 0; i < MAIL_COUNT(forms); i++) {
        if (forms[i].kind == kind) {
            return &forms[i];
        }
    }
    return NULL;
}

/* The words below a recipient; what follows them stays in `*text`. */
static mail_span take_words(const struct form *fm, mail_span *text)
{
    const char *from = text->data;
    const char *end = from;
    bool has_words = false;

    while (text->length > 0) {
        mail_span rest = *text;
        mail_span line = dsn_line(&rest);
        bool is_empty = dsn_trim(line).length == 0;

        if ((is_empty && (has_words || !fm->has_gap)) || dsn_begins(line, fm->end) ||
            fm->recipient(line).length > 0) {
            break;
        }
        has_words = has_words || !is_empty;
        end = line.data + line.length;
        *text = rest;
    }
    return mail_span_of(from, (size_t)(end - from));
}

static void fill(mail_dsn_reader *reader, mail_dsn_told *told, mail_span address, mail_span words)
{
    mail_span trimmed = dsn_trim(words);

    *told = (mail_dsn_told){.action = reader->action};
    dsn_keep_address(reader, told, address);
    dsn_keep_words(reader, told, words);
    dsn_find_status(words, told->status);
    if (dsn_begins(trimmed, "host ")) { /* as Exim names the one that spoke */
        dsn_keep_host(reader, told, first_word(mail_span_from(trimmed, strlen("host "))));
    }
}

int dsn_text_next(mail_dsn_reader *reader, mail_dsn_told *told)
{
    const struct form *fm = form_named(reader->kind);

    while (fm != NULL && reader->text.length > 0) {
        mail_span line = dsn_line(&reader->text);
        mail_span address = fm->recipient(line);

        if (address.length > 0) {
            fill(reader, told, address, take_words(fm, &reader->text));
            return MAIL_OK;
        }
        if (dsn_begins(line, fm->end)) {
            reader->text = mail_span_of(NULL, 0);
        }
    }
    return MAIL_ENOENT;
}
