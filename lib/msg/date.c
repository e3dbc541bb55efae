/* SPDX-License-Identifier: MIT */
#include <mail/date.h>

#include <string.h>

#include "base/ascii.h"
#include "msg/chars.h"

#define DAY_SECONDS 86400

/* 0001-01-01 00:00:00 and 9999-12-31 23:59:59 UTC, a zone's width away from both ends. */
#define FIRST_WALL (-62135596800 + 6000 * 60)
#define LAST_WALL  (253402300799 - 6000 * 60)

static const char day_names[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char month_names[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

typedef struct civil {
    int year;
    int month; /* from 1 */
    int day;   /* from 1 */
    int hour, minute, second;
    int weekday; /* from Sunday, 0 */
} civil;

/*
 * Days since 1970-01-01 in the Gregorian calendar. Years begin in March, so that
 * the leap day is the last of its year, and come in eras of 400, all alike.
 */
static int64_t days_of(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * 146097 + day_of_era - 719468;
}

/* The inverse. */
static void set_date(civil *cv, int64_t days)
{
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t day_of_era = z - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * day_of_year + 2) / 153; /* from March, 0 */

    cv->day = (int)(day_of_year - (153 * month + 2) / 5 + 1);
    cv->month = (int)(month < 10 ? month + 3 : month - 9);
    cv->year = (int)(year_of_era + era * 400 + (cv->month <= 2 ? 1 : 0));
    cv->weekday = (int)(((days + 4) % 7 + 7) % 7);
}

/* `when` is clamped first; `zone` may then lead out by the width that was kept free. */
static civil civil_of(mail_wall when, int zone)
{
    int64_t days;
    int seconds;
    civil cv;

    when = when < FIRST_WALL ? FIRST_WALL : when > LAST_WALL ? LAST_WALL : when;
    when += zone * 60;
    days = when / DAY_SECONDS - (when % DAY_SECONDS < 0 ? 1 : 0);
    seconds = (int)(when - days * DAY_SECONDS);
    set_date(&cv, days);
    cv.hour = seconds / 3600;
    cv.minute = seconds / 60 % 60;
    cv.second = seconds % 60;
    return cv;
}

static mail_wall wall_of(const civil *cv)
{
    return days_of(cv->year, cv->month, cv->day) * DAY_SECONDS + cv->hour * 3600 + cv->minute * 60 +
           cv->second;
}

static char *put_char(char *at, char c)
{
    *at = c;
    return at + 1;
}

static char *put_name(char *at, const char name[4])
{
    memcpy(at, name, 3);
    return at + 3;
}

/* 0 to 99. */
static char *put_two(char *at, int number)
{
    at[0] = (char)('0' + number / 10);
    at[1] = (char)('0' + number % 10);
    return at + 2;
}

static char *put_year(char *at, int year)
{
    return put_two(put_two(at, year / 100), year % 100);
}

static char *put_time(char *at, const civil *cv)
{
    at = put_char(put_two(at, cv->hour), ':');
    at = put_char(put_two(at, cv->minute), ':');
    return put_two(at, cv->second);
}

static char *put_zone(char *at, int zone)
{
    int distance = zone < 0 ? -zone : zone;

    at = put_char(at, zone < 0 ? '-' : '+');
    return put_two(put_two(at, distance / 60), distance % 60);
}

static size_t put_end(char *at, const char *start)
{
    *at = '\0';
    return (size_t)(at - start);
}

/* Every message passes here: hence not by a format. */
size_t mail_date_print(mail_wall when, int zone, char out[MAIL_DATE_SIZE])
{
    civil cv = civil_of(when, zone);
    char *at = put_name(out, day_names[cv.weekday]);

    at = put_char(put_char(at, ','), ' ');
    at = put_char(put_two(at, cv.day), ' ');
    at = put_char(put_name(at, month_names[cv.month - 1]), ' ');
    at = put_char(put_year(at, cv.year), ' ');
    at = put_char(put_time(at, &cv), ' ');
    return put_end(put_zone(at, zone), out);
}

size_t mail_date_print_asctime(mail_wall when, char out[MAIL_DATE_SIZE])
{
    civil cv = civil_of(when, 0);
    char *at = put_char(put_name(out, day_names[cv.weekday]), ' ');

    at = put_char(put_name(at, month_names[cv.month - 1]), ' ');
    at = put_char(put_two(at, cv.day), ' ');
    at[-3] = at[-3] == '0' ? ' ' : at[-3];
    at = put_char(put_time(at, &cv), ' ');
    return put_end(put_year(at, cv.year), out);
}

/* Blanks, folds and comments, which nest. */
static void skip_cfws(mail_span *in)
{
    size_t depth = 0;
    size_t i = 0;

    for (; i < in->length; i++) {
        char c = in->data[i];

        if (c == '(') {
            depth++;
        } else if (c == ')' && depth > 0) {
            depth--;
        } else if (c == '\\' && depth > 0 && i + 1 < in->length) {
            i++;
        } else if (depth == 0 && !char_is_wsp(c) && c != '\r' && c != '\n') {
            break;
        }
    }
    *in = mail_span_from(*in, i);
}

static bool takes(mail_span *in, char c)
{
    skip_cfws(in);
    if (in->length == 0 || in->data[0] != c) {
        return false;
    }
    *in = mail_span_from(*in, 1);
    return true;
}

/* A number of `least` to `most` digits; the number of digits, 0: none. */
static size_t take_number(mail_span *in, size_t least, size_t most, int *out)
{
    size_t n = 0;

    skip_cfws(in);
    *out = 0;
    while (n < in->length && ascii_is_digit(in->data[n])) {
        if (n == most) {
            return 0;
        }
        *out = *out * 10 + (in->data[n] - '0');
        n++;
    }
    *in = mail_span_from(*in, n);
    return n >= least ? n : 0;
}

static mail_span take_word(mail_span *in)
{
    mail_span word;
    size_t n = 0;

    skip_cfws(in);
    while (n < in->length && ascii_is_alpha(in->data[n])) {
        n++;
    }
    word = mail_span_first(*in, n);
    *in = mail_span_from(*in, n);
    return word;
}

static bool take_date(mail_span *in, civil *cv)
{
    mail_span word;
    size_t digits;

    word = take_word(in); /* the day's name, which proves nothing */
    if (word.length > 0) {
        takes(in, ',');
    }
    if (take_number(in, 1, 2, &cv->day) == 0) {
        return false;
    }
    word = take_word(in);
    for (cv->month = 1; cv->month <= 12; cv->month++) {
        if (mail_span_equal_nocase(word, mail_span_text(month_names[cv->month - 1]))) {
            break;
        }
    }
    digits = take_number(in, 2, 4, &cv->year);
    if (digits == 2 || digits == 3) { /* RFC 5322, section 4.3 */
        cv->year += digits == 2 && cv->year < 50 ? 2000 : 1900;
    }
    return digits > 0 && cv->year > 0 && cv->month <= 12 && cv->day >= 1 && cv->day <= 31;
}

static bool take_time(mail_span *in, civil *cv)
{
    if (take_number(in, 1, 2, &cv->hour) == 0 || !takes(in, ':') ||
        take_number(in, 1, 2, &cv->minute) == 0) {
        return false;
    }
    cv->second = 0;
    if (takes(in, ':') && take_number(in, 1, 2, &cv->second) == 0) {
        return false;
    }
    return cv->hour < 24 && cv->minute < 60 && cv->second <= 60;
}

/* RFC 5322, section 4.3: what is not in its table says nothing and counts as UTC. */
static int zone_by_name(mail_span name)
{
    static const struct {
        const char *name;
        int hours;
    } zones[] = {
        {"EDT", -4}, {"EST", -5}, {"CDT", -5}, {"CST", -6},
        {"MDT", -6}, {"MST", -7}, {"PDT", -7}, {"PST", -8},
    };

    for (size_t i = 0; i < MAIL_COUNT(zones); i++) {
        if (mail_span_equal_nocase(name, mail_span_text(zones[i].name))) {
            return zones[i].hours * 60;
        }
    }
    return 0;
}

/* In minutes; a zone that is missing counts as UTC. */
static bool take_zone(mail_span *in, int *zone)
{
    bool west = takes(in, '-');
    int number;

    if (!west && !takes(in, '+')) {
        *zone = zone_by_name(take_word(in));
        return true;
    }
    if (take_number(in, 4, 4, &number) == 0 || number % 100 > 59) {
        return false;
    }
    *zone = number / 100 * 60 + number % 100;
    *zone = west ? -*zone : *zone;
    return true;
}

int mail_date_parse(mail_span text, mail_wall *when, int *zone)
{
    int minutes;
    civil cv;

    if (!take_date(&text, &cv) || !take_time(&text, &cv) || !take_zone(&text, &minutes)) {
        return MAIL_EINVAL;
    }
    skip_cfws(&text);
    if (text.length > 0) {
        return MAIL_EINVAL;
    }
    *when = wall_of(&cv) - minutes * 60;
    if (zone != NULL) {
        *zone = minutes;
    }
    return MAIL_OK;
}
