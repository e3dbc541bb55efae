/* SPDX-License-Identifier: MIT */
#include "smtp/client.h"

#include <assert.h>

#include "base/mem.h"

/* What is kept of the recipients and the texts of an earlier transaction. */
#define KEEP_COUNT 64
#define KEEP_TEXT  4096

/* Texts are kept whole until there are so many; thousands of long refusals are cut short. */
#define WHOLE_TEXTS (64 * 1024)
#define SHORT_TEXT  100
#define TEXTS_MAX   ((size_t)1 << 30)

const char *mail_outcome_kind_name(mail_outcome_kind kind)
{
    switch (kind) {
    case MAIL_OUTCOME_UNTRIED:
        return "untried";
    case MAIL_OUTCOME_ACCEPTED:
        return "accepted";
    case MAIL_OUTCOME_TRANSIENT:
        return "transient";
    case MAIL_OUTCOME_PERMANENT:
        return "permanent";
    case MAIL_OUTCOME_AMBIGUOUS:
        return "ambiguous";
    }
    return "unknown";
}

void smtp_outcomes_init(smtp_outcomes *outcomes, const mail_mem *mem)
{
    *outcomes = (smtp_outcomes){.mem = mem};
    buffer_init(&outcomes->texts, mem, TEXTS_MAX);
}

void smtp_outcomes_deinit(smtp_outcomes *outcomes)
{
    mem_free(outcomes->mem, outcomes->all, outcomes->capacity * sizeof(*outcomes->all));
    buffer_deinit(&outcomes->texts);
}

static int reserve_recipients(smtp_outcomes *outcomes, size_t count)
{
    size_t capacity = count > 4 ? count : 4;
    smtp_recipient *all;

    if (count <= outcomes->capacity && outcomes->capacity <= KEEP_COUNT) {
        return MAIL_OK;
    }
    all = mem_alloc(outcomes->mem, capacity * sizeof(*all));
    if (all == NULL) {
        return MAIL_ENOMEM;
    }
    mem_free(outcomes->mem, outcomes->all, outcomes->capacity * sizeof(*all));
    outcomes->all = all;
    outcomes->capacity = capacity;
    return MAIL_OK;
}

int smtp_outcomes_begin(smtp_outcomes *outcomes, size_t count)
{
    int code = reserve_recipients(outcomes, count);

    if (code != MAIL_OK) {
        return code;
    }
    buffer_clear(&outcomes->texts, KEEP_TEXT);
    /* One text at least can be kept, then, whatever comes. */
    if (buffer_space(&outcomes->texts, MAIL_REPLY_TEXT_SIZE) == NULL) {
        outcomes->count = 0;
        return MAIL_ENOMEM;
    }
    if (count > 0) {
        memset(outcomes->all, 0, count * sizeof(*outcomes->all));
    }
    outcomes->count = count;
    outcomes->waiting = count;
    outcomes->taken = 0;
    return MAIL_OK;
}

static size_t text_to_keep(const smtp_outcomes *outcomes, size_t length)
{
    bool is_whole = buffer_length(&outcomes->texts) < WHOLE_TEXTS;

    return is_whole || length < SHORT_TEXT ? length : SHORT_TEXT;
}

smtp_verdict smtp_outcomes_verdict(smtp_outcomes *outcomes, mail_outcome_kind kind, bool is_local,
                                   const mail_reply *reply)
{
    mail_span text = mail_span_first(reply->text, text_to_keep(outcomes, reply->text.length));
    smtp_verdict verdict = {
        .kind = (uint8_t)kind,
        .is_local = is_local,
        .code = reply->code,
        .status = {reply->status[0], reply->status[1], reply->status[2]},
        .text = (uint32_t)buffer_length(&outcomes->texts),
    };

    if (buffer_append(&outcomes->texts, text) == MAIL_OK) {
        verdict.text_length = (uint32_t)text.length;
    }
    return verdict;
}

smtp_verdict smtp_outcomes_judge(smtp_outcomes *outcomes, const mail_reply *reply)
{
    mail_outcome_kind kind = MAIL_OUTCOME_TRANSIENT;

    if (mail_reply_is_positive(reply)) {
        kind = MAIL_OUTCOME_ACCEPTED;
    } else if (mail_reply_is_permanent(reply)) {
        kind = MAIL_OUTCOME_PERMANENT;
    }
    return smtp_outcomes_verdict(outcomes, kind, false, reply);
}

void smtp_outcomes_take(smtp_outcomes *outcomes, size_t index)
{
    assert(outcomes->all[index].progress == SMTP_PROGRESS_WAITING);
    outcomes->all[index].progress = SMTP_PROGRESS_TAKEN;
    outcomes->waiting--;
    outcomes->taken++;
}

void smtp_outcomes_decide(smtp_outcomes *outcomes, size_t index, const smtp_verdict *verdict)
{
    smtp_recipient *recipient = &outcomes->all[index];

    assert(recipient->progress != SMTP_PROGRESS_DECIDED);
    if (recipient->progress == SMTP_PROGRESS_WAITING) {
        outcomes->waiting--;
    } else {
        outcomes->taken--;
    }
    recipient->progress = SMTP_PROGRESS_DECIDED;
    recipient->verdict = *verdict;
}

void smtp_outcomes_decide_rest(smtp_outcomes *outcomes, const smtp_verdict *verdict)
{
    for (size_t i = 0; i < outcomes->count; i++) {
        if (outcomes->all[i].progress != SMTP_PROGRESS_DECIDED) {
            smtp_outcomes_decide(outcomes, i, verdict);
        }
    }
}

mail_outcome mail_smtp_client_outcome(const mail_smtp_client *cl, size_t index)
{
    const smtp_outcomes *outcomes = &cl->outcomes;
    const smtp_verdict *verdict;

    assert(index < outcomes->count);
    verdict = &outcomes->all[index].verdict;
    return (mail_outcome){
        .kind = (mail_outcome_kind)verdict->kind,
        .is_local = verdict->is_local,
        .reply =
            {
                .code = verdict->code,
                .status = {verdict->status[0], verdict->status[1], verdict->status[2]},
                .text = mail_span_of(verdict->text_length > 0 ? outcomes->texts.data + verdict->text
                                                              : "",
                                     verdict->text_length),
            },
    };
}
