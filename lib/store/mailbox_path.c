/* SPDX-License-Identifier: MIT */
#include <mail/store.h>

/* The domain as a folder: A-labels where it is a name, lower case anyway. */
static int domain_folder(mail_span domain, char out[MAIL_MAILBOX_NAME_SIZE])
{
    char ascii[MAIL_DOMAIN_SIZE];

    if (mail_domain_to_ascii(domain, ascii) == MAIL_OK) {
        domain = mail_span_text(ascii);
    }
    return mail_mailbox_escape(domain, out);
}

static int append(char *out, size_t *length, mail_span part)
{
    if (part.length >= MAIL_MAILBOX_PATH_SIZE - *length) {
        return MAIL_ELIMIT;
    }
    memcpy(out + *length, part.data, part.length);
    *length += part.length;
    out[*length] = '\0';
    return MAIL_OK;
}

static int append_folder(char *out, size_t *length, mail_span name)
{
    int code = append(out, length, MAIL_SPAN("/"));

    return code == MAIL_OK ? append(out, length, name) : code;
}

int mail_mailbox_path(const char *dir, const mail_path *address, char out[MAIL_MAILBOX_PATH_SIZE])
{
    char unquoted[MAIL_PATH_MAX + 1];
    char name[MAIL_MAILBOX_NAME_SIZE];
    mail_span domain = mail_path_domain(address);
    size_t length = 0;
    int code;

    code = append(out, &length, mail_span_text(dir));
    if (code == MAIL_OK && domain.length > 0) {
        code = domain_folder(domain, name);
        code = code < 0 ? code : append_folder(out, &length, mail_span_of(name, (size_t)code));
    }
    if (code != MAIL_OK) {
        return code;
    }
    code = mail_mailbox_escape(mail_span_of(unquoted, mail_path_local_unquoted(address, unquoted)),
                               name);
    return code < 0 ? code : append_folder(out, &length, mail_span_of(name, (size_t)code));
}
