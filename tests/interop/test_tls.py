#!/usr/bin/env python3
"""Mail that goes out in TLS and with a user's name, to hosts that speak it by Python's ssl."""

import base64
import pathlib
import signal
import smtplib
import socketserver
import ssl
import subprocess
import threading

from harness import PATIENCE, RELAY, SENDMAIL, World, main, make_certificate, needs, wait_for

MESSAGE = b"Subject: hello\r\nFrom: a@here.example\r\nTo: b@there.example\r\n\r\nbody\r\n"


class Session(socketserver.StreamRequestHandler):
    """One SMTP session, as simple as can be."""

    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")
        self.wfile.flush()

    def start_tls(self):
        self.request = self.server.context.wrap_socket(self.request, server_side=True)
        self.rfile, self.wfile = self.request.makefile("rb"), self.request.makefile("wb")
        self.version = self.request.version()

    def on_ehlo(self, _):
        if self.version and self.server.cuts:
            self.wfile.write(b"250 sink.test")
            self.wfile.flush()
            self.request.close()
            raise OSError
        self.say("250-sink.test")
        self.say("250-AUTH PLAIN LOGIN" if self.version else "250-SIZE")
        self.say("250 SIZE" if self.version or self.server.context is None else "250 STARTTLS")

    def on_starttls(self, _):
        if self.server.injects:
            self.wfile.write(b"220 go\r\n250-sink.test\r\n250 AUTH PLAIN\r\n")
            self.wfile.flush()
            return
        self.say("220 go")
        self.start_tls()

    def on_auth(self, line):
        words = line.split()
        if words[1].upper() == "PLAIN":
            _, self.user, password = base64.b64decode(words[2]).decode().split("\0")
        else:
            self.say("334 VXNlcm5hbWU6")
            self.user = base64.b64decode(self.rfile.readline()).decode()
            self.say("334 UGFzc3dvcmQ6")
            password = base64.b64decode(self.rfile.readline()).decode()
        self.say("235 2.7.0 welcome" if password == self.server.password else "535 5.7.8 no")

    def on_data(self, _):
        self.say("354 go")
        text = b""
        while (line := self.rfile.readline()) != b".\r\n":
            text += line
        self.server.messages.append((self.version, self.user, text))
        self.say("250 2.0.0 taken")

    def handle(self):
        self.version, self.user = None, None
        try:
            if self.server.is_implicit:
                self.start_tls()
            self.say("220 sink.test")
            while line := self.rfile.readline().decode():
                if line.upper().startswith("QUIT"):
                    self.say("221 bye")
                    return  # without close_notify, as many do
                name = "on_" + line.split()[0].lower()
                getattr(self, name, lambda _: self.say("250 2.0.0 ok"))(line)
        except (OSError, ValueError):
            pass


class Sink(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, pair=None, maximum=None, injects=False, cuts=False, password="pencil"):
        super().__init__(("127.0.0.1", 0), Session)
        self.cuts = cuts
        self.messages, self.injects, self.password, self.is_implicit = [], injects, password, False
        self.context = None
        if pair is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*pair)
            if maximum is not None:
                self.context.maximum_version = maximum
        self.where = f"127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()


@needs("openssl")
class Tls(World):
    def setUp(self):
        super().setUp()
        self.pair = make_certificate(self.dir)

    def sink(self, *args, **kwargs):
        server = Sink(*args, **kwargs)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server

    def out(self, sink, *options):
        return self.relay("--route", f"*={sink.where}", "--retry", "1h", *options)

    def send(self, relay):
        host, port = relay.address("smtp")
        with smtplib.SMTP(host, port, local_hostname="client.test", timeout=PATIENCE) as client:
            client.sendmail("a@here.example", ["b@there.example"], MESSAGE)

    def taken(self, sink):
        wait_for(lambda: sink.messages, "the message")
        version, user, text = sink.messages[0]
        self.assertTrue(text.endswith(b"\r\n\r\nbody\r\n"))
        return version, user

    @staticmethod
    def sent(relay):
        """What the relay's log says of the first message that was taken: a moment later than the sink has it."""
        return wait_for(lambda: [line for line in relay.log().splitlines() if " sent " in line], "the log")[0]

    @staticmethod
    def deferred(relay, reason):
        wait_for(lambda: any(" deferred " in line and reason in line for line in relay.log().splitlines()), reason)

    def test_takes_what_is_offered(self):
        """SC-022"""
        for maximum, version in ((None, "TLSv1.3"), (ssl.TLSVersion.TLSv1_2, "TLSv1.2")):
            with self.subTest(version):
                sink = self.sink(self.pair, maximum)
                relay = self.relay("--route", f"*={sink.where}", name=f"relay-{version}")
                self.send(relay)
                self.assertEqual(self.taken(sink), (version, None))
                self.assertIn(" unverified", self.sent(relay))

    def test_goes_in_clear_when_told_so_or_when_nothing_else_is_offered(self):
        for sink, options in ((self.sink(self.pair), ("--tls-out", "none")), (self.sink(), ())):
            relay = self.relay("--route", f"*={sink.where}", *options, name=f"relay{len(options)}")
            self.send(relay)
            self.assertEqual(self.taken(sink), (None, None))

    def test_verifies_when_told_so(self):
        """SC-024"""
        good, bad = self.sink(self.pair), self.sink(self.pair)
        relay = self.relay("--route", f"*={good.where}", "--tls-out", "verify", "--tls-ca", self.pair[0])
        self.send(relay)
        self.assertEqual(self.taken(good), ("TLSv1.3", None))
        self.assertIn(" verified", self.sent(relay))
        other = self.dir / "other"
        other.mkdir()
        relay = self.relay("--route", f"*={bad.where}", "--tls-policy", "there.example=verify", "--tls-ca",
                           make_certificate(other)[0], name="doubting")
        self.send(relay)
        self.deferred(relay, "451 4.7.5 TLS failed: certificate: not issued by a trusted authority")
        self.assertEqual(bad.messages, [])

    def test_keeps_mail_that_must_go_in_tls(self):
        """SC-024"""
        sink = self.sink()
        relay = self.out(sink, "--tls-policy", "there.example=require")
        self.send(relay)
        self.deferred(relay, "451 4.7.4 TLS is required, and the host does not offer it")
        self.assertEqual(sink.messages, [])

    def test_words_behind_the_go_ahead_are_an_attack(self):
        """SC-023"""
        sink = self.sink(self.pair, injects=True)
        relay = self.out(sink, "--tls-out", "require")
        self.send(relay)
        self.deferred(relay, "words in clear where TLS begins")

    def test_a_cut_is_not_the_end_of_a_reply(self):
        """TLS that ends without close_notify, in the middle of a line."""
        sink = self.sink(self.pair, cuts=True)
        relay = self.out(sink, "--tls-out", "require")
        self.send(relay)
        self.deferred(relay, "451 4.4.2 The host closed the connection (ehlo)")

    def test_says_who_it_is_and_learns_a_new_password(self):
        """SC-025 SC-034 QR-018"""
        secret = self.dir / "secret"
        secret.write_text("crayon\n")
        sink = self.sink(self.pair)
        options = self.dir / "relay.conf"
        text = f"route = *={sink.where}\ntls-ca = {self.pair[0]}\nretry = 1s\n"
        options.write_text(text + f"auth-out = {sink.where}=ann,file:{secret}\n")
        relay = self.relay("--config", options)
        self.send(relay)
        self.deferred(relay, "535 5.7.8 no")
        secret.write_text("pencil\n")
        self.assertEqual(self.taken(sink), ("TLSv1.3", "ann"))
        sink.messages.clear()
        options.write_text(text + f"auth-out = {sink.where}=bob,command:echo pencil\n")
        relay.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "reloaded" in relay.log(), "the reload")
        self.send(relay)
        self.assertIn(self.taken(sink), (("TLSv1.3", "ann"), ("TLSv1.3", "bob")))
        self.assertEqual(relay.stop(), 0)  # all that it has to say is said
        self.assertNotIn("pencil", relay.log())
        self.assertNotIn(base64.b64encode(b"\0ann\0pencil").decode(), relay.log())

    def test_sendmail_says_who_it_is(self):
        sink = self.sink(self.pair)
        argv = [SENDMAIL, "--spool", self.dir / "spool", "--smarthost", sink.where, "--tls-out", "verify",
                "--tls-ca", self.pair[0], "--wait=100", "-f", "a@here.example"]
        sent = subprocess.run([*argv, "--auth-out", f"{sink.where}=ann,command:echo pencil", "b@there.example"],
                              input=MESSAGE, capture_output=True, timeout=PATIENCE)
        self.assertEqual((sent.returncode, sent.stderr), (0, b""))
        self.assertEqual(self.taken(sink), ("TLSv1.3", "ann"))
        argv[2] = self.dir / "other"
        sent = subprocess.run([*argv, "--auth-out", f"{sink.where}=ann,file:/nonexistent", "b@there.example"],
                              input=MESSAGE, capture_output=True, timeout=PATIENCE)
        self.assertEqual(sent.returncode, 75)
        self.assertIn(b"/nonexistent: No such file or directory", sent.stderr)

    def test_sendmail_refuses_what_is_wrong_before_it_stores_anything(self):
        for options, code in ((("--tls-out", "always"), 64), (("--auth-out", "x:25=ann"), 64),
                              (("--auth-out", "x:25=ann,certificate"), 64),
                              (("--tls-ca", "/nonexistent"), 66), (("--smarthost", "nonsense"), 64),
                              (("--smarthost", "hold"), 64), (("--smarthost=x:25" + "x" * 600,), 64),
                              (("--resolver", "nonsense"), 64), (("--resolver", "127.0.0.1:0"), 64),
                              (("--resolver=::1",) * 9, 64)):
            with self.subTest(options):
                spool = self.dir / "spool"
                sent = subprocess.run([SENDMAIL, "--spool", spool, *options, "-f", "a@here.example",
                                       "b@there.example"], input=MESSAGE, capture_output=True, timeout=PATIENCE)
                self.assertEqual(sent.returncode, code)
                self.assertNotEqual(sent.stderr, b"")
                self.assertFalse(spool.exists() and list((spool / "drop").glob("*")))

    def test_check_warns_of_what_serves_all_the_same(self):
        """HOSTILE section 11: key file permissions, also of what a relay logs in with."""
        certificate, key = self.pair
        secret = self.dir / "secret"
        secret.write_text("pencil\n")
        options = ("--tls-cert", certificate, "--tls-key", key, "--spool", self.dir / "spool",
                   "--auth-out", f"a.example:25=ann,file:{secret}")
        for mode, count in ((0o600, 0), (0o644, 2)):
            for path in (key, secret):
                path.chmod(mode)
            run = subprocess.run([RELAY, "--check", *options], capture_output=True, text=True, timeout=PATIENCE)
            self.assertEqual(run.returncode, 0, run.stderr)
            self.assertEqual(run.stderr.count("warn file not private file="), count)
            self.assertEqual(run.stderr.count("everybody may read it"), count)
        relay = self.relay(*options)
        self.assertEqual(relay.log().count("warn file not private file="), 2)
        relay.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "reloaded" in relay.log(), "the reload")
        self.assertEqual(relay.log().count("warn file not private file="), 4)

    def test_bad_options_are_refused_with_a_reason(self):
        empty = self.dir / "empty.pem"
        pathlib.Path(empty).write_text("")
        for options, code, reason in (
                (("--tls-out", "always"), 64, '--tls-out: "always" is no level: none, may, require or verify'),
                (("--tls-policy", "a.example"), 64, "--tls-policy: a TLS policy is PATTERN=LEVEL"),
                (("--auth-out", "a.example:25=ann"), 64, "--auth-out: credentials are HOST:PORT=USER,SOURCE"),
                (("--auth-out", "a.example:25=,certificate"), 78,
                 "--auth-out with a certificate needs --tls-out-cert and --tls-out-key"),
                (("--tls-out-cert", self.pair[0]), 78, "--tls-out-cert and --tls-out-key: one of each"),
                (("--tls-client-ca", self.pair[0]), 78, "--tls-client-ca needs --tls-cert and --tls-key"),
                (("--tls-ca", "/nonexistent"), 78, "/nonexistent: No such file or directory"),
                (("--tls-ca", empty), 78, "there is no certificate in it")):
            with self.subTest(options):
                run = subprocess.run([RELAY, "--check", *options], capture_output=True, text=True,
                                     timeout=PATIENCE)
                self.assertEqual(run.returncode, code)
                self.assertIn(reason, run.stderr)


if __name__ == "__main__":
    main()
