#!/usr/bin/env python3
"""Clients that nobody here wrote log in to the POP3 server, in TLS and by AUTH."""

import base64
import hashlib
import hmac
import os
import poplib
import ssl
import subprocess

from harness import PATIENCE, World, main, make_certificate, needs, wait_for

MESSAGE = b"Subject: hello\n\n.body\n"
WIRE = b"Subject: hello\r\n\r\n.body\r\n"


def scram_secret(password, salt=b"0123456789abcdef", iterations=5000):
    """RFC 5802, section 3, as a file of users wants it."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    parts = [salt, hashlib.sha256(client_key).digest(), hmac.digest(salted, b"Server Key", "sha256")]
    return "{SCRAM-SHA-256}%d,%s" % (iterations, ",".join(base64.b64encode(p).decode() for p in parts))


class Pop3(World):
    def setUp(self):
        super().setUp()
        self.certificate, self.key = make_certificate(self.dir)
        self.mail = self.dir / "mail"
        self.box = self.mail / "b.example/bob"

    def serve(self, secret="{PLAIN}pencil"):
        for part in ("cur", "new", "tmp"):
            os.makedirs(self.box / part)
        (self.box / "new/1.a").write_bytes(MESSAGE)
        users = self.dir / "users"
        users.write_text(f"bob@b.example:{secret}\n")
        self.server = self.pop3d(self.mail, users, "--pop3s", "127.0.0.1:0", "--tls-cert", self.certificate,
                                 "--tls-key", self.key)
        self.host, self.port = self.server.address("pop3")
        self.tls_port = self.server.address("pop3s")[1]

    def run_client(self, argv):
        done = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=PATIENCE)
        return done.returncode, done.stdout

    def curl(self, url, *options, password="pencil"):
        return self.run_client(["curl", "-sS", "--cacert", self.certificate, "--user", f"bob@b.example:{password}",
                                *options, url])

    def context(self):
        return ssl.create_default_context(cafile=self.certificate)

    @needs("curl")
    def test_curl_gets_by_pop3s(self):
        """PO-031"""
        self.serve()
        self.assertEqual(self.curl(f"pop3s://{self.host}:{self.tls_port}/1"), (0, WIRE))

    @needs("curl")
    def test_curl_gets_after_stls(self):
        """PO-030"""
        self.serve()
        self.assertEqual(self.curl(f"pop3://{self.host}:{self.port}/1", "--ssl-reqd"), (0, WIRE))
        wait_for(lambda: "tls=TLS1." in self.server.log(), "the log")

    @needs("curl")
    def test_curl_logs_in_by_auth(self):
        """PO-032 PO-034"""
        self.serve()
        for mechanism in ("PLAIN", "LOGIN"):
            with self.subTest(mechanism):
                for initial in ((), ("--sasl-ir",)):
                    self.assertEqual(self.curl(f"pop3s://{self.host}:{self.tls_port}/1", "--login-options",
                                               f"AUTH={mechanism}", *initial), (0, WIRE))
        code, _ = self.curl(f"pop3s://{self.host}:{self.tls_port}/1", password="wrong")
        self.assertEqual(code, 67)

    @needs("curl", "openssl")
    def test_curl_logs_in_where_only_a_hash_is_known(self):
        """PO-026: nothing is offered that would fail for want of the password."""
        self.serve(self.run_client(["openssl", "passwd", "-6", "pencil"])[1].decode().strip())
        self.assertEqual(self.curl(f"pop3s://{self.host}:{self.tls_port}/1"), (0, WIRE))

    @needs("mpop")
    def test_mpop_picks_up(self):
        for tls, starttls, auth in (("on", "off", "user"), ("on", "on", "plain"), ("on", "on", "scram-sha-256")):
            with self.subTest(auth=auth, starttls=starttls):
                if not hasattr(self, "server"):
                    self.serve()
                (self.box / "new/1.a").write_bytes(MESSAGE)
                into = self.dir / f"in-{auth}"
                for part in ("tmp", "new", "cur"):
                    (into / part).mkdir(parents=True)
                rc = self.dir / f"mpoprc-{auth}"
                rc.write_text(f"account default\nhost {self.host}\nport {self.port if starttls == 'on' else self.tls_port}\n"
                              f"user bob@b.example\npassword pencil\ntls {tls}\ntls_starttls {starttls}\n"
                              f"tls_trust_file {self.certificate}\nauth {auth}\ndelivery maildir {into}\n"
                              f"keep off\nuidls_file {self.dir}/uidls-{auth}\n")
                rc.chmod(0o600)
                code, said = self.run_client(["mpop", "-q", "-C", rc])
                if b"not supported" in said and b"scram" in said.lower():
                    self.skipTest("this mpop knows no SCRAM")
                self.assertEqual((code, said), (0, b""))
                got, = self.messages(into)
                self.assertTrue(got.endswith(MESSAGE))
                self.assertEqual(self.messages(self.box), [])

    def test_poplib_logs_in_over_tls(self):
        self.serve(scram_secret("pencil"))
        for pop in (poplib.POP3_SSL(self.host, self.tls_port, timeout=PATIENCE, context=self.context()),
                    poplib.POP3(self.host, self.port, timeout=PATIENCE)):
            if not isinstance(pop, poplib.POP3_SSL):
                pop.stls(self.context())
            pop.user("bob@b.example")
            pop.pass_("pencil")
            self.assertEqual(b"\r\n".join(pop.retr(1)[1]) + b"\r\n", WIRE)
            pop.quit()


if __name__ == "__main__":
    main()
