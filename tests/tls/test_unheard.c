/* SPDX-License-Identifier: MIT */
/*
 * What a peer may send once the handshake is done without anything of it being for us. No GnuTLS
 * sends such things, so its keys are taken and the records made by hand (RFC 8446, section 5.2).
 */
#include "support/certs.h"
#include "support/support.h"

#include <errno.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include <mail/tls.h>

/* GnuTLS's own session as the peer of ours. */
typedef struct peer {
    gnutls_session_t session;
    gnutls_certificate_credentials_t credentials;
    char in[100000]; /* what ours has sent */
    size_t in_length;
    mail_tls *ours;
    mail_tls_event last;
} peer;

static mail_test_cert cert;

static int make_certificate(void **state)
{
    (void)state;
    mail_test_cert_make(&cert, &(mail_test_cert_options){.dns_name = "mx.example"});
    return 0;
}

static int free_certificate(void **state)
{
    (void)state;
    mail_test_cert_free(&cert);
    return 0;
}

/* Ours takes all that there is. */
static void give(peer *pr, mail_span bytes)
{
    size_t used = 0;

    do {
        pr->last = mail_tls_feed(pr->ours, bytes, &used);
        bytes = mail_span_from(bytes, used);
    } while (bytes.length > 0 && pr->last != MAIL_TLS_FAILED);
}

static ssize_t push(gnutls_transport_ptr_t arg, const void *bytes, size_t length)
{
    give(arg, mail_span_of(bytes, length));
    return (ssize_t)length;
}

static ssize_t pull(gnutls_transport_ptr_t arg, void *to, size_t size)
{
    peer *pr = arg;
    size_t n = size < pr->in_length ? size : pr->in_length;

    if (n == 0) {
        gnutls_transport_set_errno(pr->session, EAGAIN);
        return -1;
    }
    memcpy(to, pr->in, n);
    memmove(pr->in, pr->in + n, pr->in_length - n);
    pr->in_length -= n;
    return (ssize_t)n;
}

static void fetch(peer *pr)
{
    mail_span out = mail_tls_out(pr->ours);

    assert_true(pr->in_length + out.length <= sizeof(pr->in));
    if (out.length > 0) {
        memcpy(pr->in + pr->in_length, out.data, out.length);
    }
    pr->in_length += out.length;
    mail_tls_sent(pr->ours, out.length);
}

static void peer_open(peer *pr, bool ours_serves)
{
    mail_tls_options opts = MAIL_TLS_OPTIONS_INIT;
    mail_tls_context *context = mail_test_tls_context(ours_serves ? &cert : NULL, NULL);
    int code;

    memset(pr, 0, sizeof(*pr));
    opts.server = ours_serves;
    assert_int_equal(mail_tls_create(&pr->ours, context, &opts), MAIL_OK);
    mail_tls_context_unref(context);
    assert_int_equal(gnutls_init(&pr->session, GNUTLS_NONBLOCK | GNUTLS_NO_AUTO_SEND_TICKET |
                                                   (ours_serves ? GNUTLS_CLIENT : GNUTLS_SERVER)),
                     0);
    assert_int_equal(gnutls_certificate_allocate_credentials(&pr->credentials), 0);
    if (!ours_serves) {
        gnutls_datum_t pem = {(unsigned char *)cert.certificate,
                              (unsigned)strlen(cert.certificate)};
        gnutls_datum_t key = {(unsigned char *)cert.key, (unsigned)strlen(cert.key)};

        assert_int_equal(
            gnutls_certificate_set_x509_key_mem(pr->credentials, &pem, &key, GNUTLS_X509_FMT_PEM),
            0);
    }
    gnutls_credentials_set(pr->session, GNUTLS_CRD_CERTIFICATE, pr->credentials);
    gnutls_priority_set_direct(pr->session,
                               "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM", NULL);
    gnutls_transport_set_ptr(pr->session, pr);
    gnutls_transport_set_push_function(pr->session, push);
    gnutls_transport_set_pull_function(pr->session, pull);
    do {
        fetch(pr);
        code = gnutls_handshake(pr->session);
    } while (code == GNUTLS_E_AGAIN);
    assert_int_equal(code, 0);
    assert_true(mail_tls_room(pr->ours) > 0); /* ours has done too */
}

static void peer_close(peer *pr)
{
    mail_tls_destroy(pr->ours);
    gnutls_deinit(pr->session);
    gnutls_certificate_free_credentials(pr->credentials);
}

/* The keys with which the peer writes, and how many records it has written. */
typedef struct writer {
    gnutls_aead_cipher_hd_t cipher;
    unsigned char iv[12];
    uint64_t number;
} writer;

static void writer_init(writer *wr, gnutls_session_t session)
{
    gnutls_datum_t mac;
    gnutls_datum_t iv;
    gnutls_datum_t key;
    unsigned char number[8];

    assert_int_equal(gnutls_record_get_state(session, 0, &mac, &iv, &key, number), 0);
    assert_int_equal(iv.size, sizeof(wr->iv));
    memcpy(wr->iv, iv.data, sizeof(wr->iv));
    assert_int_equal(gnutls_aead_cipher_init(&wr->cipher, GNUTLS_CIPHER_AES_128_GCM, &key), 0);
    wr->number = 0;
    for (int i = 0; i < 8; i++) {
        wr->number = wr->number << 8 | number[i];
    }
}

#define HANDSHAKE        22
#define APPLICATION_DATA 23
#define TAG              16

/* A record of `bytes`, of that type; its length. */
static size_t writer_seal(writer *wr, char type, mail_span bytes, char out[2000])
{
    size_t length = bytes.length + 1 + TAG;
    char header[5] = {APPLICATION_DATA, 3, 3, (char)(length >> 8), (char)length};
    unsigned char nonce[12];
    char plain[1500];
    size_t sealed = 2000 - sizeof(header);

    memcpy(nonce, wr->iv, sizeof(nonce));
    for (int i = 0; i < 8; i++) {
        nonce[11 - i] ^= (unsigned char)(wr->number >> (8 * i));
    }
    wr->number++;
    memcpy(plain, bytes.data, bytes.length);
    plain[bytes.length] = type;
    memcpy(out, header, sizeof(header));
    assert_int_equal(gnutls_aead_cipher_encrypt(wr->cipher, nonce, sizeof(nonce), header,
                                                sizeof(header), TAG, plain, bytes.length + 1,
                                                out + sizeof(header), &sealed),
                     0);
    return sizeof(header) + sealed;
}

/* Records of a message of 16 MiB that ours takes until it has had enough; octets taken. */
static size_t send_endless_message(peer *pr, char kind)
{
    char text[1000] = {kind, (char)255, (char)255, (char)255};
    char record[2000];
    writer wr;
    size_t total = 0;

    writer_init(&wr, pr->session);
    do {
        size_t length = writer_seal(&wr, HANDSHAKE, mail_span_of(text, sizeof(text)), record);

        give(pr, mail_span_of(record, length));
        total += length;
        memset(text, 3, 4);
    } while (pr->last != MAIL_TLS_FAILED && total < 1000000);
    gnutls_aead_cipher_deinit(wr.cipher);
    return total;
}

#define NEW_SESSION_TICKET 4
#define KEY_UPDATE         24

/* HOSTILE section 11: a message behind the handshake is held no longer than one of it. */
static void holds_no_late_message_without_end(void **state)
{
    static const struct {
        const char *name;
        bool ours_serves;
        char kind;
        size_t limit;
    } cases[] = {
        {"a client's", true, KEY_UPDATE, 32 * 1024},
        {"a server's", false, NEW_SESSION_TICKET, 128 * 1024},
    };

    (void)state;
    for (size_t i = 0; i < MAIL_COUNT(cases); i++) {
        peer *pr = calloc(1, sizeof(*pr));

        assert_non_null(pr);
        mail_test_case(cases[i].name);
        peer_open(pr, cases[i].ours_serves);
        assert_in_range(send_endless_message(pr, cases[i].kind), cases[i].limit,
                        cases[i].limit + 2000);
        assert_int_equal(pr->last, MAIL_TLS_FAILED);
        assert_non_null(strstr(mail_tls_failure(pr->ours).data, "record: "));
        assert_non_null(strstr(mail_tls_failure(pr->ours).data, "too large"));
        peer_close(pr);
        free(pr);
    }
}

/* Made by hand, records are as good as any: what is for us is given out, and makes up for the rest. */
static void hears_what_is_between_late_messages(void **state)
{
    static const char ticket[] = {NEW_SESSION_TICKET, 0, 3, (char)240};
    peer *pr = calloc(1, sizeof(*pr));
    char record[2000];
    writer wr;

    (void)state;
    assert_non_null(pr);
    peer_open(pr, false);
    writer_init(&wr, pr->session);
    for (size_t i = 0; i < 50; i++) {
        size_t length = writer_seal(&wr, APPLICATION_DATA, MAIL_SPAN("250 OK\r\n"), record);

        give(pr, mail_span_of(record, length));
        assert_int_equal(pr->last, MAIL_TLS_PLAIN);
        assert_span_equal(mail_tls_plain(pr->ours), "250 OK\r\n");
        mail_tls_drop(pr->ours, mail_tls_plain(pr->ours).length);
    }
    /* And within a message nothing else may come. */
    give(pr, mail_span_of(record, writer_seal(&wr, HANDSHAKE, mail_span_of(ticket, 4), record)));
    give(pr, mail_span_of(record, writer_seal(&wr, APPLICATION_DATA, MAIL_SPAN("x"), record)));
    assert_int_equal(pr->last, MAIL_TLS_FAILED);
    gnutls_aead_cipher_deinit(wr.cipher);
    peer_close(pr);
    free(pr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_no_late_message_without_end),
        cmocka_unit_test(hears_what_is_between_late_messages),
    };

    return cmocka_run_group_tests(tests, make_certificate, free_certificate);
}
