/* SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mail/loop_poll.h>
#include <mail/resolver.h>
#include <mail/version.h>

/* mail-mx: shows where mail to a domain goes, or why it can't. */

/* As in <sysexits.h>. */
enum {
    EXIT_USAGE = 64,
    EXIT_NO_HOST = 68,
    EXIT_SOFTWARE = 70,
    EXIT_OUTPUT = 74,
    EXIT_LATER = 75
};

#define SERVERS_MAX 8

typedef struct settings {
    mail_endpoint servers[SERVERS_MAX];
    size_t server_count;
    bool json;
    bool allow_private; /* without a remark */
} settings;

/* One domain: what is to be printed of it once all before it are. */
typedef struct search {
    const settings *settings;
    mail_span domain;
    char ascii[MAIL_DOMAIN_SIZE]; /* it in A-labels, if it needs them */
    char *text;
    size_t length;
    int exit_code;
} search;

static const char usage[] =
    "usage: mail-mx [--resolver ADDR] [--json] [--allow-private-mx] DOMAIN...\n"
    "\n"
    "Shows which hosts take mail for each DOMAIN, in the order to try, or why none does.\n"
    "\n"
    "  --resolver ADDR     ask this DNS server, at port 53 unless it says another, as in\n"
    "                      192.0.2.1:5353 (those of /etc/resolv.conf); repeatable\n"
    "  --json              print one JSON object a line for each DOMAIN\n"
    "  --allow-private-mx  say nothing of hosts on loopback and private addresses\n"
    "  --help, --version   print this or the version, and exit\n"
    "\n"
    "Exit status: 0; 68 when mail to a DOMAIN can't be delivered; 75 when that can't be\n"
    "told now.\n";

/* `text` with `?` for what a terminal must not be sent, or can't show for sure. */
static void print_plain(FILE *out, mail_span text)
{
    for (size_t i = 0; i < text.length; i++) {
        bool is_printable = text.data[i] >= ' ' && text.data[i] <= '~';

        putc(is_printable ? text.data[i] : '?', out);
    }
}

static void print_string(FILE *out, mail_span text)
{
    putc('"', out);
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] == '"' || text.data[i] == '\\') {
            putc('\\', out);
        }
        print_plain(out, mail_span_of(text.data + i, 1));
    }
    putc('"', out);
}

/* Cuts the next line off `text`. */
static mail_span next_line(mail_span *text)
{
    const char *lf = memchr(text->data, '\n', text->length);
    size_t length = lf != NULL ? (size_t)(lf - text->data) : text->length;
    mail_span line = mail_span_first(*text, length);

    *text = mail_span_from(*text, lf != NULL ? length + 1 : length);
    return line;
}

static void print_json_host(FILE *out, const mail_mx_host *host)
{
    fprintf(out, "{\"name\":\"%s\",\"preference\":%u,\"ttl\":%u,\"addresses\":[", host->name,
            host->preference, host->ttl);
    for (size_t i = 0; i < host->address_count; i++) {
        char ip[MAIL_IP_TEXT_SIZE];

        mail_ip_print(&host->addresses[i], ip);
        fprintf(out, "%s\"%s\"", i > 0 ? "," : "", ip);
    }
    fputs("]}", out);
}

static void print_json(FILE *out, mail_span domain, const mail_mx_verdict *verdict,
                       mail_span faults)
{
    const mail_reply *reply = &verdict->reply;

    fputs("{\"domain\":", out);
    print_string(out, domain);
    if (reply->code != 0) {
        fprintf(out, ",\"code\":%u,\"status\":\"%u.%u.%u\",\"reason\":", reply->code,
                reply->status[0], reply->status[1], reply->status[2]);
        print_string(out, reply->text);
    }
    fprintf(out, ",\"implicit\":%s,\"hosts\":[", verdict->implicit ? "true" : "false");
    for (size_t i = 0; i < verdict->host_count; i++) {
        fputs(i > 0 ? "," : "", out);
        print_json_host(out, &verdict->hosts[i]);
    }
    fputs("],\"faults\":[", out);
    while (faults.length > 0) {
        print_string(out, next_line(&faults));
        fputs(faults.length > 0 ? "," : "", out);
    }
    fputs("]}\n", out);
}

static void print_host(FILE *out, const mail_mx_host *host)
{
    fprintf(out, "  %5u %s", host->preference, host->name);
    for (size_t i = 0; i < host->address_count; i++) {
        char ip[MAIL_IP_TEXT_SIZE];

        mail_ip_print(&host->addresses[i], ip);
        fprintf(out, " %s", ip);
    }
    fprintf(out, " (TTL %u)\n", host->ttl);
}

static void print_verdict(FILE *out, mail_span domain, const mail_mx_verdict *verdict,
                          mail_span faults)
{
    print_plain(out, domain);
    if (verdict->reply.code != 0) {
        char reply[MAIL_REPLY_TEXT_SIZE];

        mail_reply_print(&verdict->reply, reply, sizeof(reply));
        fprintf(out, ": %s\n", reply);
    } else {
        fputs(verdict->implicit ? ": no MX record, its own address\n" : ":\n", out);
    }
    for (size_t i = 0; i < verdict->host_count; i++) {
        print_host(out, &verdict->hosts[i]);
    }
    while (faults.length > 0) {
        fputs("  fault: ", out);
        print_plain(out, next_line(&faults));
        putc('\n', out);
    }
}

/* Addresses that a relay does not use unless it is told to. */
static void print_private(FILE *out, const mail_mx_host *host)
{
    for (size_t i = 0; i < host->address_count; i++) {
        if (mail_ip_is_private(&host->addresses[i])) {
            char ip[MAIL_IP_TEXT_SIZE];

            mail_ip_print(&host->addresses[i], ip);
            fprintf(out, "%s: %s is no public address: not used without --allow-private-mx\n",
                    host->name, ip);
        }
    }
}

/* A line for all that is wrong, each with its LF. False: no memory. */
static bool gather_faults(const settings *set, const mail_mx_verdict *verdict, char **text,
                          size_t *length)
{
    FILE *out = open_memstream(text, length);

    if (out == NULL) {
        return false;
    }
    fprintf(out, "%.*s%s", (int)verdict->faults.length, verdict->faults.data,
            verdict->has_faults ? "\n" : "");
    for (size_t i = 0; i < verdict->host_count && !set->allow_private; i++) {
        print_private(out, &verdict->hosts[i]);
    }
    return fclose(out) == 0;
}

static bool print(search *found, const mail_mx_verdict *verdict, mail_span faults)
{
    FILE *out = open_memstream(&found->text, &found->length);

    if (out == NULL) {
        return false;
    }
    if (found->settings->json) {
        print_json(out, found->domain, verdict, faults);
    } else {
        print_verdict(out, found->domain, verdict, faults);
    }
    return fclose(out) == 0;
}

static void on_verdict(const mail_mx_verdict *verdict, void *arg)
{
    search *found = arg;
    char *faults = NULL;
    size_t length = 0;

    if (gather_faults(found->settings, verdict, &faults, &length) &&
        print(found, verdict, mail_span_of(faults, length))) {
        found->exit_code = 0;
        if (verdict->reply.code != 0) {
            found->exit_code = mail_reply_is_transient(&verdict->reply) ? EXIT_LATER : EXIT_NO_HOST;
        }
    }
    free(faults);
}

/* Prints what was found, in the order asked; "later" outweighs "never". */
static int print_all(search *searches, size_t count)
{
    int exit_code = 0;

    for (size_t i = 0; i < count; i++) {
        fwrite(searches[i].text, 1, searches[i].length, stdout);
        if (searches[i].exit_code > exit_code) {
            exit_code = searches[i].exit_code;
        }
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("mail-mx: standard output");
        return EXIT_OUTPUT;
    }
    return exit_code;
}

static int look_up(mail_resolver *resolver, mail_loop_poll *loop, search *searches, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int code = mail_resolver_mx(resolver, searches[i].domain, on_verdict, &searches[i], NULL);

        if (code != MAIL_OK) {
            return code;
        }
    }
    return mail_loop_poll_run(loop);
}

/* Looks all up at once, on a loop of its own. */
static int search_all(const settings *set, search *searches, size_t count)
{
    mail_resolver_options opts = MAIL_RESOLVER_OPTIONS_INIT;
    mail_resolver *resolver = NULL;
    mail_loop_poll *loop = NULL;
    int code;

    opts.servers = set->servers;
    opts.server_count = set->server_count;
    opts.allow_private = true; /* to show them; print_private has a word on them */
    code = mail_loop_poll_create(&loop, NULL);
    if (code == MAIL_OK) {
        code = mail_resolver_create(&resolver, mail_loop_poll_loop(loop), &opts);
    }
    if (code == MAIL_OK) {
        code = look_up(resolver, loop, searches, count);
    }
    mail_resolver_destroy(resolver);
    mail_loop_poll_destroy(loop);
    return code;
}

static void set_domain(search *to, const char *domain)
{
    to->domain = mail_span_text(domain);
    for (size_t i = 0; i < to->domain.length; i++) {
        if ((domain[i] & 0x80) != 0 && mail_domain_to_ascii(to->domain, to->ascii) == MAIL_OK) {
            to->domain = mail_span_text(to->ascii);
            return;
        }
    }
}

static int run(const settings *set, char **domains, size_t count)
{
    search *searches = calloc(count, sizeof(*searches));
    int code;

    if (searches == NULL) {
        perror("mail-mx");
        return EXIT_SOFTWARE;
    }
    for (size_t i = 0; i < count; i++) {
        searches[i].settings = set;
        searches[i].exit_code = EXIT_SOFTWARE;
        set_domain(&searches[i], domains[i]);
    }
    code = search_all(set, searches, count);
    if (code == MAIL_OK) {
        code = print_all(searches, count);
    } else {
        fprintf(stderr, "mail-mx: %s\n", mail_strerror(code));
        code = EXIT_SOFTWARE;
    }
    for (size_t i = 0; i < count; i++) {
        free(searches[i].text);
    }
    free(searches);
    return code;
}

static int add_server(settings *set, const char *text)
{
    if (set->server_count == SERVERS_MAX) {
        fprintf(stderr, "mail-mx: --resolver: more than %d servers\n", SERVERS_MAX);
        return EXIT_USAGE;
    }
    if (mail_endpoint_parse_peer(mail_span_text(text), MAIL_RESOLVER_PORT,
                                 &set->servers[set->server_count]) != MAIL_OK) {
        fprintf(stderr,
                "mail-mx: --resolver: \"%.100s\" is no address such as 192.0.2.1 or "
                "192.0.2.1:5353\n",
                text);
        return EXIT_USAGE;
    }
    set->server_count++;
    return EXIT_SUCCESS;
}

/* -1: go on; else the exit status. getopt_long words its own complaints, in one line. */
static int parse_options(settings *set, int argc, char **argv)
{
    static char name[] = "mail-mx";
    static const struct option options[] = {
        {"resolver", required_argument, NULL, 'r'},   {"json", no_argument, NULL, 'j'},
        {"allow-private-mx", no_argument, NULL, 'p'}, {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},          {NULL, 0, NULL, 0},
    };

    if (argc > 0) {
        argv[0] = name; /* what getopt_long complains as */
    }
    for (;;) {
        switch (getopt_long(argc, argv, "", options, NULL)) {
        case -1:
            return -1;
        case 'r':
            if (add_server(set, optarg) != EXIT_SUCCESS) {
                return EXIT_USAGE;
            }
            break;
        case 'j':
            set->json = true;
            break;
        case 'p':
            set->allow_private = true;
            break;
        case 'h':
            fputs(usage, stdout);
            return EXIT_SUCCESS;
        case 'v':
            puts("mail-mx (libmail) " MAIL_VERSION);
            return EXIT_SUCCESS;
        default:
            return EXIT_USAGE;
        }
    }
}

int main(int argc, char **argv)
{
    settings set = {.server_count = 0};
    int code = parse_options(&set, argc, argv);

    if (code >= 0) {
        return code;
    }
    if (optind == argc) {
        fputs("mail-mx: which domain? See mail-mx --help\n", stderr);
        return EXIT_USAGE;
    }
    return run(&set, argv + optind, (size_t)(argc - optind));
}
