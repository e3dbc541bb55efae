/* SPDX-License-Identifier: MIT */
#ifndef LIB_SMTP_SERVER_H
#define LIB_SMTP_SERVER_H

#include <mail/smtp_server.h>

#include "base/buffer.h"

/* What the peer owes. What the embedder owes is in `question`. */
typedef enum smtp_state {
    SMTP_EXPECT_CONNECTION, /* the first feed asks EV_CONNECT */
    SMTP_EXPECT_TLS,        /* a handshake, of which we see nothing */
    SMTP_EXPECT_HELO,
    SMTP_EXPECT_MAIL,
    SMTP_EXPECT_AUTH, /* the next message of an exchange */
    SMTP_EXPECT_RCPT,
    SMTP_EXPECT_DATA,    /* BDAT, or one more RCPT */
    SMTP_EXPECT_CHUNK,   /* the next BDAT of a message */
    SMTP_EXPECT_QUIT,    /* after a greeting that refused (RFC 5321, section 3.1) */
    SMTP_EXPECT_DOT,     /* text, and CRLF.CRLF in the end */
    SMTP_EXPECT_OCTETS,  /* of a chunk */
    SMTP_EXPECT_VERDICT, /* nothing: the message is whole, EV_END is asked next */
    SMTP_CLOSING,        /* nothing: the last events are due */
    SMTP_CLOSED
} smtp_state;

#define SMTP_IN(state) (1U << (state))

/* A transaction is open, and no message begun. */
#define SMTP_IN_ENVELOPE (SMTP_IN(SMTP_EXPECT_RCPT) | SMTP_IN(SMTP_EXPECT_DATA))

/* The next thing is a command line. */
#define SMTP_IN_COMMANDS                                                                           \
    (SMTP_IN(SMTP_EXPECT_HELO) | SMTP_IN(SMTP_EXPECT_MAIL) | SMTP_IN_ENVELOPE |                    \
     SMTP_IN(SMTP_EXPECT_CHUNK) | SMTP_IN(SMTP_EXPECT_QUIT))

/* Extensions, as bits; their order in the reply to EHLO is that of the table. */
enum {
    SMTP_EXT_PIPELINING = 1,
    SMTP_EXT_SIZE = 2,
    SMTP_EXT_8BITMIME = 4,
    SMTP_EXT_BINARYMIME = 8,
    SMTP_EXT_CHUNKING = 16,
    SMTP_EXT_SMTPUTF8 = 32,
    SMTP_EXT_DSN = 64,
    SMTP_EXT_LIMITS = 128,
    SMTP_EXT_VRFY = 256,
    SMTP_EXT_EXPN = 512,
    SMTP_EXT_ENHANCED = 1024,
    SMTP_EXT_HELP = 2048,
    SMTP_EXT_STARTTLS = 4096,
    SMTP_EXT_AUTH = 8192,
    SMTP_EXT_REQUIRETLS = 16384
};

/* RFC 3461, section 4.4. */
#define SMTP_ENVID_MAX 100

/* A reply as a constant; class 0: no enhanced code. */
#define SMTP_REPLY(code, class, subject, detail, text)                                             \
    {                                                                                              \
        (code), {(class), (subject), (detail)},                                                    \
        {                                                                                          \
            (text), sizeof(text) - 1                                                               \
        }                                                                                          \
    }

struct mail_smtp_server {
    mail_smtp_server_options opts; /* `hostname` is the text at the end of this block */
    const mail_mem *mem;
    size_t block_size;
    buffer out;
    size_t refusal_length; /* octets of the last refusal, while it is the last of `out` */
    size_t held;           /* octets at the end of `out` that must not be seen yet */

    smtp_state state;
    mail_smtp_event_type question; /* open now; EV_NONE: none */
    mail_smtp_event_type owed;     /* RESET or ABORT, to be told before anything else */
    unsigned extensions;           /* that EHLO offers */

    mail_time now; /* as last heard */
    mail_time begun_at;
    mail_time since;      /* what is awaited has been awaited since */
    mail_time data_since; /* the message began */
    mail_time data_last;  /* its last octets came */
    mail_time paused_at;  /* MAIL_NEVER: not paused */
    mail_time release_at; /* when a refusal that is delayed may go */

    uint32_t errors;  /* since the last message */
    uint32_t junk;    /* since the last message */
    uint32_t refused; /* recipients, for good, since the last message */
    uint32_t commands;
    uint64_t octets; /* from the peer */
    uint32_t rcpt_count;
    uint32_t verdict_index;
    uint64_t message_size;
    uint64_t chunk_left;
    smtp_state after_chunk; /* where a refused chunk leads */

    bool asked_esmtp : 1;   /* the EHLO or HELO that is being asked about */
    bool asked_by_bdat : 1; /* the message that is being asked about */
    bool esmtp : 1;         /* EHLO or LHLO was accepted */
    bool is_greeted : 1;    /* all of the greeting is on its way */
    bool talked_early : 1;  /* the peer spoke before */
    bool skips_line : 1;    /* the rest of an over-long line */
    bool at_line_start : 1; /* of the message's text */
    bool discards : 1;      /* octets are swallowed: the message is refused already */
    bool chunk_is_last : 1;
    bool is_private : 1; /* TLS is on */
    bool has_binding : 1;
    bool told_dropped : 1; /* of input behind STARTTLS */
    bool is_authenticated : 1;
    bool skips_auth : 1;  /* the line that is skipped was AUTH's */
    bool was_refused : 1; /* what was answered last */
    bool shutdown_asked : 1;
    bool shutdown_forced : 1;

    mail_reply shutdown_reply;
    const mail_reply *last_reply; /* for EV_CLOSE */

    mail_sasl_server *sasl; /* the exchange under way */
    char *user;             /* after it */
    size_t user_length;
    uint8_t binding[32]; /* of the TLS session */
    char *identity;      /* who the client's certificate names; NULL: nobody */

    /* What events lend. */
    mail_path path;
    mail_smtp_mail mail; /* of the transaction */
    mail_smtp_rcpt rcpt;
    char envid[SMTP_ENVID_MAX];

    char hostname[];
};

/*
 * A step uses octets of the input, or makes an event, or both. MAIL_EAGAIN: it
 * can do neither with what there is.
 */
typedef int smtp_step(mail_smtp_server *srv, mail_span in, size_t *used, mail_smtp_event *ev);

smtp_step smtp_server_command_step; /* server_command.c */
smtp_step smtp_server_dot_step;     /* server_data.c */
smtp_step smtp_server_tls_step;     /* server_tls.c */
smtp_step smtp_server_auth_step;    /* server_auth.c */
smtp_step smtp_server_octets_step;  /* server_bdat.c */

/* A verb's handler; `arg` is what follows the verb, without blanks round it. */
typedef int smtp_verb_fn(mail_smtp_server *srv, mail_span arg, mail_smtp_event *ev);

smtp_verb_fn smtp_server_on_ehlo; /* server_verbs.c; also LHLO */
smtp_verb_fn smtp_server_on_helo;
smtp_verb_fn smtp_server_on_rset;
smtp_verb_fn smtp_server_on_noop;
smtp_verb_fn smtp_server_on_vrfy;
smtp_verb_fn smtp_server_on_expn;
smtp_verb_fn smtp_server_on_quit;
smtp_verb_fn smtp_server_on_unsupported;
smtp_verb_fn smtp_server_on_foreign;
smtp_verb_fn smtp_server_on_help; /* server_command.c, for it reads the table */
smtp_verb_fn smtp_server_on_mail; /* server_envelope.c */
smtp_verb_fn smtp_server_on_rcpt;
smtp_verb_fn smtp_server_on_data;
smtp_verb_fn smtp_server_on_bdat;     /* server_bdat.c */
smtp_verb_fn smtp_server_on_starttls; /* server_tls.c */
smtp_verb_fn smtp_server_on_auth;     /* server_auth.c */

/* server_tls.c */
int smtp_server_starttls_answered(mail_smtp_server *srv, const mail_reply *reply);

/* server_auth.c. The mechanisms offered now, as bits, and as words with a blank before each. */
unsigned smtp_server_mechanisms(const mail_smtp_server *srv);
void smtp_server_write_mechanisms(const mail_smtp_server *srv, char *to, size_t size);

/* The exchange under way is over; who was proved is nobody again. */
void smtp_server_forget_sasl(mail_smtp_server *srv);
void smtp_server_forget_user(mail_smtp_server *srv);

/* The embedder refuses with words of its own. */
int smtp_server_auth_refused(mail_smtp_server *srv, const mail_reply *reply);

/* What refuses the over-long line that was skipped, if it was a message of AUTH; else NULL. */
const mail_reply *smtp_server_skipped_auth(mail_smtp_server *srv);

/* server_options.c. Checks options, and fills in what is left to us. */
int smtp_options_read(mail_smtp_server_options *own, const mail_smtp_server_options *opts);

/* server_clock.c. Whether the session has lasted for as long as one may. */
bool smtp_server_is_old(const mail_smtp_server *srv);

/* Ends a pause, as if it had not been. */
void smtp_server_resume(mail_smtp_server *srv);

/* Puts a question to the embedder; what goes with it is in `*ev` already. */
int smtp_server_ask(mail_smtp_server *srv, mail_smtp_event_type question, mail_smtp_event *ev);

/*
 * The transaction is over: forgets it and says which event tells so, EV_NONE when none was open or
 * that was told already. The state becomes EXPECT_MAIL.
 */
mail_smtp_event_type smtp_server_end_transaction(mail_smtp_server *srv);

/* Makes the last events due; what is held back goes out. */
void smtp_server_close(mail_smtp_server *srv, const mail_reply *last_reply);

/* A message begins with the octets to come. */
void smtp_server_begin_message(mail_smtp_server *srv);

/*
 * server_bdat.c. The octets of a refused chunk come next and lead to `after`; the last `held` octets
 * of `out` wait for their end. `replies` is how many replies refuse a chunk.
 */
void smtp_server_swallow_chunk(mail_smtp_server *srv, smtp_state after, size_t held);
uint32_t smtp_server_chunk_replies(const mail_smtp_server *srv);

/* Whether EHLO was accepted and its reply listed `extension`. */
bool smtp_server_offers(const mail_smtp_server *srv, unsigned extension);

/* server_extensions.c. What is offered as things stand, and the reply to EHLO behind its first line. */
unsigned smtp_extensions_of(const mail_smtp_server *srv);
int smtp_extensions_say(mail_smtp_server *srv);

/*
 * server_reply.c. Writes a reply, ours or the embedder's, and repairs an enhanced code that
 * does not belong to its code.
 */
int smtp_server_say(mail_smtp_server *srv, const mail_reply *reply);

extern const mail_reply smtp_too_big;
extern const mail_reply smtp_too_much; /* for one session */

/* Our name, then what the embedder says, on a line: the greeting, and HELO's reply or its first line. */
int smtp_server_say_name(mail_smtp_server *srv, uint16_t code, mail_span text, bool is_last);

/* One more line of the reply to EHLO. */
int smtp_server_say_keyword(mail_smtp_server *srv, mail_span text, bool is_last);

/* Refuses a command: reply, EV_REFUSED, and one more error; with too many the session ends. */
int smtp_server_refuse(mail_smtp_server *srv, const mail_reply *reply, mail_smtp_event *ev);

/* Says the last word. */
int smtp_server_hang_up(mail_smtp_server *srv, const mail_reply *reply);

/* Counts a command; false: the session has had all that one may. */
bool smtp_server_bears_command(mail_smtp_server *srv);

/* Counts a command that furthers nothing; false: too many. */
bool smtp_server_bears_junk(mail_smtp_server *srv);

/* Refused octets have been swallowed, or time has passed: what need not be held back is let go. */
void smtp_server_release(mail_smtp_server *srv);

/*
 * server_params.c. Both take from `*arg` and give a reply that refuses, or NULL.
 * The parameters go to srv->mail or srv->rcpt.
 */
typedef enum smtp_envelope_verb {
    SMTP_MAIL,
    SMTP_RCPT
} smtp_envelope_verb;

const mail_reply *smtp_server_take_path(mail_smtp_server *srv, smtp_envelope_verb verb,
                                        mail_span *arg);
const mail_reply *smtp_server_take_params(mail_smtp_server *srv, smtp_envelope_verb verb,
                                          mail_span arg);

/* The first word, up to a blank, cut off the front of `*text` with the blanks behind it. */
mail_span smtp_take_word(mail_span *text);

#endif
