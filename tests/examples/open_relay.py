#!/usr/bin/env python3
"""Never an open relay: who can send where, in every combination of options that bears on it.

    open_relay.py PATH-OF-RELAY
"""

import base64
import itertools
import os
import socket
import tempfile

import certificates
from relays import PATIENCE, play, relay, until

USER, PASSWORD = "anna@here.test", "pencil"

# HOSTILE 4: what is decided on is the domain behind the last @ outside quotes, and nothing else.
FOREIGN = ("b@there.test", "@here.test:b@there.test", "@here.test,@mx.test:b@there.test",
           '"b@here.test"@there.test', "b%here.test@there.test", "here.test!b@there.test",
           "b@here.test.there.test", "b@xhere.test", "b@sub.here.test", "b@[127.0.0.1]",
           "b@[192.0.2.1]", "b@[IPv6:::1]", "b@there.test.")
MASKED = ("b%there.test@here.test", "there.test!b@here.test", '"b@there.test"@here.test',
          "@there.test:b@here.test", "b%there.test%here.test@here.test", "b+there.test@here.test")
BROKEN = ("b@there.test@here.test", "b@@here.test")


class Client:
    """A client that says what it is told to."""

    def __init__(self, port, in_tls=False):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        if in_tls:
            self.start_tls()
        self.file = self.socket.makefile("rb")
        assert self.reply()[0] == 220

    def start_tls(self):
        self.socket = certificates.client_context().wrap_socket(self.socket)
        self.file = self.socket.makefile("rb")

    def reply(self):
        lines = []
        while not lines or lines[-1][3:4] == b"-":
            lines.append(self.file.readline())
            assert lines[-1], "closed"
        return int(lines[-1][:3]), b"".join(lines)

    def says(self, line):
        self.socket.sendall(line.encode() + b"\r\n")
        return self.reply()

    def close(self):
        self.says("QUIT")
        self.file.close()
        self.socket.close()


def auth_line(password=PASSWORD):
    return "AUTH PLAIN " + base64.b64encode(f"\0{USER}\0{password}".encode()).decode()


def options_of(trusts, users, insecure, capture, tls, pair):
    options = ["--listen", "127.0.0.1:0", "--lmtp", "127.0.0.1:0", "--local", "here.test",
               "--max-errors", "1000", "--relay-from", trusts, "--route", "*=hold"]
    kinds = ["smtp", "lmtp"]
    if users and (tls or insecure):
        options += ["--submission", "127.0.0.1:0"]
        kinds.append("submission")
    if users and tls:
        options += ["--submissions", "127.0.0.1:0"]
        kinds.append("submissions")
    options += ["--users", "users"] if users else []
    options += ["--auth-insecure"] if insecure else []
    options += ["--capture"] if capture else []
    options += pair if tls else []
    return options, kinds


def enter(port, kind, in_tls, hello):
    """A client that has said hello, inside TLS or not; None where it can't be."""
    if kind == "submissions":
        client = Client(port, True)
        code, offers = client.says(hello)
        return client, offers
    client = Client(port)
    code, offers = client.says(hello)
    assert code == 250
    if in_tls:
        assert client.says("STARTTLS")[0] == 220
        client.start_tls()
        code, offers = client.says(hello)
        assert code == 250
    return client, offers


def check_session(port, kind, in_tls, logs_in, trusts, users, insecure, capture):
    hello = "LHLO client.test" if kind == "lmtp" else "EHLO client.test"
    client, offers = enter(port, kind, in_tls, hello)
    can_log_in = users and kind != "lmtp" and (in_tls or insecure)
    assert (b"AUTH " in offers) == can_log_in, offers
    is_user = logs_in and can_log_in
    if logs_in:
        code, text = client.says(auth_line())
        assert (code == 235) == is_user, text
    code, text = client.says(f"MAIL FROM:<{USER if is_user else 'a@near.test'}>")
    if kind.startswith("submission") and not is_user:
        assert code == 530, text
        code, text = client.says("RCPT TO:<b@there.test>")
        assert code in (503, 530), text
        client.close()
        return
    assert code == 250, text
    may_relay = is_user or trusts.startswith("127.")
    for address in FOREIGN:
        code, text = client.says(f"RCPT TO:<{address}>")
        if address != "b@there.test.":  # some take the dot
            assert code == (250 if capture or may_relay else 550), (address, text)
        assert code != 250 or capture or may_relay, (address, text)
    for address in MASKED:
        code, text = client.says(f"RCPT TO:<{address}>")
        assert code == (250 if capture or not users else 550), (address, text)
    for address in BROKEN:
        code, text = client.says(f"RCPT TO:<{address}>")
        assert code == 501, (address, text)
    client.close()


def check_server(trusts, users, insecure, capture, tls, home, pair):
    options, kinds = options_of(trusts, users, insecure, capture, tls, pair)
    with relay(*options, home=home) as r:
        assert [word.split("=")[0] for word in r.ready.split()[1:]] == kinds, r.ready
        for index, kind in enumerate(kinds):
            for in_tls, logs_in in itertools.product((False, True), repeat=2):
                if (in_tls and not tls) or (kind == "submissions" and not in_tls):
                    continue
                check_session(r.port(index), kind, in_tls, logs_in, trusts, users, insecure,
                              capture)


def lets_nobody_relay_but_networks_and_users():
    with tempfile.TemporaryDirectory() as home:
        with open(os.path.join(home, "users"), "w") as users:
            users.write(f"{USER}:{{PLAIN}}{PASSWORD}\n")
        pair = certificates.make(home, "pair", "mx.test")
        for trusts in ("none", "10.0.0.0/8", "127.0.0.1/32"):
            for combination in itertools.product((False, True), repeat=4):
                try:
                    check_server(trusts, *combination, home, pair)
                except AssertionError as error:
                    names = ("users", "insecure", "capture", "tls")
                    given = [name for name, on in zip(names, combination) if on]
                    raise AssertionError(f"{trusts} {given}: {error}") from error


def lets_nobody_relay_with_a_wrong_password():
    with tempfile.TemporaryDirectory() as home:
        with open(os.path.join(home, "users"), "w") as users:
            users.write(f"{USER}:{{PLAIN}}{PASSWORD}\n")
        options, kinds = options_of("none", True, True, False, False, [])
        with relay(*options, home=home) as r:
            client, _ = enter(r.port(0), "smtp", False, "EHLO client.test")
            assert client.says(auth_line("pen"))[0] == 535
            assert client.says("MAIL FROM:<anna@here.test>")[0] == 250
            assert client.says("RCPT TO:<b@there.test>")[0] == 550
            client.close()
            assert kinds[2] == "submission"
            client, _ = enter(r.port(2), "submission", False, "EHLO client.test")
            assert client.says("AUTH PLAIN =")[0] == 535
            assert client.says("MAIL FROM:<anna@here.test>")[0] == 530
            client.close()


def delivers_masked_addresses_here_and_nowhere_else():
    """What looks like a way out inside a local part is a name of a mailbox."""
    with socket.socket() as trap:
        trap.bind(("127.0.0.1", 0))
        trap.listen()
        trap.setblocking(False)
        with relay("--listen", "127.0.0.1:0", "--local", "here.test", "--relay-from", "none",
                   "--route", f"*=127.0.0.1:{trap.getsockname()[1]}") as r:
            client, _ = enter(r.port(), "smtp", False, "EHLO client.test")
            assert client.says("MAIL FROM:<a@near.test>")[0] == 250
            for address in MASKED:
                assert client.says(f"RCPT TO:<{address}>")[0] == 250
            assert client.says("DATA")[0] == 354
            assert client.says("Subject: x\r\n\r\n.")[0] == 250
            client.close()
            until(lambda: sum(" delivered " in line for line in r.lines()) == len(MASKED), r.lines())
            try:
                trap.accept()
                raise AssertionError("it was relayed")
            except BlockingIOError:
                pass


play([
    lets_nobody_relay_but_networks_and_users,
    lets_nobody_relay_with_a_wrong_password,
    delivers_masked_addresses_here_and_nowhere_else,
])
