/* SPDX-License-Identifier: MIT */
/*
 * Whatever comes first: what is read as a header must be read so however it is cut, and from
 * the same octets; what is refused stays refused when more comes.
 */
#include <stdlib.h>

#include "net/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static bool is_client(const mail_endpoint *client)
{
    char text[MAIL_IP_TEXT_SIZE];
    mail_endpoint again;

    if (client->ip.family == 0) {
        return true;
    }
    mail_endpoint_print(client, text);
    return mail_endpoint_parse(mail_span_text(text), &again) == MAIL_OK &&
           mail_ip_equal(&again.ip, &client->ip) && again.port == client->port;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mail_endpoint whole;
    mail_endpoint client;
    size_t whole_used;
    size_t used;
    int code = net_proxy_parse(mail_span_of(data, size), &whole_used, &whole);
    size_t cut = 0;

    while (net_proxy_parse(mail_span_of(data, cut), &used, &client) == MAIL_EAGAIN && cut < size) {
        require(used == 0);
        cut++;
    }
    require(net_proxy_parse(mail_span_of(data, cut), &used, &client) == code);
    if (code == MAIL_OK) {
        require(used == cut && used == whole_used && used <= NET_PROXY_MAX);
        require(is_client(&client) && is_client(&whole));
        require(net_proxy_is_header(mail_span_of(data, size)));
    } else if (code == MAIL_EAGAIN) {
        require(cut == size && size < NET_PROXY_MAX);
    }
    return 0;
}
