/* SPDX-License-Identifier: MIT */
/*
 * What TLS costs without any mail around it:
 *
 *     bench_tls make CERT KEY            a certificate of its own making, ECDSA P-256
 *     bench_tls handshake CERT KEY [N]   CPU of a server for each of N full handshakes, in memory
 */
#include "common.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

static void check(int code, const char *what)
{
    if (code < 0) {
        fprintf(stderr, "%s: %s\n", what, gnutls_strerror(code));
        exit(1);
    }
}

static void save(const char *path, const gnutls_datum_t *text)
{
    FILE *file = fopen(path, "wb");

    if (file == NULL || fwrite(text->data, 1, text->size, file) != text->size ||
        fclose(file) != 0) {
        die(path);
    }
}

static void make(const char *cert_path, const char *key_path)
{
    static const unsigned char serial[] = {1};
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t cert;
    gnutls_datum_t text;

    check(gnutls_x509_privkey_init(&key), "key");
    check(gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
                                       GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
          "key");
    check(gnutls_x509_crt_init(&cert), "certificate");
    check(gnutls_x509_crt_set_version(cert, 3), "certificate");
    check(gnutls_x509_crt_set_serial(cert, serial, sizeof(serial)), "certificate");
    check(gnutls_x509_crt_set_key(cert, key), "certificate");
    gnutls_x509_crt_set_activation_time(cert, time(NULL) - 86400);
    gnutls_x509_crt_set_expiration_time(cert, time(NULL) + 30 * 86400);
    check(gnutls_x509_crt_set_dn(cert, "CN=mx.bench.test", NULL), "certificate");
    check(gnutls_x509_crt_set_subject_alt_name(cert, GNUTLS_SAN_DNSNAME, "mx.bench.test", 13,
                                               GNUTLS_FSAN_SET),
          "certificate");
    check(gnutls_x509_crt_sign2(cert, cert, key, GNUTLS_DIG_SHA256, 0), "certificate");
    check(gnutls_x509_crt_export2(cert, GNUTLS_X509_FMT_PEM, &text), "certificate");
    save(cert_path, &text);
    gnutls_free(text.data);
    check(
        gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN, &text),
        "key");
    save(key_path, &text);
    gnutls_free(text.data);
    gnutls_x509_crt_deinit(cert);
    gnutls_x509_privkey_deinit(key);
}

/* One way of the connection in memory. */
typedef struct pipe_end {
    char data[16384];
    size_t length;
} pipe_end;

typedef struct peer {
    gnutls_session_t session;
    pipe_end *in;
    pipe_end *out;
    bool is_done;
} peer;

static ssize_t push(gnutls_transport_ptr_t arg, const void *data, size_t length)
{
    pipe_end *out = ((peer *)arg)->out;

    if (length > sizeof(out->data) - out->length) {
        return -1;
    }
    memcpy(out->data + out->length, data, length);
    out->length += length;
    return (ssize_t)length;
}

static ssize_t pull(gnutls_transport_ptr_t arg, void *to, size_t size)
{
    peer *p = arg;
    pipe_end *in = p->in;
    size_t n = size < in->length ? size : in->length;

    if (n == 0) {
        gnutls_transport_set_errno(p->session, EAGAIN);
        return -1;
    }
    memcpy(to, in->data, n);
    memmove(in->data, in->data + n, in->length - n);
    in->length -= n;
    return (ssize_t)n;
}

static void set_up(peer *p, unsigned flags, gnutls_priority_t priority,
                   gnutls_certificate_credentials_t credentials)
{
    check(gnutls_init(&p->session, flags | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL), "session");
    check(gnutls_priority_set(p->session, priority), "priority");
    check(gnutls_credentials_set(p->session, GNUTLS_CRD_CERTIFICATE, credentials), "credentials");
    gnutls_transport_set_ptr(p->session, p);
    gnutls_transport_set_push_function(p->session, push);
    gnutls_transport_set_pull_function(p->session, pull);
}

static void step(peer *p)
{
    int code = gnutls_handshake(p->session);

    if (code < 0 && code != GNUTLS_E_AGAIN) {
        check(code, "handshake");
    }
    p->is_done = code == 0;
}

static double cpu_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* Microseconds of the server's side. */
static double shake_hands(gnutls_priority_t priority, gnutls_certificate_credentials_t ours,
                          gnutls_certificate_credentials_t theirs)
{
    pipe_end to_server = {.length = 0};
    pipe_end to_client = {.length = 0};
    peer server = {.in = &to_server, .out = &to_client};
    peer client = {.in = &to_client, .out = &to_server};
    double spent = -cpu_now();

    set_up(&server, GNUTLS_SERVER, priority, ours);
    spent += cpu_now();
    set_up(&client, GNUTLS_CLIENT | GNUTLS_NO_TICKETS, priority, theirs);
    while (!server.is_done || !client.is_done) {
        step(&client);
        spent -= cpu_now();
        if (!server.is_done) {
            step(&server);
        }
        spent += cpu_now();
    }
    spent -= cpu_now();
    gnutls_deinit(server.session);
    spent += cpu_now();
    gnutls_deinit(client.session);
    return spent;
}

static int by_size(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;

    return (left > right) - (left < right);
}

static void handshake(const char *cert, const char *key, unsigned count)
{
    gnutls_certificate_credentials_t ours;
    gnutls_certificate_credentials_t theirs;
    gnutls_priority_t priority;
    double *spent = need(calloc(count, sizeof(*spent)));
    double total = 0;

    check(gnutls_priority_init(&priority, NULL, NULL), "priority");
    check(gnutls_certificate_allocate_credentials(&ours), "credentials");
    check(gnutls_certificate_allocate_credentials(&theirs), "credentials");
    check(gnutls_certificate_set_x509_key_file(ours, cert, key, GNUTLS_X509_FMT_PEM), cert);
    for (unsigned i = 0; i < count; i++) {
        spent[i] = shake_hands(priority, ours, theirs);
        total += spent[i];
    }
    qsort(spent, count, sizeof(*spent), by_size);
    printf("%u full handshakes: %.0f us of CPU each for the server (median), %.0f (mean)\n", count,
           spent[count / 2], total / count);
    free(spent);
    gnutls_certificate_free_credentials(ours);
    gnutls_certificate_free_credentials(theirs);
    gnutls_priority_deinit(priority);
}

int main(int argc, char **argv)
{
    if (argc >= 4 && strcmp(argv[1], "make") == 0) {
        make(argv[2], argv[3]);
    } else if (argc >= 4 && strcmp(argv[1], "handshake") == 0) {
        int count = argc > 4 ? atoi(argv[4]) : 500;

        handshake(argv[2], argv[3], count > 0 ? (unsigned)count : 1);
    } else {
        fprintf(stderr, "usage: bench_tls make CERT KEY | handshake CERT KEY [N]\n");
        return 64;
    }
    return 0;
}
