#!/usr/bin/env python3
"""Clients that log in by a certificate, in front of the relay and in front of others."""

import poplib
import signal
import smtplib
import subprocess
import sys
import threading

from harness import PATIENCE, ROOT, World, body_of, main, needs, wait_for

sys.path.insert(0, str(ROOT / "tests/examples"))
import certificates  # noqa: E402

USER = "alice@b.example"
MESSAGE = b"From: alice@b.example\r\nSubject: hello\r\n\r\n.first\r\nlast\r\n"


@needs("openssl")
class Certificates(World):
    """SX-012: EXTERNAL, for who shows a certificate of an authority that is believed, and for no one else."""

    def setUp(self):
        super().setUp()
        self.home = str(self.dir)
        self.authority = certificates.make_authority(self.home)
        self.host = certificates.certify(self.home, "host", "IP:127.0.0.1")
        self.users = self.dir / "users"
        self.users.write_text(f"{USER}:{{EXTERNAL}}\nbob@b.example:*\n")
        self.options = ["--local", "b.example", "--users", self.users, "--relay-from", "none",
                        "--submission", "127.0.0.1:0", "--submissions", "127.0.0.1:0", "--tls-cert", self.host[0],
                        "--tls-key", self.host[1], "--tls-client-ca", self.authority]
        self.server = self.relay(*self.options)
        self.box = self.server.mail / "b.example/bob"

    def certified(self, alternative="email:" + USER, name="alice", authority="authority", *options):
        return certificates.certify(self.home, name, alternative, authority, *options)

    def context(self, pair=None):
        context = certificates.client_context()
        if pair is not None:
            context.load_cert_chain(*pair)
        return context

    def inside(self, pair=None, server=None):
        client = smtplib.SMTP_SSL(*(server or self.server).address("submissions"), "client.test", timeout=PATIENCE,
                                  context=self.context(pair))
        self.addCleanup(client.close)
        client.ehlo()
        return client

    def run_client(self, argv, stdin=b""):
        done = subprocess.run([str(a) for a in argv], input=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=PATIENCE)
        self.assertEqual(done.returncode, 0, done.stdout.decode(errors="replace"))

    def assert_came(self, count=1):
        for stored in self.wait_messages(self.box, count):
            self.assertEqual(body_of(stored), b".first\nlast\n")
            self.assertIn(b" with ESMTPSA id ", stored)

    def test_python_logs_in(self):
        client = self.inside(self.certified())
        self.assertEqual(client.esmtp_features["auth"].split()[0], "EXTERNAL")
        self.assertEqual(client.docmd("AUTH", "EXTERNAL =")[0], 235)
        client.sendmail(USER, ["bob@b.example"], MESSAGE)
        self.assert_came()
        wait_for(lambda: f"authenticated client=127.0.0.1:{client.sock.getsockname()[1]} user={USER}"
                 in self.server.log(), "the log")

    @needs("curl")
    def test_curl_logs_in(self):
        certificate, key = self.certified()
        host, port = self.server.address("submission")
        for user in ("", USER):  # curl says as whom, if it is told a name
            self.run_client(["curl", "-sS", "--url", f"smtp://{host}:{port}/client.test", "--ssl-reqd", "--cacert",
                             self.authority, "--cert", certificate, "--key", key, "--user", user + ":",
                             "--login-options", "AUTH=EXTERNAL", "--mail-from", USER, "--mail-rcpt",
                             "bob@b.example", "-T", "-"], MESSAGE)
        self.assert_came(2)

    @needs("msmtp")
    def test_msmtp_logs_in(self):
        certificate, key = self.certified()
        host, port = self.server.address("submission")
        self.run_client(["msmtp", f"--host={host}", f"--port={port}", f"--from={USER}", "--tls=on",
                         f"--tls-trust-file={self.authority}", f"--tls-cert-file={certificate}",
                         f"--tls-key-file={key}", "--auth=external", f"--user={USER}", "bob@b.example"],
                        MESSAGE.replace(b"\r\n", b"\n"))
        self.assert_came()

    def test_openssl_logs_in(self):
        certificate, key = self.certified()
        host, port = self.server.address("submission")
        argv = ["openssl", "s_client", "-quiet", "-starttls", "smtp", "-name", "client.test", "-cert", certificate,
                "-key", key, "-CAfile", self.authority, "-verify_return_error", "-connect", f"{host}:{port}"]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as peer:
            guard = threading.Timer(PATIENCE, peer.kill)
            guard.start()
            self.addCleanup(guard.cancel)
            heard = b""
            for said, code in ((b"EHLO client.test", b"250"), (b"AUTH EXTERNAL =", b"235"),
                               (b"MAIL FROM:<" + USER.encode() + b">", b"250"), (b"QUIT", b"221")):
                peer.stdin.write(said + b"\r\n")
                peer.stdin.flush()
                # What s_client has left of the talk in clear comes first.
                while (heard := peer.stdout.readline())[:4] not in (code + b" ", b""):
                    if said[:4] != b"EHLO":
                        break
                    if heard.startswith(b"250-AUTH "):
                        self.assertIn(b" EXTERNAL", heard)
                self.assertEqual(heard[:4], code + b" ", said)

    def certified_as(self, name, octets):
        """One with an address that openssl would not write by itself."""
        extension = self.dir / (name + ".ext")
        address = bytes([0x81, len(octets)]) + octets
        extension.write_text("subjectAltName=DER:" + (bytes([0x30, len(address)]) + address).hex(":") + "\n")
        return self.certified("DNS:b.example", name, "authority", "-extfile", str(extension))

    def test_nobody_else_is_let_in(self):
        """No certificate, one of somebody else's, a self-signed one, one that is for servers, one without a name,
        one that has expired, ones whose name is not what it looks like."""
        certificates.make_authority(self.home, "other")
        self_signed = certificates.make_authority(self.home, "selfsigned")
        server_only = self.dir / "server_only"
        server_only.write_text("extendedKeyUsage=serverAuth\nsubjectAltName=email:" + USER + "\n")
        pairs = {
            "none": None,
            "other": self.certified(name="theirs", authority="other"),
            "selfsigned": (self_signed, self_signed.replace(".pem", ".key")),
            "nameless": self.certified("DNS:b.example", "nameless"),
            "server": self.certified("email:" + USER, "server", "authority", "-extfile", str(server_only)),
            "expired": self.certified("email:" + USER, "expired", "authority", "-days", "-1"),
            "cut": self.certified_as("cut", USER.encode() + b"\0.evil.example"),
            "wide": self.certified_as("wide", "alice@\uff42.example".encode()),  # that is b.example to IDNA
        }
        for name, pair in pairs.items():
            with self.subTest(name):
                client = self.inside(pair)
                self.assertNotIn("EXTERNAL", client.esmtp_features["auth"])
                self.assertEqual(client.docmd("AUTH", "EXTERNAL =")[0], 504)
                self.assertEqual(client.docmd("MAIL", f"FROM:<{USER}>")[0], 530)
        for reason in ("not issued by a trusted authority", "it holds no e-mail address", "expired",
                       "not meant for this purpose"):
            wait_for(lambda: any("certificate of no use client=127.0.0.1" in line and reason in line
                                 for line in self.server.log().splitlines()), reason)

    def test_one_acts_as_oneself_alone(self):
        """Bob may be known by a certificate, but nobody logs in as him; Eve has none; Alice is not Bob."""
        for name in ("bob@b.example", "eve@b.example"):
            client = self.inside(self.certified("email:" + name, name))
            self.assertEqual(client.docmd("AUTH", "EXTERNAL =")[0], 535)
        client = self.inside(self.certified())
        self.assertEqual(client.docmd("AUTH", "EXTERNAL Ym9iQGIuZXhhbXBsZQ==")[0], 535)  # bob@b.example
        self.assertEqual(client.docmd("AUTH", "EXTERNAL =")[0], 235)
        self.assertEqual(client.docmd("MAIL", "FROM:<bob@b.example>")[0], 550)

    def test_in_clear_there_is_no_certificate(self):
        """SX-017"""
        for service, code in (("smtp", 538), ("submission", 530)):
            with smtplib.SMTP(*self.server.address(service), "client.test", PATIENCE) as client:
                client.ehlo()
                self.assertNotIn("auth", client.esmtp_features)
                self.assertEqual(client.docmd("AUTH", "EXTERNAL =")[0], code)

    def test_another_authority_counts_at_once(self):
        certificates.make_authority(self.home, "other")
        theirs = self.certified(name="theirs", authority="other")
        ours = self.certified()
        trust = self.dir / "trust.pem"
        trust.write_text((self.dir / "authority.pem").read_text())
        server = self.relay(*self.options[:-1], trust, name="changing")
        self.assertEqual(self.inside(ours, server).docmd("AUTH", "EXTERNAL =")[0], 235)
        trust.write_text((self.dir / "other.pem").read_text())
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "reloaded" in server.log(), "the reload")
        self.assertEqual(self.inside(ours, server).docmd("AUTH", "EXTERNAL =")[0], 504)
        self.assertEqual(self.inside(theirs, server).docmd("AUTH", "EXTERNAL =")[0], 235)

    def test_a_relay_logs_in_to_a_relay(self):
        """SC-025"""
        certificate, key = self.certified()
        for user in ("", USER):
            where = "127.0.0.1:%d" % self.server.address("submission")[1]
            relay = self.relay("--route", f"*={where}", "--tls-ca", self.authority, "--tls-out-cert", certificate,
                               "--tls-out-key", key, "--auth-out", f"{where}={user},certificate",
                               name="client" + str(len(user)))
            with smtplib.SMTP(*relay.address("smtp"), "client.test", PATIENCE) as client:
                client.sendmail(USER, ["bob@b.example"], MESSAGE)
            wait_for(lambda: " sent " in relay.log(), "the delivery")
            self.assertIn(" verified", relay.log())
        self.assert_came(2)

    def test_pop3_lets_in_by_certificate(self):
        (self.dir / "mail").mkdir()
        self.users.write_text(f"{USER}:{{EXTERNAL}}\n")
        server = self.pop3d(self.dir / "mail", self.users, "--tls-cert", self.host[0], "--tls-key", self.host[1],
                            "--tls-client-ca", self.authority)
        client = poplib.POP3(*server.address("pop3"), timeout=PATIENCE)
        self.addCleanup(client.close)
        client.stls(self.context(self.certified()))
        self.assertEqual(client.capa()["SASL"][0], "EXTERNAL")
        self.assertTrue(client._shortcmd("AUTH EXTERNAL =").startswith(b"+OK"))


if __name__ == "__main__":
    main()
