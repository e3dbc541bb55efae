#!/usr/bin/env python3
"""Clients that nobody here wrote hand mail to the relay and pick it up."""

import email
import poplib
import smtplib
import socket
import subprocess

import messages
from harness import PATIENCE, World, body_of, main, needs, peer, peer_env


class Clients(World):
    def setUp(self):
        super().setUp()
        self.users = self.dir / "users"
        self.users.write_text("bob@b.example:{PLAIN}secret\nalice@b.example:{PLAIN}word\n"
                              "jürgen@b.example:{PLAIN}x\n")
        self.server = self.relay("--local", "b.example", "--users", self.users)
        self.host, self.port = self.server.address("smtp")
        self.box = self.server.mail / "b.example/bob"

    def client(self):
        return smtplib.SMTP(self.host, self.port, local_hostname="client.test", timeout=PATIENCE)

    def run_client(self, argv, stdin=b"", env=None):
        done = subprocess.run([str(a) for a in argv], input=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=PATIENCE, env=env)
        self.assertEqual(done.returncode, 0, done.stdout.decode(errors="replace"))
        return done.stdout

    @needs("curl")
    def test_curl_sends(self):
        message = self.dir / "message"
        message.write_bytes(messages.WIRE["leading dots"])
        self.run_client(["curl", "-sS", "--url", f"smtp://{self.host}:{self.port}/client.test", "--mail-from",
                         "alice@a.example", "--mail-rcpt", "bob@b.example", "--upload-file", message])
        stored, = self.wait_messages(self.box)
        self.assertTrue(stored.endswith(messages.to_disk(messages.WIRE["leading dots"])))

    @needs("swaks")
    def test_swaks_sends(self):
        self.run_client(["swaks", "--timeout", f"{PATIENCE:.0f}s", "--server", self.host, "--port", self.port, "--from", "alice@a.example",
                         "--to", "bob@b.example", "--body", "from swaks"])
        stored, = self.wait_messages(self.box)
        self.assertIn(b"from swaks", body_of(stored))

    @needs("msmtp")
    def test_msmtp_sends(self):
        self.run_client(["msmtp", f"--host={self.host}", f"--port={self.port}", "--from=alice@a.example",
                         "--tls=off", "--auth=off", "bob@b.example"], b"Subject: x\n\n.from msmtp\n.\n")
        stored, = self.wait_messages(self.box)
        self.assertEqual(body_of(stored), b".from msmtp\n.\n")

    @needs("smtp-source")
    def test_smtp_source_sends_many(self):
        self.run_client([peer("smtp-source"), "-s", "10", "-m", "200", "-l", "4096", "-f", "alice@a.example",
                         "-t", "bob@b.example", f"{self.host}:{self.port}"], env=peer_env())
        self.wait_messages(self.box, 200)

    def test_smtplib_sends_every_kind_of_message(self):
        with self.client() as client:
            for number, (name, wire) in enumerate(messages.WIRE.items(), 1):
                with self.subTest(name):
                    self.assertEqual(client.sendmail("alice@a.example", ["bob@b.example"], wire,
                                                     ["BODY=8BITMIME"]), {})
                    stored = self.wait_messages(self.box, number)
                    want = messages.to_disk(wire)
                    self.assertEqual(sum(s.endswith(b"\n" + want) for s in stored), 1)

    def test_trace_fields_are_right(self):
        """SS-032 SS-033 SS-035 SS-036 MD-006"""
        with self.client() as client:
            client.sendmail("alice@a.example", ["bob@b.example"], messages.WIRE["one line"])
        stored, = self.wait_messages(self.box)
        message = email.message_from_bytes(stored)
        self.assertEqual(stored.split(b"\n")[0], b"Return-Path: <alice@a.example>")
        self.assertEqual(message.get_all("Return-Path"), ["<alice@a.example>"])
        self.assertEqual(message.get_all("Delivered-To"), ["bob@b.example"])
        self.assertEqual(len(message.get_all("Received")), 1)
        received = " ".join(message["Received"].split())
        self.assertIn("from client.test ([127.0.0.1])", received)
        self.assertIn("with ESMTP", received)
        self.assertRegex(received, r"20\d\d [0-9:]{8} [+-]\d{4}$")

    def test_smtplib_sends_to_utf8_addresses(self):
        with self.client() as client:
            client.ehlo()
            client.sendmail("alice@a.example", ["jürgen@b.example"], b"Subject: x\r\n\r\nhi\r\n",
                            ["SMTPUTF8", "BODY=8BITMIME"])
        self.wait_messages(self.server.mail / "b.example/j%C3%BCrgen")

    def bdat(self, sock, wire, chunk):
        """RFC 3030 by hand: no client library here speaks it."""
        stream = sock.makefile("rb")

        def reply(expect):
            line = stream.readline()
            while line[3:4] == b"-":
                line = stream.readline()
            self.assertTrue(line.startswith(expect), line)

        reply(b"220")
        for command in (b"EHLO client.test", b"MAIL FROM:<a@a.example> BODY=BINARYMIME",
                        b"RCPT TO:<bob@b.example>"):
            sock.sendall(command + b"\r\n")
            reply(b"250")
        parts = [wire[i:i + chunk] for i in range(0, len(wire), chunk)]
        for part in parts:
            sock.sendall(b"BDAT %d\r\n" % len(part) + part)
        sock.sendall(b"BDAT 0 LAST\r\n")
        for _ in range(len(parts) + 1):
            reply(b"250")
        sock.sendall(b"QUIT\r\n")
        reply(b"221")
        stream.close()

    def test_binary_message_by_bdat_arrives_to_the_octet(self):
        """SX-020 SX-022"""
        wire = messages.HEAD + bytes(range(256)) * 100 + b"\n\r\n.\r\nthe end\r\n"
        with socket.create_connection((self.host, self.port), PATIENCE) as sock:
            self.bdat(sock, wire, 1000)
        stored, = self.wait_messages(self.box)
        self.assertTrue(stored.endswith(messages.to_disk(wire)))

    def test_fifty_megabytes_pass_and_more_is_refused(self):
        """SS-041 SX-001"""
        line = b"x" * 98 + b"\r\n"
        body = messages.HEAD + line * ((50 * 1000 * 1000 - len(messages.HEAD)) // 100)
        with self.client() as client:
            client.sendmail("alice@a.example", ["bob@b.example"], body)
            stored, = self.wait_messages(self.box)
            self.assertTrue(stored.endswith(messages.to_disk(body)))
            with self.assertRaises(smtplib.SMTPSenderRefused) as refused:
                client.sendmail("alice@a.example", ["bob@b.example"], body + line * 50000)
            self.assertEqual(refused.exception.smtp_code, 552)

    def test_refuses_strangers_and_unknown_users(self):
        """SS-022 SS-023"""
        with self.client() as client:
            with self.assertRaises(smtplib.SMTPRecipientsRefused) as refused:
                client.sendmail("alice@a.example", ["nobody@b.example"], b"x\r\n")
            code, text = refused.exception.recipients["nobody@b.example"]
            self.assertEqual((code, text[:5]), (550, b"5.1.1"))
            self.assertEqual(client.sendmail("", ["PostMaster@b.example"], b"x\r\n"), {})

    # Pick-up -------------------------------------------------------------

    def fill(self, wires):
        with self.client() as client:
            for number, wire in enumerate(wires, 1):
                client.sendmail("alice@a.example", ["bob@b.example"], wire, ["BODY=8BITMIME"])
                self.wait_messages(self.box, number)
        return self.pop3d(self.server.mail, self.users).address("pop3")

    def test_poplib_gets_every_kind_of_message(self):
        """PO-004 PO-009 PO-013 PO-015 PO-017 PO-018 PO-019"""
        poplib._MAXLINE = 200000
        host, port = self.fill(messages.WIRE.values())
        pop = poplib.POP3(host, port, timeout=PATIENCE)
        pop.user("bob@b.example")
        pop.pass_("secret")
        count, size = pop.stat()
        self.assertEqual(count, len(messages.WIRE))
        self.assertEqual(size, sum(int(line.split()[1]) for line in pop.list()[1]))
        uids = dict(line.split() for line in pop.uidl()[1])
        self.assertEqual(len(set(uids.values())), count)
        got = []
        for number in range(1, count + 1):
            lines = pop.retr(number)[1]
            wire = b"".join(line + b"\r\n" for line in lines)
            self.assertEqual(len(wire), int(pop.list(number).split()[2]))
            top = pop.top(number, 0)[1]
            self.assertEqual(lines[:len(top)], top)
            got.append(wire)
        for name, wire in messages.WIRE.items():
            self.assertEqual(sum(g.endswith(b"\r\n" + wire) for g in got), 1, name)
        pop.dele(1)
        pop.quit()
        self.assertEqual(len(self.messages(self.box)), count - 1)

    @needs("curl")
    def test_curl_lists_and_gets(self):
        host, port = self.fill([messages.WIRE["leading dots"]])
        url = f"pop3://{host}:{port}/"
        login = ["-sS", "--user", "bob@b.example:secret"]
        self.assertRegex(self.run_client(["curl", *login, url]), rb"^1 \d+\r?\n")
        got = self.run_client(["curl", *login, url + "1"])
        self.assertTrue(got.endswith(messages.WIRE["leading dots"]))

    @needs("mpop")
    def test_mpop_picks_up_and_deletes(self):
        host, port = self.fill([messages.WIRE["one line"], messages.WIRE["8-bit"]])
        for part in ("tmp", "new", "cur"):
            (self.dir / "in" / part).mkdir(parents=True)
        rc = self.dir / "mpoprc"
        rc.write_text(f"account default\nhost {host}\nport {port}\nuser bob@b.example\npassword secret\n"
                      f"tls off\nauth user\ndelivery maildir {self.dir}/in\nkeep off\n"
                      f"uidls_file {self.dir}/uidls\n")
        rc.chmod(0o600)
        self.run_client(["mpop", "-q", "-C", rc])
        self.assertEqual(len(self.messages(self.dir / "in")), 2)
        self.assertEqual(self.messages(self.box), [])


if __name__ == "__main__":
    main()
