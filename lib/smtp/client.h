/* SPDX-License-Identifier: MIT */
#ifndef LIB_SMTP_CLIENT_H
#define LIB_SMTP_CLIENT_H

#include <mail/smtp_client.h>

#include "base/buffer.h"
#include "smtp/stuff.h"

/*
 * What the files of the client engine share; each has its own concern:
 *
 *     client.c           the session: verbs, events, how it ends
 *     client_reply.c     what every reply means
 *     client_envelope.c  begin: what may be sent to this peer, and to whom
 *     client_command.c   the commands of a transaction
 *     client_body.c      the sink: dots and chunks
 *     client_offer.c     what EHLO brought
 *     client_tls.c       STARTTLS, or TLS from the start
 *     client_auth.c      AUTH
 *     client_wire.c      octets on their way out, and the replies expected for them
 *     client_outcome.c   the verdict on each recipient
 */

/* What a reply is awaited to. The greeting answers a command that needs no words. */
typedef enum smtp_command {
    SMTP_COMMAND_GREETING,
    SMTP_COMMAND_EHLO, /* LHLO in LMTP */
    SMTP_COMMAND_HELO,
    SMTP_COMMAND_STARTTLS,
    SMTP_COMMAND_AUTH, /* and each message of the exchange */
    SMTP_COMMAND_RSET,
    SMTP_COMMAND_MAIL,
    SMTP_COMMAND_RCPT,
    SMTP_COMMAND_DATA,
    SMTP_COMMAND_BDAT,     /* a chunk, not the last */
    SMTP_COMMAND_END,      /* the final dot or the last chunk: its reply decides */
    SMTP_COMMAND_VOID_END, /* the dot of a message that nobody gets */
    SMTP_COMMAND_QUIT
} smtp_command;

/* A reply to come. */
typedef struct smtp_expected {
    uint64_t end;   /* of its command, as an offset in all octets of the session */
    uint32_t index; /* SMTP_COMMAND_RCPT: of the recipient */
    uint8_t command;
} smtp_expected;

/* The last `open` octets of `out` are a chunk that still grows and is not to be sent yet. */
typedef struct smtp_wire {
    const mail_mem *mem;
    buffer out;
    size_t open;
    uint64_t queued;   /* octets ever put into out, those of the open chunk not counted */
    uint64_t sent;     /* octets ever sent */
    mail_time sent_at; /* the last progress, or SMTP_WIRE_UNTIMED */

    smtp_expected *ring; /* replies to come, the oldest at `first` */
    size_t capacity;     /* a power of two */
    size_t first;
    size_t count;
    mail_time waits_since; /* for the oldest, once its command is sent */
} smtp_wire;

/* Octets have come into an empty `out` from a call that knows no time. */
#define SMTP_WIRE_UNTIMED INT64_MIN

/* A decision, whoever it concerns. */
typedef struct smtp_verdict {
    uint8_t kind; /* mail_outcome_kind */
    bool is_local;
    uint16_t code;
    uint16_t status[3];
    uint32_t text; /* an offset in the texts */
    uint32_t text_length;
} smtp_verdict;

typedef enum smtp_progress {
    SMTP_PROGRESS_WAITING, /* RCPT is to be sent or answered */
    SMTP_PROGRESS_TAKEN,   /* RCPT was accepted */
    SMTP_PROGRESS_DECIDED
} smtp_progress;

typedef struct smtp_recipient {
    smtp_verdict verdict;
    uint8_t progress;
} smtp_recipient;

/* The recipients of one transaction, and what becomes of them. */
typedef struct smtp_outcomes {
    const mail_mem *mem;
    smtp_recipient *all;
    size_t count;
    size_t capacity;
    size_t waiting; /* how many are so far */
    size_t taken;
    buffer texts;
} smtp_outcomes;

/* One message on its way. */
typedef struct smtp_transaction {
    const mail_envelope *envelope;
    mail_smtp_content content;
    bool utf8; /* MAIL says SMTPUTF8 */
    bool by_bdat;
    bool mail_written;
    bool mail_taken;
    bool is_clean;     /* the peer has no transaction open any more */
    bool is_whole;     /* the embedder has finished the body */
    size_t next;       /* the recipient to be named next */
    size_t next_final; /* LMTP: no taken recipient before this one awaits a final reply */
    uint64_t end;      /* behind the last octet of the message, once that is queued; else 0 */
    stuff_state line;
    int broken; /* what the body's write returned, if that was an error */
} smtp_transaction;

typedef enum smtp_client_state {
    SMTP_CLIENT_OPENING,   /* greeting, EHLO, STARTTLS, AUTH: each reply awaited by itself */
    SMTP_CLIENT_AWAIT_TLS, /* the embedder shakes hands */
    SMTP_CLIENT_AWAIT_CREDENTIALS, /* the embedder looks who we are */
    SMTP_CLIENT_AWAIT_BEGIN,       /* the embedder begins a message or quits */
    SMTP_CLIENT_SENDING,           /* commands go out as room and replies allow */
    SMTP_CLIENT_AWAIT_BODY,        /* the embedder writes the message */
    SMTP_CLIENT_AWAIT_REPLIES,     /* this transaction has nothing more to send */
    SMTP_CLIENT_AWAIT_FAREWELL,    /* QUIT is on its way */
    SMTP_CLIENT_CLOSED
} smtp_client_state;

struct mail_smtp_client {
    const mail_mem *mem;
    mail_time now; /* as told last */
    char *hostname;
    size_t hostname_length;
    bool lmtp;
    bool no_pipelining;
    bool no_chunking;
    mail_duration max_timeout;
    mail_smtp_tls tls;
    bool authenticates;
    const struct mail_random *random;

    smtp_client_state state;
    unsigned due;    /* events not reported so far, a bit each */
    bool leaves;     /* QUIT instead of another transaction */
    bool needs_rset; /* the peer may have a transaction open */
    bool is_starved; /* the session ended for lack of memory; not told so far */
    uint32_t mails;  /* MAIL commands so far, for MAILMAX */
    mail_smtp_offer offer;
    mail_smtp_offer heard; /* the offer while it is being read */
    bool is_private;       /* TLS is on … */
    bool is_verified;      /* … with who we meant */
    bool has_binding;
    uint8_t binding[32];
    mail_time tls_since;    /* AWAIT_TLS */
    mail_sasl_client *sasl; /* an exchange under way */
    mail_span line_text;    /* of the reply at hand, its last line as it came */
    bool has_more;          /* SASL: `out` is still to be said */
    bool is_authenticated;
    uint64_t *domains; /* of this session's recipients, hashed, for RCPTDOMAINMAX */
    size_t domain_count;
    size_t domain_capacity;

    smtp_wire wire;
    smtp_transaction tx;
    smtp_outcomes outcomes;
    mail_sink body;

    mail_reply_reader reader;
    mail_reply failure;
    bool failure_is_local;
    const char *last_phase; /* in which the session ended */
    char reply_text[MAIL_REPLY_TEXT_SIZE];
    char failure_text[MAIL_REPLY_TEXT_SIZE];
};

/* client.c */

/* Reports `event` from the next feed, eof or tick. */
void smtp_client_report(mail_smtp_client *cl, mail_smtp_client_event event);

/* Ends the session at once. Who is undecided ends as UNTRIED or, if all was sent, AMBIGUOUS. */
void smtp_client_fail(mail_smtp_client *cl, const mail_reply *why, bool is_local);

/* The same for a peer that breaks the protocol; `reply` NULL: with what is no reply. */
void smtp_client_fail_protocol(mail_smtp_client *cl, const char *what, const mail_reply *reply);

/* The same when there is no memory to go on. */
void smtp_client_fail_memory(mail_smtp_client *cl);

/* Says QUIT; `why`, unless NULL, is why there is no (further) transaction. */
void smtp_client_leave(mail_smtp_client *cl, const mail_reply *why, bool is_local);

/* Between transactions: ready for the next, or off. */
void smtp_client_settle(mail_smtp_client *cl);

/* client_reply.c */

/* Acts on a whole reply. */
void smtp_client_on_reply(mail_smtp_client *cl, const mail_reply *reply);

/* Greets, or greets anew: what was offered before is forgotten. */
void smtp_client_say_ehlo(mail_smtp_client *cl);

/* The offer is known: TLS, AUTH, or ready. */
void smtp_client_proceed(mail_smtp_client *cl);

mail_duration smtp_command_timeout(smtp_command command);
const char *smtp_command_phase(smtp_command command);

/* client_command.c */

/* Writes a command of its own: `verb`, a blank and `argument` if there is one, CRLF. */
void smtp_client_say(mail_smtp_client *cl, smtp_command command, const char *verb,
                     mail_span argument);

/* Goes on with the transaction as far as room and replies allow. */
void smtp_client_advance(mail_smtp_client *cl);

/* Asks for the message behind an envelope that has not been answered, if that is wise. */
void smtp_client_send_at_once(mail_smtp_client *cl);

/* client_body.c */

extern const mail_sink_ops smtp_body_ops;

/* The peer takes the message. */
void smtp_body_open(mail_smtp_client *cl);

/* Sends of the chunk at hand what may go. */
void smtp_body_flush(mail_smtp_client *cl);

/* Whether a message of `size` octets would go out at once, as a single chunk. */
bool smtp_body_fits(const mail_smtp_client *cl, uint64_t size);

/* No more of the message is wanted; an unsent chunk is dropped. */
void smtp_body_cut(mail_smtp_client *cl);

/* client_offer.c */

/* Takes one line of a positive reply to EHLO, without its code; the first one only greets. */
void smtp_offer_line(mail_smtp_offer *offer, mail_span line);

/* client_tls.c */

/* Whether STARTTLS comes next. */
bool smtp_client_wants_starttls(const mail_smtp_client *cl);
bool smtp_client_on_starttls(mail_smtp_client *cl, const mail_reply *reply, size_t index);

/* The handshake is the embedder's next. */
void smtp_client_ask_for_tls(mail_smtp_client *cl);

mail_time smtp_client_tls_deadline(const mail_smtp_client *cl);

/* client_auth.c */

void smtp_client_ask_for_credentials(mail_smtp_client *cl);
bool smtp_client_on_auth(mail_smtp_client *cl, const mail_reply *reply, size_t index);

/* Makes unreadable what `reply_text`, of that length, repeats of our last message. */
void smtp_client_mask(mail_smtp_client *cl, size_t length);

/* Ends an exchange; its secrets are wiped. */
void smtp_client_forget_sasl(mail_smtp_client *cl);

/* client_wire.c */

void smtp_wire_init(smtp_wire *wire, const mail_mem *mem, size_t limit);
void smtp_wire_deinit(smtp_wire *wire);

/* Makes room for `count` replies to come, more than will be expected at once. MAIL_ENOMEM. */
int smtp_wire_reserve(smtp_wire *wire, size_t count);

/* Room for a command of `length` octets: NULL is lack of memory only if smtp_wire_takes said yes. */
char *smtp_wire_space(smtp_wire *wire, size_t length);
bool smtp_wire_takes(const smtp_wire *wire, size_t length);

/* Sends the first `length` octets of that space. */
void smtp_wire_commit(smtp_wire *wire, size_t length);

/* Awaits a reply to what was committed last. */
void smtp_wire_expect(smtp_wire *wire, smtp_command command, uint32_t index);

/* The oldest reply awaited, or NULL. */
const smtp_expected *smtp_wire_head(const smtp_wire *wire);
void smtp_wire_pop(smtp_wire *wire, mail_time now);

/* Whether the peer can have seen all octets before `offset`. */
bool smtp_wire_has_sent(const smtp_wire *wire, uint64_t offset);

mail_span smtp_wire_out(const smtp_wire *wire);
void smtp_wire_sent(smtp_wire *wire, mail_time now, size_t n);

/*
 * A chunk grows at the end of `out`, with room before it for the header that comes
 * when it is closed. Nothing else may be committed before that.
 */
#define SMTP_WIRE_CHUNK_HEADER 32 /* `BDAT 18446744073709551615 LAST` CRLF */

size_t smtp_wire_chunk_room(const smtp_wire *wire);
bool smtp_wire_takes_chunk(const smtp_wire *wire, size_t length);
char *smtp_wire_chunk_space(smtp_wire *wire, size_t length);
void smtp_wire_chunk_added(smtp_wire *wire, size_t length);
void smtp_wire_chunk_close(smtp_wire *wire, mail_span header);
void smtp_wire_chunk_drop(smtp_wire *wire);

/* Lets time begin for octets that came from a call without it. */
void smtp_wire_time(smtp_wire *wire, mail_time now);

/* Drops everything: nothing more is sent or awaited. */
void smtp_wire_clear(smtp_wire *wire);

/* Overwrites what was sent, and is still in memory. */
void smtp_wire_wipe(smtp_wire *wire);

/* Gives back memory that only a large message needed. */
void smtp_wire_rest(smtp_wire *wire);

/* client_outcome.c */

void smtp_outcomes_init(smtp_outcomes *outcomes, const mail_mem *mem);
void smtp_outcomes_deinit(smtp_outcomes *outcomes);

/* Begins anew with `count` waiting recipients. MAIL_ENOMEM: none are left. */
int smtp_outcomes_begin(smtp_outcomes *outcomes, size_t count);

/* A verdict by `reply`, whose text is copied; without memory, the codes alone. */
smtp_verdict smtp_outcomes_verdict(smtp_outcomes *outcomes, mail_outcome_kind kind, bool is_local,
                                   const mail_reply *reply);

/* The verdict that a peer's reply is by its first digit. */
smtp_verdict smtp_outcomes_judge(smtp_outcomes *outcomes, const mail_reply *reply);

void smtp_outcomes_take(smtp_outcomes *outcomes, size_t index);
void smtp_outcomes_decide(smtp_outcomes *outcomes, size_t index, const smtp_verdict *verdict);

/* Decides on all who are undecided. */
void smtp_outcomes_decide_rest(smtp_outcomes *outcomes, const smtp_verdict *verdict);

/* Whether anybody may still get the message. */
static inline bool smtp_outcomes_are_open(const smtp_outcomes *outcomes)
{
    return outcomes->waiting + outcomes->taken > 0;
}

#endif
