/* SPDX-License-Identifier: MIT */
/*
 *   EXPECT_HANDSHAKE ──done──> (verify) ──ok──> OPEN ──close_notify──> ENDED
 *                                 │ ask           │
 *                                 v               │ broken
 *                            AWAIT_VERDICT ──no──>└──────────> FAILED
 */
#include <mail/tls.h>

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include <gnutls/gnutls.h>

#include "base/buffer.h"
#include "base/mem.h"
#include "tls/context.h"
#include "tls/verify.h"

typedef enum state {
    EXPECT_HANDSHAKE,
    AWAIT_VERDICT, /* the embedder owes an answer */
    OPEN,
    ENDED, /* the peer sends no more; we may */
    FAILED,
} state;

/* `write` has no room once so much waits to be sent. */
#define OUT_HIGH ((size_t)64 * 1024)

/* A handshake's flights and one more write past the mark; anything above is a fault. */
#define OUT_LIMIT ((size_t)1024 * 1024)

/*
 * What a peer may send without anything of it being for us: a message of the handshake, or one
 * after it, is held until it is whole, and GnuTLS takes any that says it has up to 16 MiB. A hello
 * with a ticket and keys of all kinds, sent twice, is far below the first; the second has room for a
 * chain of certificates.
 */
#define UNHEARD_HELLO ((size_t)32 * 1024)
#define UNHEARD_CHAIN ((size_t)128 * 1024)

/* What `out` may keep of its memory when nothing is to be sent. */
#define OUT_KEEP 512

/* Passwords come in such records; it would cost too much to wipe whole messages. */
#define SHORT_RECORD 4096

struct mail_tls {
    const mail_mem *mem;
    mail_tls_context *context;
    gnutls_session_t session;
    state state;
    bool server;
    bool has_verdict; /* the embedder's answer has come */
    bool verdict;
    tls_policy policy;
    mail_span in; /* what feed was given and GnuTLS has not pulled yet */
    bool wire_ended;
    size_t unheard; /* octets taken since the peer last came to something */
    size_t unheard_limit;
    buffer out;
    gnutls_packet_t packet; /* the record whose plain bytes are being read */
    mail_span plain;
    char server_name[256]; /* a server's: what the client asked for */
    char failure[128];
};

static ssize_t push(gnutls_transport_ptr_t arg, const giovec_t *parts, int count)
{
    mail_tls *tls = arg;
    size_t total = 0;

    for (int i = 0; i < count; i++) {
        if (buffer_append(&tls->out, mail_span_of(parts[i].iov_base, parts[i].iov_len)) !=
            MAIL_OK) {
            gnutls_transport_set_errno(tls->session, ENOMEM);
            return -1;
        }
        total += parts[i].iov_len;
    }
    return (ssize_t)total;
}

static ssize_t pull(gnutls_transport_ptr_t arg, void *to, size_t size)
{
    mail_tls *tls = arg;
    size_t n = size < tls->in.length ? size : tls->in.length;

    if (n == 0) {
        if (tls->wire_ended) {
            return 0;
        }
        gnutls_transport_set_errno(tls->session, EAGAIN);
        return -1;
    }
    memcpy(to, tls->in.data, n);
    tls->in = mail_span_from(tls->in, n);
    return (ssize_t)n;
}

static int pull_timeout(gnutls_transport_ptr_t arg, unsigned milliseconds)
{
    const mail_tls *tls = arg;

    (void)milliseconds;
    return tls->in.length > 0 || tls->wire_ended;
}

static mail_tls_event fail(mail_tls *tls, const char *what, const char *why)
{
    snprintf(tls->failure, sizeof(tls->failure), "%s: %s", what, why);
    tls->state = FAILED;
    return MAIL_TLS_FAILED;
}

/* Tells the peer why, in the one octet that TLS has for it; that it does not arrive changes nothing. */
static mail_tls_event fail_with_alert(mail_tls *tls, const char *what, int code)
{
    (void)gnutls_alert_send_appropriate(tls->session, code);
    return fail(tls, what, gnutls_strerror(code));
}

static int set_up_server(mail_tls *tls, const mail_tls_options *opts)
{
    bool asks = tls->context->ask_client_certificate || opts->verification != MAIL_TLS_VERIFY_NONE;

    tls->unheard_limit = asks ? UNHEARD_CHAIN : UNHEARD_HELLO;
    if (asks) {
        mail_tls_context_read_trust(tls->context);
        gnutls_certificate_server_set_request(tls->session, GNUTLS_CERT_REQUEST);
    }
    if (tls->context->tickets &&
        gnutls_session_ticket_enable_server(tls->session, &tls->context->ticket_key) < 0) {
        return MAIL_ENOMEM;
    }
    return MAIL_OK;
}

static int set_up(mail_tls *tls, const mail_tls_options *opts)
{
    unsigned flags = GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL;
    gnutls_session_t session;

    flags |= opts->server ? GNUTLS_SERVER : GNUTLS_CLIENT;
    flags |= tls->context->tickets ? GNUTLS_NO_AUTO_SEND_TICKET : GNUTLS_NO_TICKETS;
    if (gnutls_init(&tls->session, flags) < 0) {
        return MAIL_ENOMEM;
    }
    session = tls->session;
    gnutls_session_set_ptr(session, opts->no_certificate ? NULL : tls->context);
    gnutls_transport_set_ptr(session, tls);
    gnutls_transport_set_vec_push_function(session, push);
    gnutls_transport_set_pull_function(session, pull);
    gnutls_transport_set_pull_timeout_function(session, pull_timeout);
    gnutls_handshake_set_timeout(session, 0); /* time is the caller's */
    if (gnutls_priority_set(session, tls->context->priority) < 0 ||
        gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, tls->context->credentials) < 0) {
        return MAIL_ENOMEM;
    }
    if (opts->server) {
        return set_up_server(tls, opts);
    }
    tls->unheard_limit = UNHEARD_CHAIN;
    if (opts->name.length > 0 && !tls->policy.is_address &&
        gnutls_server_name_set(session, GNUTLS_NAME_DNS, opts->name.data, opts->name.length) < 0) {
        return MAIL_EINVAL;
    }
    if (opts->resume.length > 0) {
        /* What cannot be resumed becomes a full handshake. */
        (void)gnutls_session_set_data(session, opts->resume.data, opts->resume.length);
    }
    return MAIL_OK;
}

int mail_tls_create(mail_tls **out, mail_tls_context *context, const mail_tls_options *opts)
{
    mail_tls *tls = mem_alloc(opts->mem, sizeof(*tls));
    int code;

    if (tls == NULL) {
        return MAIL_ENOMEM;
    }
    tls->mem = opts->mem;
    tls->server = opts->server;
    tls->context = mail_tls_context_ref(context);
    buffer_init(&tls->out, opts->mem, OUT_LIMIT);
    code = tls_policy_init(&tls->policy, opts);
    if (code == MAIL_OK) {
        code = set_up(tls, opts);
    }
    if (code != MAIL_OK) {
        mail_tls_destroy(tls);
        return code;
    }
    if (!opts->server) {
        size_t used;

        /* The hello. All that can fail here is memory. */
        if (mail_tls_feed(tls, (mail_span){0}, &used) == MAIL_TLS_FAILED) {
            mail_tls_destroy(tls);
            return MAIL_ENOMEM;
        }
    }
    *out = tls;
    return MAIL_OK;
}

static void drop_packet(mail_tls *tls)
{
    gnutls_datum_t data;

    if (tls->packet != NULL) {
        gnutls_packet_get(tls->packet, &data, NULL);
        if (data.size <= SHORT_RECORD) {
            gnutls_memset(data.data, 0, data.size);
        }
        gnutls_packet_deinit(tls->packet);
        tls->packet = NULL;
    }
    tls->plain = (mail_span){0};
}

void mail_tls_destroy(mail_tls *tls)
{
    if (tls == NULL) {
        return;
    }
    drop_packet(tls);
    if (tls->session != NULL) {
        gnutls_deinit(tls->session);
    }
    buffer_deinit(&tls->out);
    mail_tls_context_unref(tls->context);
    mem_free(tls->mem, tls, sizeof(*tls));
}

/* A server's `name` is what the client asked for; it is shown, never verified against. */
static void note_server_name(mail_tls *tls)
{
    size_t length = sizeof(tls->server_name) - 1;
    unsigned type;

    if (!tls->server) {
        return;
    }
    if (gnutls_server_name_get(tls->session, tls->server_name, &length, &type, 0) < 0) {
        length = 0;
    }
    tls->server_name[length] = '\0';
}

/*
 * GnuTLS by itself would send it ahead of the client's last word. That would have no answer then,
 * and a client that waits for one before it sends more (Nagle) would wait for our kernel's: 40 ms.
 * Without a ticket the next handshake is a whole one.
 */
static void send_ticket(mail_tls *tls)
{
    if (tls->server && tls->context->tickets &&
        gnutls_protocol_get_version(tls->session) >= GNUTLS_TLS1_3) {
        (void)gnutls_session_ticket_send(tls->session, 1, 0);
    }
}

static mail_tls_event open_up(mail_tls *tls)
{
    tls->state = OPEN;
    send_ticket(tls);
    return MAIL_TLS_READY;
}

static mail_tls_event judge(mail_tls *tls)
{
    note_server_name(tls);
    if (tls->policy.verification == MAIL_TLS_VERIFY_ASK) {
        tls->state = AWAIT_VERDICT;
        return MAIL_TLS_VERIFY;
    }
    if (tls->policy.verification == MAIL_TLS_VERIFY_PKIX) {
        mail_tls_context_read_trust(tls->context);
    }
    if (!tls_policy_holds(&tls->policy, tls->session) && !tls->policy.is_lenient) {
        (void)gnutls_alert_send(tls->session, GNUTLS_AL_FATAL, GNUTLS_A_BAD_CERTIFICATE);
        return fail(tls, "certificate", tls->policy.reason);
    }
    return open_up(tls);
}

/*
 * GnuTLS says "again" also after a message of its own (a ticket, say) although
 * more lies there: only when nothing was taken is there nothing to do.
 */
static bool goes_on(const mail_tls *tls, ssize_t code, size_t had)
{
    return code == GNUTLS_E_INTERRUPTED || code == GNUTLS_E_WARNING_ALERT_RECEIVED ||
           (code == GNUTLS_E_AGAIN && tls->in.length > 0 && tls->in.length < had);
}

static mail_tls_event shake_hands(mail_tls *tls)
{
    size_t had;
    int code;

    do {
        had = tls->in.length;
        code = gnutls_handshake(tls->session);
    } while (goes_on(tls, code, had));
    if (code == GNUTLS_E_AGAIN) {
        return MAIL_TLS_NONE;
    }
    return code < 0 ? fail_with_alert(tls, "handshake", code) : judge(tls);
}

static mail_tls_event read_record(mail_tls *tls)
{
    gnutls_datum_t data;
    size_t had;
    ssize_t n;

    do {
        had = tls->in.length;
        n = gnutls_record_recv_packet(tls->session, &tls->packet);
    } while (goes_on(tls, n, had));
    if (n > 0) {
        gnutls_packet_get(tls->packet, &data, NULL);
        tls->plain = mail_span_of(data.data, data.size);
        return MAIL_TLS_PLAIN;
    }
    tls->packet = NULL;
    if (n == 0) {
        tls->state = ENDED;
        return MAIL_TLS_END;
    }
    /* A wish to renegotiate is refused along with everything broken. */
    return n == GNUTLS_E_AGAIN ? MAIL_TLS_NONE : fail_with_alert(tls, "record", (int)n);
}

static mail_tls_event take_verdict(mail_tls *tls)
{
    if (!tls->has_verdict) {
        return MAIL_TLS_NONE;
    }
    if (!tls->verdict) {
        (void)gnutls_alert_send(tls->session, GNUTLS_AL_FATAL, GNUTLS_A_BAD_CERTIFICATE);
        return fail(tls, "certificate", "refused");
    }
    return open_up(tls);
}

static mail_tls_event step(mail_tls *tls)
{
    switch (tls->state) {
    case EXPECT_HANDSHAKE:
        return shake_hands(tls);
    case AWAIT_VERDICT:
        return take_verdict(tls);
    case OPEN:
        return tls->plain.length > 0 ? MAIL_TLS_NONE : read_record(tls);
    case ENDED:
    case FAILED:
        break;
    }
    return MAIL_TLS_NONE;
}

/* Whoever only ever sends what is to be held is stopped. Within a message nothing else may come. */
static mail_tls_event stop_unheard(mail_tls *tls, size_t used, mail_tls_event event)
{
    tls->unheard = event == MAIL_TLS_NONE ? tls->unheard + used : 0;
    if (tls->unheard <= tls->unheard_limit) {
        return event;
    }
    return fail_with_alert(tls, tls->state == OPEN ? "record" : "handshake",
                           GNUTLS_E_HANDSHAKE_TOO_LARGE);
}

mail_tls_event mail_tls_feed(mail_tls *tls, mail_span in, size_t *used)
{
    mail_tls_event event;

    if (tls->state == ENDED || tls->state == FAILED) {
        *used = in.length; /* nothing that comes now means anything */
        return MAIL_TLS_NONE;
    }
    tls->in = in;
    event = step(tls);
    *used = in.length - tls->in.length;
    tls->in = (mail_span){0};
    return stop_unheard(tls, *used, event);
}

bool mail_tls_is_slow(const mail_tls *tls)
{
    return tls->server && tls->state == EXPECT_HANDSHAKE && tls->context->has_slow_key;
}

mail_tls_event mail_tls_eof(mail_tls *tls)
{
    mail_tls_event event;

    if (tls->state == ENDED) {
        return MAIL_TLS_END;
    }
    if (tls->state == FAILED) {
        return MAIL_TLS_FAILED;
    }
    tls->wire_ended = true;
    event = step(tls);
    if (event == MAIL_TLS_NONE && tls->plain.length == 0) { /* a question is open, for nothing */
        return fail(tls, "connection", "cut off");
    }
    return event;
}

void mail_tls_answer(mail_tls *tls, bool accept)
{
    assert(tls->state == AWAIT_VERDICT && !tls->has_verdict);
    tls->has_verdict = true;
    tls->verdict = accept;
    tls->policy.verified = accept;
}

mail_span mail_tls_out(const mail_tls *tls)
{
    return buffer_bytes(&tls->out);
}

void mail_tls_sent(mail_tls *tls, size_t n)
{
    buffer_consume(&tls->out, n);
    if (buffer_length(&tls->out) == 0) {
        buffer_clear(&tls->out, OUT_KEEP);
    }
}

mail_span mail_tls_plain(const mail_tls *tls)
{
    return tls->plain;
}

void mail_tls_drop(mail_tls *tls, size_t n)
{
    assert(n <= tls->plain.length);
    tls->plain = mail_span_from(tls->plain, n);
    if (tls->plain.length == 0) {
        drop_packet(tls);
    }
}

size_t mail_tls_room(const mail_tls *tls)
{
    size_t waiting = buffer_length(&tls->out);

    if ((tls->state != OPEN && tls->state != ENDED) || waiting >= OUT_HIGH) {
        return 0;
    }
    return OUT_HIGH - waiting;
}

int mail_tls_write(mail_tls *tls, mail_span bytes)
{
    assert(bytes.length <= mail_tls_room(tls));
    while (bytes.length > 0) {
        ssize_t n = gnutls_record_send(tls->session, bytes.data, bytes.length);

        if (n == GNUTLS_E_INTERRUPTED) {
            continue;
        }
        if (n < 0) {
            (void)fail(tls, "record", gnutls_strerror((int)n));
            return n == GNUTLS_E_MEMORY_ERROR || n == GNUTLS_E_PUSH_ERROR ? MAIL_ENOMEM
                                                                          : MAIL_EPROTO;
        }
        bytes = mail_span_from(bytes, (size_t)n);
    }
    return MAIL_OK;
}

void mail_tls_close(mail_tls *tls)
{
    if (tls->state == OPEN || tls->state == ENDED) {
        (void)gnutls_bye(tls->session, GNUTLS_SHUT_WR); /* it only pushes */
    }
}

mail_span mail_tls_failure(const mail_tls *tls)
{
    return mail_span_text(tls->failure);
}

void mail_tls_facts_read(const mail_tls *tls, mail_tls_facts *out)
{
    gnutls_cipher_algorithm_t cipher = gnutls_cipher_get(tls->session);
    const char *suite = gnutls_ciphersuite_get(tls->session);

    *out = (mail_tls_facts){
        .version = gnutls_protocol_get_name(gnutls_protocol_get_version(tls->session)),
        .cipher = suite != NULL ? suite : "",
        .cipher_bits = (unsigned)gnutls_cipher_get_key_size(cipher) * 8,
        .server_name = tls->server ? tls->server_name : tls->policy.name,
        .resumed = gnutls_session_is_resumed(tls->session) != 0,
        .is_verified = tls->policy.verified,
        .doubt = tls->policy.reason,
    };
    if (out->version == NULL) {
        out->version = "";
    }
    out->has_peer_certificate = tls_peer_pin(tls->session, out->peer_pin);
}

mail_span mail_tls_peer_certificate(const mail_tls *tls, size_t index)
{
    unsigned count = 0;
    const gnutls_datum_t *list = gnutls_certificate_get_peers(tls->session, &count);

    return index < count ? mail_span_of(list[index].data, list[index].size) : (mail_span){0};
}

int mail_tls_resumption(const mail_tls *tls, void *out, size_t size, size_t *length)
{
    gnutls_datum_t data;
    int code = MAIL_ELIMIT;

    if (tls->server || (tls->state != OPEN && tls->state != ENDED) ||
        (gnutls_protocol_get_version(tls->session) >= GNUTLS_TLS1_3 &&
         (gnutls_session_get_flags(tls->session) & GNUTLS_SFLAGS_SESSION_TICKET) == 0) ||
        gnutls_session_get_data2(tls->session, &data) < 0) {
        return MAIL_ENOENT;
    }
    if (data.size <= size) {
        memcpy(out, data.data, data.size);
        *length = data.size;
        code = MAIL_OK;
    }
    gnutls_memset(data.data, 0, data.size);
    gnutls_free(data.data);
    return code;
}

int mail_tls_peer_address(const mail_tls *tls, char out[MAIL_TLS_ADDRESS_SIZE], mail_error *err)
{
    if (!tls->server || tls->state != OPEN) {
        return mail_error_set(err, MAIL_ENOENT, "none shown");
    }
    return tls_client_address(tls->session, out, err);
}

int mail_tls_binding(const mail_tls *tls, uint8_t out[MAIL_TLS_BINDING_SIZE])
{
    gnutls_datum_t data;
    int code = MAIL_ENOENT;

    if (tls->state != OPEN ||
        gnutls_session_channel_binding(tls->session, GNUTLS_CB_TLS_EXPORTER, &data) < 0) {
        return MAIL_ENOENT;
    }
    if (data.size == MAIL_TLS_BINDING_SIZE) {
        memcpy(out, data.data, data.size);
        code = MAIL_OK;
    }
    gnutls_free(data.data);
    return code;
}
