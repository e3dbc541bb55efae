/* SPDX-License-Identifier: MIT */
#include "support/script.h"

#include "support/support.h"

void *script_grown(void *array, size_t count, size_t size)
{
    void *bigger = realloc(array, (count + 1) * size);

    assert_non_null(bigger);
    return bigger;
}

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;

    return at != NULL ? (int)(at - digits) : -1;
}

/* Decodes \r \n \t \0 \\ and \xHH of `in`, and `*times` if it ends in one, into `out`. */
static size_t decode(mail_span in, char *out)
{
    static const char letters[] = "rnt0\\", octets[] = "\r\n\t\0\\";
    size_t length = 0;

    for (size_t i = 0; i < in.length; i++) {
        const char *at;

        if (in.data[i] != '\\' || i + 1 == in.length) {
            out[length++] = in.data[i];
            continue;
        }
        i++;
        at = memchr(letters, in.data[i], sizeof(letters) - 1);
        if (at != NULL) {
            out[length++] = octets[at - letters];
        } else if (in.data[i] == 'x' && i + 2 < in.length) {
            out[length++] = (char)(hex_digit(in.data[i + 1]) * 16 + hex_digit(in.data[i + 2]));
            i += 2;
        }
    }
    return length;
}

/* `{N}text` is text, N times: the one way to write a long line down. */
static size_t repetition(mail_span *text)
{
    size_t times = 0;
    size_t i = 1;

    if (text->length < 3 || text->data[0] != '{') {
        return 1;
    }
    while (i < text->length && text->data[i] >= '0' && text->data[i] <= '9') {
        times = times * 10 + (size_t)(text->data[i++] - '0');
    }
    if (i == 1 || i == text->length || text->data[i] != '}') {
        return 1;
    }
    *text = mail_span_from(*text, i + 1);
    return times;
}

static void add_step(script *sc, step_kind kind, unsigned line, mail_span text, const char *end)
{
    size_t times = repetition(&text);
    char *once = malloc(text.length + 1);
    size_t length;
    step *st;

    assert_non_null(once);
    length = decode(text, once);
    sc->steps = script_grown(sc->steps, sc->count, sizeof(*sc->steps));
    st = &sc->steps[sc->count++];
    *st = (step){.kind = kind, .line = line};
    st->text = malloc(length * times + 3);
    assert_non_null(st->text);
    for (size_t i = 0; i < times; i++) {
        memcpy(st->text + i * length, once, length);
    }
    st->length = length * times + strlen(end);
    memcpy(st->text + length * times, end, strlen(end) + 1);
    free(once);
    if (kind == STEP_INPUT) {
        sc->input_octets += st->length;
    }
}

static void bad_line(const script *sc, unsigned line)
{
    print_error("%s:%u: not a line of a transcript\n", sc->file, line);
    fail();
}

static char *text_copy(mail_span text)
{
    char *copy = malloc(text.length + 1);

    assert_non_null(copy);
    if (text.length > 0) {
        memcpy(copy, text.data, text.length);
    }
    copy[text.length] = '\0';
    return copy;
}

/* What the letter of a line stands for; the rest of it, decoded, is the step's text. */
static bool read_step(script *sc, char peer, unsigned line, mail_span text)
{
    static const char letters[] = "BEADTX";
    static const step_kind kinds[] = {STEP_BODY, STEP_EVENT, STEP_ANSWER,
                                      STEP_DO,   STEP_TIME,  STEP_EOF};
    mail_span rest = mail_span_from(text, text.length > 2 && text.data[2] == ' ' ? 3 : 2);
    bool is_line = text.data[1] == ':'; /* `C: text` is a line, `C+ text` the bare octets */
    char letter = text.data[0];
    const char *at;

    if (letter == 'C' || letter == 'S') {
        add_step(sc, letter == peer ? STEP_INPUT : STEP_OUTPUT, line, rest, is_line ? "\r\n" : "");
        return true;
    }
    if (letter == 'O') {
        sc->options = script_grown(sc->options, sc->option_count, sizeof(*sc->options));
        sc->options[sc->option_count++] = text_copy(rest);
        return true;
    }
    at = memchr(letters, letter, sizeof(letters) - 1);
    if (at == NULL) {
        return false;
    }
    add_step(sc, kinds[at - letters], line, rest, letter == 'B' && is_line ? "\r\n" : "");
    return true;
}

static bool begins(mail_span line, const char *with)
{
    return line.length >= strlen(with) && memcmp(line.data, with, strlen(with)) == 0;
}

static bool take_line(script_reader *reader, mail_span *line)
{
    mail_span rest = mail_span_from(reader->text, reader->at);
    const char *end = rest.length > 0 ? memchr(rest.data, '\n', rest.length) : NULL;

    *line = mail_span_first(rest, end != NULL ? (size_t)(end - rest.data) : rest.length);
    reader->at += line->length + (end != NULL ? 1 : 0);
    reader->line++;
    return rest.length > 0;
}

static bool sees_header(const script_reader *reader)
{
    mail_span rest = mail_span_from(reader->text, reader->at);

    return begins(rest, "== ") || begins(rest, "=: ");
}

static void read_lines(script_reader *reader, script *sc);

/* Reads the part of that name, which stands anywhere in the text, in place of the line. */
static void read_part(const script_reader *reader, script *sc, mail_span name)
{
    script_reader part = {.file = reader->file, .peer = reader->peer, .text = reader->text};
    mail_span line;

    while (take_line(&part, &line)) {
        if (begins(line, "=: ") && mail_span_equal(mail_span_from(line, 3), name)) {
            read_lines(&part, sc);
            return;
        }
    }
    bad_line(sc, reader->line);
}

/* Reads up to the next header. */
static void read_lines(script_reader *reader, script *sc)
{
    mail_span line;

    while (!sees_header(reader) && take_line(reader, &line)) {
        if (line.length == 0 || line.data[0] == '#') {
            continue;
        }
        if (begins(line, "P: ")) {
            read_part(reader, sc, mail_span_from(line, 3));
        } else if (mail_span_equal(line, MAIL_SPAN("..."))) {
            add_step(sc, STEP_WAIT, reader->line, MAIL_SPAN(""), "");
        } else if (line.length < 2 || strchr(":+", line.data[1]) == NULL ||
                   !read_step(sc, reader->peer, reader->line, line)) {
            bad_line(sc, reader->line);
        }
    }
}

bool script_next(script_reader *reader, script *sc)
{
    mail_span line;

    while (take_line(reader, &line)) {
        if (begins(line, "== ")) {
            *sc = (script){.file = reader->file, .name = text_copy(mail_span_from(line, 3))};
            read_lines(reader, sc);
            return true;
        }
    }
    return false;
}

void script_deinit(script *sc)
{
    for (size_t i = 0; i < sc->count; i++) {
        free(sc->steps[i].text);
    }
    for (size_t i = 0; i < sc->option_count; i++) {
        free(sc->options[i]);
    }
    free(sc->steps);
    free(sc->options);
    free(sc->name);
}
