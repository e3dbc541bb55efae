#!/usr/bin/env python3
"""Mail programs that nobody here wrote log in to the relay and send through it."""

import base64
import re
import smtplib
import socket
import ssl
import subprocess
import sys

from harness import PATIENCE, ROOT, World, body_of, main, needs, wait_for

sys.path.insert(0, str(ROOT / "tests/examples"))
import certificates  # noqa: E402

USER, PASSWORD = "alice@b.example", "open sesame"
MESSAGE = b"From: alice@b.example\r\nSubject: hello\r\n\r\n.first\r\nlast\r\n"


class Submission(World):
    def setUp(self):
        super().setUp()
        self.users = self.dir / "users"
        self.users.write_text(f"{USER}:{{PLAIN}}{PASSWORD}\nbob@b.example:*\n")
        self.options = ["--local", "b.example", "--users", self.users, "--relay-from", "none",
                        "--submission", "127.0.0.1:0", "--submissions", "127.0.0.1:0",
                        *certificates.make(str(self.dir), "pair", "mx.test")]
        self.trust = self.dir / "pair.pem"
        self.server = self.relay(*self.options)
        self.box = self.server.mail / "b.example/bob"

    def run_client(self, argv, stdin=b""):
        done = subprocess.run([str(a) for a in argv], input=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=PATIENCE)
        self.assertEqual(done.returncode, 0, done.stdout.decode(errors="replace"))

    def assert_came(self, text, count=1):
        messages = self.wait_messages(self.box, count)
        for stored in messages:
            self.assertIn(text, body_of(stored))
            self.assertIn(b" with ESMTPSA id ", stored)
        return messages

    @needs("swaks")
    def test_swaks_in_every_way(self):
        """SX-011 SX-015 SX-017"""
        count = 0
        for service, tls in (("smtp", "--tls"), ("submission", "--tls"), ("submissions", "--tlsc")):
            host, port = self.server.address(service)
            for mechanism in ("PLAIN", "LOGIN"):
                self.run_client(["swaks", "--timeout", f"{PATIENCE:.0f}s", "--server", host, "--port", port, tls, "--auth", mechanism,
                                 "--auth-user", USER, "--auth-password", PASSWORD, "--from", USER,
                                 "--to", "bob@b.example", "--data", "From: %FROM_ADDRESS%\\n\\nby swaks\\n"])
                count += 1
                self.assert_came(b"by swaks", count)

    @needs("curl")
    def test_curl_by_smtps(self):
        message = self.dir / "message"
        message.write_bytes(MESSAGE)
        _, port = self.server.address("submissions")
        self.run_client(["curl", "-sS", "--url", f"smtps://mx.test:{port}/client.test", "--resolve",
                         f"mx.test:{port}:127.0.0.1", "--cacert", self.trust, "--user",
                         f"{USER}:{PASSWORD}", "--mail-from", USER, "--mail-rcpt", "bob@b.example",
                         "--upload-file", message])
        stored, = self.assert_came(b".first\nlast\n")
        self.assertIn(b"\nMessage-ID: <", stored)  # SX-036
        self.assertIn(b"\nDate: ", stored)

    @needs("msmtp")
    def test_msmtp_by_each_mechanism(self):
        """Its SCRAM is that of libgsasl, by default the one it chooses of those offered."""
        host, port = self.server.address("submission")
        for count, mechanism in enumerate(("scram-sha-256", "plain", "login", "on"), 1):
            self.run_client(["msmtp", f"--host={host}", f"--port={port}", f"--from={USER}", "--tls=on",
                             "--tls-starttls=on", "--tls-certcheck=off", f"--auth={mechanism}", f"--user={USER}",
                             f"--passwordeval=echo '{PASSWORD}'", "bob@b.example"], MESSAGE)
            self.assert_came(b".first\nlast\n", count)
        wait_for(lambda: self.server.log().count(" authenticated client=") == 4, "the log of four logins")

    def test_smtplib_with_a_verified_certificate(self):
        context = ssl.create_default_context(cafile=self.trust)
        host, port = self.server.address("submission")
        with smtplib.SMTP(host, port, "client.test", PATIENCE) as client:
            client._host = "mx.test"  # whom it wanted to reach
            client.starttls(context=context)
            with self.assertRaises(smtplib.SMTPSenderRefused) as refused:
                client.sendmail(USER, ["bob@b.example"], MESSAGE)
            self.assertEqual(refused.exception.smtp_code, 530)  # SX-036
            with self.assertRaises(smtplib.SMTPAuthenticationError):
                client.login(USER, "close sesame")
            client.login(USER, PASSWORD)
            client.sendmail(USER, ["bob@b.example"], MESSAGE)
        self.assert_came(b".first\nlast\n")

    def test_hashes_let_in_only_with_what_shows_the_password(self):
        """What the README recommends."""
        made = subprocess.run(["openssl", "passwd", "-6", PASSWORD], check=True, capture_output=True)
        self.users.write_text(f"{USER}:{made.stdout.decode().strip()}\nbob@b.example:*\n")
        host, port = self.relay(*self.options, name="other").address("submission")
        with smtplib.SMTP(host, port, "client.test", PATIENCE) as client:
            client.starttls(context=certificates.client_context())
            client.ehlo()
            self.assertEqual(client.esmtp_features["auth"].split(), ["PLAIN", "LOGIN"])
            client.login(USER, PASSWORD)


class Salts(World):
    """HOSTILE 9: what SCRAM shows tells nobody which users exist, not over a restart either."""

    USERS = (USER, "carl@b.example", "nobody@b.example", "eve@b.example")

    def salt(self, server, service, greeting, user):
        """Hangs up before it proves anything: what is wrong would be answered late."""
        first = base64.b64encode(b"n,,n=" + user.encode() + b",r=abcdefgh")
        raw = socket.create_connection(server.address(service), PATIENCE)
        self.addCleanup(raw.close)
        with certificates.client_context().wrap_socket(raw) as connection, connection.makefile("rb") as said:
            connection.sendall(greeting + b"AUTH SCRAM-SHA-256 " + first + b"\r\n")
            while not (line := said.readline()).startswith((b"334 ", b"+ ")):
                self.assertTrue(line)
        return re.search(rb",s=([^,]+),i=4096$", base64.b64decode(line.split()[1])).group(1)

    def salts(self, server, service, greeting):
        return [self.salt(server, service, greeting, user) for user in self.USERS]

    def of_relay(self, name):
        server = self.relay("--users", self.users, "--submissions", "127.0.0.1:0", *self.pair, name=name)
        found = self.salts(server, "submissions", b"EHLO client.test\r\n")
        server.stop()
        return found

    def test_are_the_same_after_a_restart_and_at_every_server(self):
        self.users = self.dir / "users"
        carl = "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=," \
               "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        self.users.write_text(f"{USER}:{{PLAIN}}{PASSWORD}\ncarl@b.example:{carl}\n")
        self.pair = certificates.make(str(self.dir), "pair", "mx.test")
        first = self.of_relay("first")
        self.assertEqual(len(set(first)), len(self.USERS))
        self.assertEqual(first[1], b"W22ZaJ0SNY7soEsUEjb6gQ==")
        self.assertEqual(self.of_relay("second"), first)
        with open(self.users, "a") as users:  # one more account is no other secret
            users.write("dora@b.example:{PLAIN}x\n")
        self.assertEqual(self.of_relay("third"), first)
        server = self.pop3d(self.dir / "mail", self.users, "--pop3s", "127.0.0.1:0", *self.pair)
        self.assertEqual(self.salts(server, "pop3s", b""), first)


class Attacks(World):
    """HOSTILE 2 and 3, to the octet."""

    def setUp(self):
        super().setUp()
        self.users = self.dir / "users"
        self.users.write_text(f"{USER}:{{PLAIN}}{PASSWORD}\n")
        self.server = self.relay("--local", "b.example", "--users", self.users, "--submission", "127.0.0.1:0",
                                 "--submissions", "127.0.0.1:0",
                                 *certificates.make(str(self.dir), "pair", "mx.test"))

    def connect(self, service):
        connection = socket.create_connection(self.server.address(service), PATIENCE)
        self.addCleanup(connection.close)
        return connection

    def hear(self, connection, *, ends=b"\r\n"):
        heard = b""
        while not heard.endswith(ends):
            piece = connection.recv(4096)
            if not piece:
                return heard
            heard += piece
        return heard

    def hear_until(self, connection, what):
        heard = b""
        while what not in heard:
            heard += self.hear(connection)
        return heard

    def hear_all(self, connection):
        heard = b""
        try:
            while piece := connection.recv(4096):
                heard += piece
        except (ConnectionResetError, ssl.SSLError):
            pass
        return heard

    def test_nothing_said_before_the_handshake_counts_inside_it(self):
        """SX-008, CVE-2011-0411: commands behind STARTTLS in the same segment."""
        for service in ("smtp", "submission"):
            for tail in (b"RSET\r\n", b"EHLO evil.test\r\nMAIL FROM:<evil@b.example>\r\n", b"AUTH PLAIN =\r\n",
                         b"X", b"\r\n"):
                with self.subTest(service=service, tail=tail):
                    connection = self.connect(service)
                    self.assertTrue(self.hear(connection).startswith(b"220 "))
                    connection.sendall(b"EHLO client.test\r\n")
                    self.assertIn(b"250-STARTTLS\r\n", self.hear(connection, ends=b"HELP\r\n"))
                    connection.sendall(b"STARTTLS\r\n" + tail)
                    self.assertEqual(self.hear(connection), b"220 2.0.0 Go ahead with TLS\r\n")
                    tls = certificates.client_context().wrap_socket(connection)
                    self.addCleanup(tls.close)
                    tls.sendall(b"NOOP\r\n")  # nothing else is answered, and no name is known (SX-009)
                    self.assertIn(self.hear(tls)[:4], (b"250 ", b"503 "))
                    tls.sendall(b"MAIL FROM:<a@b.example>\r\n")
                    self.assertIn(self.hear(tls)[:4], (b"503 ", b"530 "))
                    tls.sendall(b"QUIT\r\n")
                    self.assertTrue(self.hear_all(tls).startswith(b"221 "))

    def test_a_login_ends_with_the_handshake(self):
        """SX-009: what was known before TLS is forgotten, an open transaction too."""
        connection = self.connect("smtp")
        self.hear(connection)
        for line, ends in ((b"EHLO client.test", b"HELP\r\n"), (b"MAIL FROM:<a@b.example>", b"\r\n"),
                           (b"STARTTLS", b"\r\n")):
            connection.sendall(line + b"\r\n")
            self.hear(connection, ends=ends)
        with certificates.client_context().wrap_socket(connection) as tls:
            tls.sendall(b"RCPT TO:<alice@b.example>\r\n")
            self.assertTrue(self.hear(tls).startswith(b"503 "))

    def test_other_protocols_come_to_nothing(self):
        """ALPACA: a browser or another server's client is led to our port."""
        http = b"POST / HTTP/1.1\r\nHost: mx.test\r\n\r\nEHLO x\r\nMAIL FROM:<a@b.example>\r\n"
        for service in ("smtp", "submission"):
            connection = self.connect(service)
            self.assertTrue(self.hear(connection).startswith(b"220 "))
            connection.sendall(http)
            self.assertRegex(self.hear_all(connection), rb"^[45]\d\d [^\r\n]*\r\n$")
        connection = certificates.client_context().wrap_socket(self.connect("submissions"))
        self.addCleanup(connection.close)
        self.assertTrue(self.hear(connection).startswith(b"220 "))
        connection.sendall(http)
        self.assertRegex(self.hear_all(connection), rb"^[45]\d\d [^\r\n]*\r\n$")

    def test_clear_words_on_the_tls_port_and_tls_on_the_clear_one(self):
        connection = self.connect("submissions")
        connection.sendall(b"EHLO client.test\r\n")
        self.assertNotIn(b"220", self.hear_all(connection))
        connection = self.connect("smtp")
        self.hear(connection)
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            certificates.client_context().wrap_socket(connection)
        self.assertEqual(list(self.server.mail.glob("**/new/*")), [])

    def test_lmtp_has_tls_but_no_users(self):
        server = self.relay("--local", "b.example", "--users", self.users, "--lmtp", "127.0.0.1:0",
                            "--tls-cert", self.dir / "pair.pem", "--tls-key", self.dir / "pair.key", name="lmtp")
        self.server = server
        connection = self.connect("lmtp")
        self.hear(connection)
        for line in (b"LHLO client.test", b"STARTTLS"):
            connection.sendall(line + b"\r\n")
            self.hear(connection, ends=b"HELP\r\n" if line[:1] == b"L" else b"\r\n")
        with certificates.client_context().wrap_socket(connection) as tls:
            tls.sendall(b"LHLO client.test\r\n")
            offers = self.hear(tls, ends=b"HELP\r\n")
            self.assertNotIn(b"AUTH", offers)
            tls.sendall(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<alice@b.example>\r\nDATA\r\n")
            self.hear_until(tls, b"354")
            tls.sendall(b"Subject: x\r\n\r\n.\r\nQUIT\r\n")
            self.assertTrue(self.hear_all(tls).startswith(b"250 2.0.0 "))
        stored, = self.wait_messages(server.mail / "b.example/alice")
        self.assertIn(b" with LMTPS id ", stored)  # RFC 3848

    def test_old_versions_are_refused(self):
        """RFC 8996"""
        context = certificates.client_context()
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(self.connect("submissions"))


if __name__ == "__main__":
    main()
