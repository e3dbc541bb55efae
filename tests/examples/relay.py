#!/usr/bin/env python3
"""Runs the relay as its users do: by its command line, over sockets, with signals.

    relay.py PATH-OF-RELAY
"""

import json
import os
import pathlib
import pwd
import re
import signal
import smtplib
import socket
import subprocess
import tempfile
import threading

import certificates
import manuals
from relays import ANY, PATIENCE, RELAY, content, held_port, play, relay, run, until


def says_where_it_listens_in_the_order_given():
    with relay(*ANY, "--lmtp", "unix:lmtp", *ANY, "--lmtp", "127.0.0.1:0") as r:
        here = r"127\.0\.0\.1:\d+"
        assert re.fullmatch(f"ready smtp={here} lmtp=unix:lmtp smtp={here} lmtp={here}", r.ready)


def leaves_no_socket_behind():
    with tempfile.TemporaryDirectory() as home:
        sockets = [os.path.join(home, name) for name in ("lmtp", "spool/control")]
        with relay(*ANY, "--lmtp", "unix:lmtp", home=home) as r:
            assert all(map(os.path.exists, sockets))
            r.stop(signal.SIGKILL)
            assert all(map(os.path.exists, sockets))
        with relay(*ANY, "--lmtp", "unix:lmtp", home=home) as r:  # replaces what is dead
            taken = run("--listen", "127.0.0.1:0", "--lmtp", "unix:lmtp", "--spool", "other", home=home)
            assert taken.returncode == 69 and "lmtp" in taken.stderr, taken
            assert r.stop() == 0
        assert not any(map(os.path.exists, sockets))


def delivers_locally_and_returns_what_it_cannot():
    with tempfile.TemporaryDirectory() as home:
        with open(os.path.join(home, "users"), "w") as users:
            users.write("anna@here.test:*\n")
        with open(os.path.join(home, "aliases"), "w") as aliases:
            aliases.write("both: anna, y@gone.test\nmoved: z@gone.test\n")
        with relay(*ANY, "--local", "here.test", "--users", "users", "--aliases", "aliases",
                   "--route", "gone.test=error:550 5.1.6 Moved", home=home) as r:
            refused = r.send("anna@here.test", ["both@here.test", "bob@here.test", "x@gone.test",
                                                "moved@here.test"])
            assert refused == {"bob@here.test": (550, b"5.1.1 No such user here"),
                               "x@gone.test": (550, b"5.1.6 Moved"),
                               "moved@here.test": (550, b"5.1.6 Moved")}, refused
            until(lambda: len(r.mailbox("anna@here.test")) == 2, "message and report")
            texts = [content(path) for path in r.mailbox("anna@here.test")]
            assert sum("Action: failed" in text for text in texts) == 1
            assert sum(text.startswith("Return-Path: <anna@here.test>\n") for text in texts) == 1


def relays_through_another_and_waits_for_it():
    with held_port() as port, relay(*ANY, "--route", f"there.test=127.0.0.1:{port}", "--retry",
                                    "1s") as near:
        near.send("a@near.test", ["b@there.test"])
        until(lambda: any(" deferred " in line for line in near.lines()), "a first try")
        with relay("--listen", f"127.0.0.1:{port}", "--local", "there.test") as far:
            until(lambda: len(far.mailbox("b@there.test")) == 1, "delivery")
            text = content(far.mailbox("b@there.test")[0])
            assert text.count("Received: ") == 2, text


def raw(r, *said):
    """Sends each piece once all before it is answered; gives all that is heard."""
    heard = b""
    with socket.create_connection(("127.0.0.1", r.port()), PATIENCE) as wire:
        for piece in said:
            wire.sendall(piece)
            heard += wire.recv(4096)
        wire.shutdown(socket.SHUT_WR)
        while more := wire.recv(4096):
            heard += more
    return heard


def believes_a_proxy_that_is_listed():
    """SX-040: limits, log, Received and relaying go by the client that it names."""
    begin = (b"EHLO client.test\r\n", b"MAIL FROM:<a@far.test>\r\n")
    header = b"PROXY TCP4 192.0.2.1 192.0.2.9 4660 25\r\n"
    with relay(*ANY, "--local", "here.test", "--proxy-from", "127.0.0.0/8") as r:
        assert b"550 5.7.1" in raw(r, header, *begin, b"RCPT TO:<b@there.test>\r\n")
        raw(r, header, *begin, b"RCPT TO:<b@here.test>\r\n", b"DATA\r\n", b"text\r\n.\r\n")
        until(lambda: len(r.mailbox("b@here.test")) == 1, "delivery")
        assert "[192.0.2.1]" in content(r.mailbox("b@here.test")[0])
        until(lambda: any(" accepted " in line and "peer=192.0.2.1" in line for line in r.lines()),
              "the log")
        with socket.create_connection(("127.0.0.1", r.port()), PATIENCE) as wire:
            wire.sendall(b"EHLO client.test\r\n")
            assert wire.recv(100) == b"", "no header, no session"
    with relay(*ANY, "--local", "here.test") as r:
        heard = raw(r, b"", header)
        assert heard.startswith(b"220") and b"\r\n554" in heard, heard


def numbers(r, index):
    """What the relay shows of itself at its listener of that index."""
    with socket.create_connection(("127.0.0.1", r.port(index)), PATIENCE) as wire:
        wire.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        return wire.makefile().read()


def holds_clients_to_their_limits():
    """Rates by client, counted where they can be seen; a /24 is a network."""
    with relay(*ANY, "--metrics", "127.0.0.1:0", "--limit-loopback", "--route", "*=hold",
               "--max-messages-per-client", "2/1h", "--max-sessions-per-network", "1") as r:
        with r.smtp() as client:
            for _ in range(2):
                client.sendmail("a@near.test", ["b@there.test"], "Subject: x\r\n\r\n")
            try:
                client.sendmail("a@near.test", ["b@there.test"], "Subject: x\r\n\r\n")
                raise AssertionError("a third message")
            except smtplib.SMTPSenderRefused as refused:
                assert refused.smtp_code == 450 and b"4.7.1" in refused.smtp_error
            with socket.create_connection(("127.0.0.1", r.port()), PATIENCE,
                                          ("127.0.0.9", 0)) as neighbour:
                assert neighbour.recv(100).startswith(b"421 4.7.0")
        shown = numbers(r, 1)
        assert 'libmail_limited_total{limit="messages"} 1\n' in shown, shown
        assert 'libmail_limited_total{limit="network_sessions"} 1\n' in shown, shown
    for bad in ("0/1h", "5", "5/", "/1h", "5/1x", "-1/1h", "4294967296/1h", "5/1h/2", "1/500d"):
        done = run("--max-messages-per-client", bad, "--check")
        assert done.returncode == 64 and "rate" in done.stderr, (bad, done)


def status(r):
    """What the kernel says of a server: `Name: value` lines as a dictionary."""
    with open(f"/proc/{r.process.pid}/status") as lines:
        return dict(line.rstrip("\n").split(":\t", 1) for line in lines)


class Manager(threading.Thread):
    """A service manager's end of sd_notify. It takes what it is told at once, since there is room
    for little, and what finds none is lost."""

    def __init__(self, home):
        super().__init__(daemon=True)
        self.heard = []
        self.wire = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.wire.bind(os.path.join(home, "notify"))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.wire.shutdown(socket.SHUT_RD)
        self.join()
        self.wire.close()

    def run(self):
        while word := self.wire.recv(100):
            self.heard.append(word)

    def signs(self):
        """Of life."""
        return self.heard.count(b"WATCHDOG=1")

    def words(self):
        return [word for word in self.heard if word != b"WATCHDOG=1"]


def serves_under_a_service_manager():
    """Sockets handed over, by name, and a word about how it is."""
    with tempfile.TemporaryDirectory() as home, Manager(home) as manager, \
            socket.create_server(("127.0.0.1", 0)) as smtp, \
            socket.create_server(("127.0.0.1", 0)) as lmtp:

        def hand_over():
            first, second = os.dup(smtp.fileno()), os.dup(lmtp.fileno())
            os.dup2(first, 3)
            os.dup2(second, 4)

        process = subprocess.Popen(
            ["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", RELAY, "--hostname", "mx.test"],
            cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, close_fds=False,
            preexec_fn=hand_over, env={
                "LISTEN_FDS": "2", "LISTEN_FDNAMES": "relay.socket:lmtp",
                "NOTIFY_SOCKET": os.path.join(home, "notify"), "WATCHDOG_USEC": "200000",
                "PATH": os.environ["PATH"]})
        try:
            is_managed(process, manager, smtp.getsockname()[1], lmtp.getsockname()[1])
        finally:
            process.kill()
            process.communicate()
        assert process.returncode == 0


def is_managed(process, manager, smtp, lmtp):
    ready = process.stdout.readline()
    assert ready == f"ready smtp=127.0.0.1:{smtp} lmtp=127.0.0.1:{lmtp}\n", ready
    until(lambda: manager.words() == [b"READY=1"] and manager.signs() >= 4, manager.heard)
    for protocol, port in ((smtplib.SMTP, smtp), (smtplib.LMTP, lmtp)):
        with protocol("127.0.0.1", port, "client.test") as client:
            client.sendmail("a@near.test", ["b@mx.test"], "Subject: x\r\n\r\n")
    process.send_signal(signal.SIGHUP)
    until(lambda: len(manager.words()) == 3, manager.heard)
    assert manager.words()[1].startswith(b"RELOADING=1\nMONOTONIC_USEC="), manager.heard
    assert manager.words()[2] == b"READY=1", manager.heard
    process.terminate()
    process.wait(PATIENCE)
    until(lambda: manager.words()[3:] == [b"STOPPING=1"], manager.heard)


def gives_up_what_it_does_not_need():
    """No rights by exec, no core files, and no files but its own."""
    with tempfile.TemporaryDirectory() as elsewhere, relay(*ANY, "--local", "here.test") as r:
        assert status(r)["NoNewPrivs"] == "1"
        with open(f"/proc/{r.process.pid}/limits") as limits:
            core = next(line.split() for line in limits if line.startswith("Max core file size"))
        assert core[4:6] == ["0", "0"], core
        r.send("a@near.test", ["b@here.test"])
        until(lambda: len(r.mailbox("b@here.test")) == 1, "delivery")
        # Where Landlock is in force, a mailbox that leads elsewhere is out of reach.
        os.symlink(elsewhere, os.path.join(r.home, "mail", "here.test", "c"))
        r.send("a@near.test", ["c@here.test"])
        until(lambda: any(" delivered " in l and "c@here.test" in l or "deferred" in l
                          for l in r.lines()), "an attempt")
        if any("deferred" in line for line in r.lines()):
            assert os.listdir(elsewhere) == []
        else:
            print("[  SKIPPED ] files are not limited: no Landlock here")
    with relay(*ANY, "--no-sandbox") as r:
        assert status(r)["NoNewPrivs"] == "0"


def leaves_commands_what_they_need():
    """A password by command, which has settings of its own; and one from a file elsewhere."""
    os.environ["STRANGE_SETTING"] = "pencil"
    with tempfile.TemporaryDirectory() as there, tempfile.TemporaryDirectory() as elsewhere:
        with open(os.path.join(there, "users"), "w") as users:
            users.write("anna@there.test:{PLAIN}pencil\n")
        secret = os.path.join(elsewhere, "password")
        with open(secret, "w", opener=lambda path, how: os.open(path, how, 0o600)) as password:
            password.write("pencil\n")
        with relay(*ANY, "--users", "users", "--auth-insecure", "--local", "there.test",
                   home=there) as far:
            host = f"127.0.0.1:{far.port()}"
            for count, source in enumerate(('command:printf %s "$STRANGE_SETTING"',
                                            f"file:{secret}"), 1):
                with relay(*ANY, "--route", f"there.test={host}", "--auth-out",
                           f"{host}=anna@there.test,clear,{source}") as near:
                    near.send("anna@there.test", ["anna@there.test"])
                    until(lambda: len(far.mailbox("anna@there.test")) == count, near.log)
            for path in far.mailbox("anna@there.test"):
                assert " with ESMTPA " in content(path), content(path)


def becomes_a_user_once_its_ports_are_open():
    if os.geteuid() != 0:
        print("[  SKIPPED ] only root can become somebody else")
        return
    with tempfile.TemporaryDirectory() as home:
        os.chmod(home, 0o711)
        with relay(*ANY, "--lmtp", "unix:lmtp", "--user", "nobody", "--local", "here.test",
                   home=home) as r:
            nobody = pwd.getpwnam("nobody")
            assert status(r)["Uid"].split() == [str(nobody.pw_uid)] * 4
            assert status(r)["Gid"].split() == [str(nobody.pw_gid)] * 4
            for name in ("spool", "mail", "lmtp", "spool/control"):
                info = os.stat(os.path.join(home, name))
                assert info.st_uid == nobody.pw_uid and info.st_mode & 0o077 == 0, name
            r.send("a@near.test", ["b@here.test"])
            until(lambda: len(r.mailbox("b@here.test")) == 1, "delivery")
            assert os.stat(r.mailbox("b@here.test")[0]).st_uid == nobody.pw_uid
            with smtplib.LMTP(os.path.join(home, "lmtp"), 0, "client.test") as client:
                client.sendmail("a@near.test", ["b@here.test"], "Subject: x\r\n\r\n")
            until(lambda: len(r.mailbox("b@here.test")) == 2, "delivery of the second")
    for user, code in (("no such user", 78), ("root", 78)):
        done = run("--user", user, "--check")
        assert done.returncode == code and user in done.stderr, done


def loses_nothing_that_it_has_accepted():
    """DESIGN: 250 is said after the message is on the disk."""
    with tempfile.TemporaryDirectory() as home:
        with relay(*ANY, "--route", "*=hold", home=home) as r:
            for i in range(20):
                r.send("a@near.test", ["b@there.test"], f"Subject: {i}\r\n\r\n")
            assert r.stop(signal.SIGKILL) == -signal.SIGKILL
        with relay(*ANY, "--capture", home=home) as r:
            until(lambda: len(r.mailbox("b@there.test")) == 20, "all of them")


def captures_whatever_comes():
    with relay(*ANY, "--capture") as r:
        r.send("a@near.test", ["who@ever.test", "some@body.test"])
        until(lambda: r.mailbox("who@ever.test") and r.mailbox("some@body.test"), "capture")


def takes_what_is_dropped():
    with relay(*ANY, "--local", "here.test") as r:
        folder = os.path.join(r.home, "spool", "drop")
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "x.part"), "w") as file:
            file.write("libmail drop 1\nsender \nto 0 - anna\n\nSubject: x\r\n\r\n")
        os.rename(os.path.join(folder, "x.part"), os.path.join(folder, "x.mail"))
        until(lambda: len(r.mailbox("anna@here.test")) == 1, "delivery")
        until(lambda: os.listdir(folder) == [], "an empty folder")


def reads_its_tables_anew():
    with tempfile.TemporaryDirectory() as home:
        aliases = os.path.join(home, "aliases")

        def write(text):
            with open(aliases, "w") as file:
                file.write(text)

        write("team: anna\n")
        with relay(*ANY, "--local", "here.test", "--aliases", "aliases", home=home) as r:
            with r.smtp() as client:  # stays through it all
                client.ehlo()
                for text, mark, count in (("team: bob\n", "reloaded", 1),
                                          ("team: team2\nteam2: team\n", "not reloaded", 1)):
                    write(text)
                    r.process.send_signal(signal.SIGHUP)
                    until(lambda: sum(f" {mark}" in line for line in r.lines()) == count, mark)
                client.sendmail("a@near.test", ["team@here.test"], "Subject: x\r\n\r\n")
            until(lambda: r.mailbox("bob@here.test"), "the alias in force")


def shown_certificate(r, name):
    """The names in what the relay shows to a client that asks for `name`."""
    with r.smtp() as client:
        client.ehlo()
        client.docmd("STARTTLS")
        with certificates.client_context().wrap_socket(client.sock, server_hostname=name) as tls:
            client.sock = None
            return certificates.names_in(tls.getpeercert(True))


def shows_the_certificate_that_is_asked_for():
    with tempfile.TemporaryDirectory() as home:
        pairs = (certificates.make(home, "first", "mx.test") +
                 certificates.make(home, "other", "mail.other.test") +
                 certificates.make(home, "wild", "*.wild.test"))
        with relay(*ANY, *pairs, home=home) as r:
            for name, want in (("mx.test", "mx.test"), ("mail.other.test", "mail.other.test"),
                               ("some.wild.test", "*.wild.test"), ("deep.some.wild.test", "mx.test"),
                               ("who.test", "mx.test"), (None, "mx.test")):
                assert shown_certificate(r, name) == [want], name


def logs_what_is_wrong_with_a_file_that_is_read_anew():
    with tempfile.TemporaryDirectory() as home:
        path = os.path.join(home, "relay.conf")
        pathlib.Path(path).write_text("log-format = json\n")
        with relay(*ANY, "--config", path, home=home) as r:
            for text, reason in (("log-format = json\nnonsense = 1\n", f"{path}:2: nonsense: no such key"),
                                 ("route = a.test\n", "route"), ("submission = 127.0.0.1:0\n", "--users"),
                                 (f"aliases = {home}/none\n", f"{home}/none: No such file")):
                pathlib.Path(path).write_text(text)
                r.process.send_signal(signal.SIGHUP)
                until(lambda: any("not reloaded" in line and reason in line for line in r.lines()), reason)
            with r.smtp() as client:
                client.sendmail("a@b.test", ["c@mx.test"], "Subject: x\r\n\r\n")
            until(lambda: any('"event":"delivered"' in line for line in r.lines()), "a delivery")
            for line in map(json.loads, r.lines()):  # all of it
                for key in ("recipients", "size", "delay", "tries"):
                    assert isinstance(line.get(key, 0), int), line
                assert all(isinstance(d, (int, float)) for d in line.get("delays", ())), line


def reads_certificates_anew():
    with tempfile.TemporaryDirectory() as home:
        pair = certificates.make(home, "pair", "before.test")

        def hang_up(mark, count):
            r.process.send_signal(signal.SIGHUP)
            until(lambda: sum(f" {mark}" in line for line in r.lines()) == count, mark)

        with relay(*ANY, *pair, "--capture", home=home) as r:
            with r.smtp() as client:  # stays through it all
                client.starttls(context=certificates.client_context())
                certificates.make(home, "pair", "after.test")
                hang_up("reloaded", 1)
                assert shown_certificate(r, None) == ["after.test"]
                certificates.make(home, "another", "another.test")
                os.rename(os.path.join(home, "another.key"), os.path.join(home, "pair.key"))
                hang_up("not reloaded", 1)
                assert any("the private key does not fit" in line for line in r.lines())
                assert shown_certificate(r, None) == ["after.test"]
                client.sendmail("a@near.test", ["b@there.test"], "Subject: x\r\n\r\n")
            until(lambda: r.mailbox("b@there.test"), "delivery")
            assert " with ESMTPS id " in content(r.mailbox("b@there.test")[0])  # SS-033
            until(lambda: any(" accepted " in line and "tls=TLS1.3" in line for line in r.lines()),
                  "the log")


def shows_when_certificates_expire():
    with tempfile.TemporaryDirectory() as home:
        names = ("first", "second", "ours")
        for name in names:
            certificates.make(home, name, name + ".test")
        want = {name: f'libmail_certificate_expiry_timestamp_seconds{{file="{name}.pem"}} '
                      f'{certificates.expiry(home, name)}\n' for name in names}

        def write(name):
            with open(os.path.join(home, "conf"), "w") as file:
                file.write(f"tls-cert = {name}.pem\ntls-key = {name}.key\n"
                           "tls-out-cert = ours.pem\ntls-out-key = ours.key\n")

        write("first")
        with relay(*ANY, "--config", "conf", "--metrics", "127.0.0.1:0", home=home) as r:
            shown = numbers(r, 1)
            assert want["first"] in shown and want["ours"] in shown, shown
            write("second")
            r.process.send_signal(signal.SIGHUP)
            until(lambda: any(" reloaded" in line for line in r.lines()), "reloaded")
            shown = numbers(r, 1)
            assert want["second"] in shown and want["ours"] in shown, shown
            assert "first" not in shown, shown


USERS = "anna@here.test:{PLAIN}pencil\nbob@here.test:*\n"


def lets_users_submit_mail():
    """SX-036, SS-033"""
    with tempfile.TemporaryDirectory() as home:
        with open(os.path.join(home, "users"), "w") as users:
            users.write(USERS)
        pair = certificates.make(home, "pair", "mx.test")
        with relay(*ANY, "--submission", "127.0.0.1:0", "--submissions", "127.0.0.1:0", "--local",
                   "here.test", "--users", "users", *pair, home=home) as r:
            here = r"127\.0\.0\.1:\d+"
            assert re.fullmatch(f"ready smtp={here} submission={here} submissions={here}", r.ready)
            for index in range(3):
                with r.smtp(index) if index < 2 else smtplib.SMTP_SSL(
                        "127.0.0.1", r.port(2), "client.test", timeout=PATIENCE,
                        context=certificates.client_context()) as client:
                    if index < 2:
                        client.starttls(context=certificates.client_context())
                    client.login("anna@here.test", "pencil")
                    client.sendmail("anna@here.test", ["bob@here.test"], "Subject: x\r\n\r\n")
                until(lambda: len(r.mailbox("bob@here.test")) == index + 1, "delivery")
            texts = [content(path) for path in r.mailbox("bob@here.test")]
            assert sum(" with ESMTPSA id " in text for text in texts) == 3
            assert sum("\nFrom: anna@here.test\n" in text for text in texts) == 2
            until(lambda: sum(" user=anna@here.test tls=TLS1.3" in line
                              for line in r.lines()) == 3, "the log")


def reads_users_anew():
    with tempfile.TemporaryDirectory() as home:
        def write(text):
            with open(os.path.join(home, "users"), "w") as users:
                users.write(text)

        write(USERS)
        with relay(*ANY, "--submission", "127.0.0.1:0", "--local", "here.test", "--users", "users",
                   "--auth-insecure", home=home) as r:
            write("bob@here.test:{PLAIN}word\n")
            r.process.send_signal(signal.SIGHUP)
            until(lambda: any(" reloaded" in line for line in r.lines()), "reloaded")
            with r.smtp(1) as client:
                client.login("bob@here.test", "word")
                code, text = client.docmd("MAIL FROM:<anna@here.test>")
                assert (code, text) == (550, b"5.7.1 You may not send as that address")
                code, text = client.docmd("MAIL FROM:<bob@here.test>")
                assert code == 250


def refuses_a_spool_that_has_an_owner():
    with relay(*ANY) as r:
        second = run("--spool", "spool", *ANY, home=r.home)
        assert second.returncode == 75, second
        assert second.stderr.count("\n") == 1, second
        assert second.stdout == ""


def says_what_is_wrong_with_its_spool():
    def other_version(spool):
        with open(os.path.join(spool, "spool"), "r+b") as f:
            f.seek(8)
            f.write(b"\2")

    def damaged(spool):
        with open(os.path.join(spool, "spool"), "r+b") as f:
            f.seek(20)
            f.write(b"damaged")

    def open_to_all(spool):
        os.chmod(spool, 0o777)

    def no_plain_segment(spool):
        os.mkfifo(os.path.join(spool, "log", "f" * 16 + ".seg"))

    def somebodys_folder(spool):
        os.unlink(os.path.join(spool, "spool"))

    for spoil, code, says in ((other_version, 78, "newer version"), (damaged, 65, "is damaged"),
                              (open_to_all, 77, "anybody may write"), (no_plain_segment, 77, "no plain file"),
                              (somebodys_folder, 77, "no spool of ours")):
        with relay(*ANY) as r:
            assert r.stop() == 0
            spoil(os.path.join(r.home, "spool"))
            for check, want in (("--check",), 78), ((), code):
                done = run("--spool", "spool", *ANY, *check, home=r.home)
                assert done.returncode == want, (spoil, done)
                assert done.stdout == "" and done.stderr.count("\n") == 1 and says in done.stderr, done


def ends_in_time_with_sessions_open():
    with relay(*ANY, "--drain", "1") as r:
        idle = socket.create_connection(("127.0.0.1", r.port()), PATIENCE)
        busy = socket.create_connection(("127.0.0.1", r.port()), PATIENCE)
        assert busy.recv(4096).startswith(b"220 ")  # who speaks first is refused
        busy.sendall(b"EHLO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@mx.test>\r\nDATA\r\nhalf")
        until(lambda: b"354" in busy.recv(4096), "data")
        assert r.stop() == 0  # within our patience: their own time would be five minutes
        idle.close()
        busy.close()


def logs_json_when_asked():
    with relay(*ANY, "--capture", "--log-format", "json") as r:
        r.send("a@near.test", ["b@there.test"])
        until(lambda: r.mailbox("b@there.test"), "delivery")
        until(lambda: len(r.lines()) >= 3, "log")
        events = [json.loads(line) for line in r.lines()]
        ids = {e["queue_id"] for e in events if "queue_id" in e}
        assert len(ids) == 1, events


def refuses_mistakes_with_their_place():
    with tempfile.TemporaryDirectory() as home:
        with open(os.path.join(home, "conf"), "w") as file:
            file.write("# fine\nlisten = 127.0.0.1:0\nroute = *=nowhere\n")
        with open(os.path.join(home, "good"), "w") as file:
            file.write("listen = 127.0.0.1:0\nlocal = here.test\n")
        with open(os.path.join(home, "aliases"), "w") as file:
            file.write("a: b\nb: a\n")
        with open(os.path.join(home, "accounts"), "w") as file:
            file.write(USERS)
        os.chmod(os.path.join(home, "accounts"), 0o600)
        pair = certificates.make(home, "pair", "mx.test")
        for options, code, text in (
                (("--config", "conf", "--check"), 78, "relay: conf:3: route: "),
                (("--config", "good", "--check"), 0, ""),
                (("--config", "good", "--check", "--aliases", "aliases"), 78, "relay: aliases:"),
                (("--config", "good", "--check", "--users", "none"), 78, "none"),
                (("--config", "good", "--check", "--aliases", "good"), 78, "relay: good:1: this is no address"),
                (("--check", "--spool", "a/b"), 78, "relay: a/b: no such folder"),
                (("--check", "--spool", "good"), 78, "relay: good: no such folder"),
                (("--check", "--spool", "good/b"), 78, "relay: good/b: no such folder"),
                (("--check", *pair), 0, ""),
                (("--check", *pair[:2]), 78, "relay: --tls-cert and --tls-key: "),
                (("--check", *pair[:2], "--tls-key", "good"), 78, "good: bad private key"),
                (("--check", *pair, "--tls-cert", "none", *pair[2:]), 78, "relay: none: "),
                (("--submission", "127.0.0.1:0", *pair), 64, "relay: --submission needs --users"),
                (("--submissions", "127.0.0.1:0", "--users", "accounts", "--auth-insecure"), 64,
                 "relay: --submissions needs --tls-cert"),
                (("--check", "--submission", "127.0.0.1:0", "--users", "accounts"), 78,
                 "relay: --submission needs --tls-cert"),
                (("--check", "--submission", "127.0.0.1:0", "--users", "accounts",
                  "--auth-insecure"), 0, ""),
                (("--config", "missing"), 78, "relay: missing: "),
                (("--nonsense",), 64, "relay: unknown option --nonsense\n"),
                (("--listen", "nowhere"), 64, "relay: --listen: "),
                (("--lmtp", "127.0.0.1:25"), 64, "relay: --lmtp: port 25"),  # SX-039
                (("--relay-from", "10.0.0.1/8"), 64, "relay: --relay-from: "),
                (("--local", "no domain"), 64, "relay: --local: "),
                (("--mailbox-format", "mh"), 64, "relay: --mailbox-format: ")):
            result = run(*options, home=home)
            assert result.returncode == code, (options, result)
            assert text in result.stderr, (options, result)
            assert result.stderr.count("\n") == (code != 0), (options, result)
        with relay(*ANY) as r:
            taken = run("--listen", f"127.0.0.1:{r.port()}", "--spool", "other", home=home)
            assert taken.returncode == 69, taken
            assert taken.stderr.count("\n") == 1, taken


def prints_help_and_version():
    help_text = run("--help").stdout
    assert "--give-up TIME" in help_text
    headings = manuals.headings_in_help(help_text)
    assert "Where mail goes" in headings and headings <= manuals.headings_in_manual("relay"), headings
    assert re.fullmatch(r"relay \d+\.\d+\.\d+\n", run("--version").stdout)


def never_relays_for_strangers():
    with relay(*ANY, "--local", "here.test", "--relay-from", "none") as r:
        with r.smtp() as client:
            client.ehlo()
            client.mail("a@near.test")
            for address in ("b@there.test", "b%there.test@mx.test", "@here.test:b@there.test",
                            '"b@there.test"@mx.test', "b@[127.0.0.1]", "b@mx.test"):
                code, text = client.docmd(f"RCPT TO:<{address}>")
                assert code == 550, (address, code, text)


def takes_the_configuration_beside_the_units():
    sample = pathlib.Path(__file__).parents[2] / "examples/systemd/relay.conf"
    with tempfile.TemporaryDirectory() as home:
        certificates.make(home, "chain", "mail.example.org")
        os.rename(os.path.join(home, "chain.key"), os.path.join(home, "key.pem"))
        for name, text in (("users", "bob@example.org:*\n"), ("aliases", "info: bob@example.org\n"),
                           ("provider.secret", "secret\n")):
            path = pathlib.Path(home, name)
            path.write_text(text)
            path.chmod(0o600)
        text = sample.read_text().replace("/etc/libmail", home)
        for name, wanted in (("as it is", text), ("with all that it proposes", re.sub("^;", "", text, flags=re.M))):
            pathlib.Path(home, "conf").write_text(wanted)
            result = run("--check", "--config", "conf", home=home)
            assert (result.returncode, result.stderr) == (0, ""), (name, result)


TESTS = [
    says_where_it_listens_in_the_order_given,
    leaves_no_socket_behind,
    delivers_locally_and_returns_what_it_cannot,
    relays_through_another_and_waits_for_it,
    believes_a_proxy_that_is_listed,
    holds_clients_to_their_limits,
    serves_under_a_service_manager,
    gives_up_what_it_does_not_need,
    leaves_commands_what_they_need,
    becomes_a_user_once_its_ports_are_open,
    loses_nothing_that_it_has_accepted,
    captures_whatever_comes,
    takes_what_is_dropped,
    reads_its_tables_anew,
    shows_the_certificate_that_is_asked_for,
    logs_what_is_wrong_with_a_file_that_is_read_anew,
    reads_certificates_anew,
    shows_when_certificates_expire,
    lets_users_submit_mail,
    reads_users_anew,
    refuses_a_spool_that_has_an_owner,
    says_what_is_wrong_with_its_spool,
    ends_in_time_with_sessions_open,
    logs_json_when_asked,
    refuses_mistakes_with_their_place,
    takes_the_configuration_beside_the_units,
    prints_help_and_version,
    never_relays_for_strangers,
]

play(TESTS)
