#!/usr/bin/env python3
"""The sample POP3 server as its users see it: pop3d.py PATH-TO-POP3D."""

import os
import poplib
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import unittest
import warnings

import certificates
import manuals

POP3D = sys.argv.pop(1)
PATIENCE = 180  # seconds, on a slow and busy machine


def deliver(maildir, name, text):
    for sub in ("cur", "new", "tmp"):
        os.makedirs(os.path.join(maildir, sub), exist_ok=True)
    with open(os.path.join(maildir, name), "w", newline="") as file:
        file.write(text)


class Pop3d(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.users = self.path("users")
        self.write_users("alice@example.org:{PLAIN}secret\n")
        self.server = None

    def tearDown(self):
        if self.server is not None:
            self.server.kill()
            self.server.wait()
            self.server.stdout.close()
            self.server.stderr.close()
        self.dir.cleanup()

    def path(self, name):
        return os.path.join(self.dir.name, name)

    def write_users(self, text):
        with open(self.users, "w") as file:
            file.write(text)
        os.chmod(self.users, 0o600)

    def start(self, *args):
        self.server = subprocess.Popen(
            [POP3D, "--listen", "127.0.0.1:0", "--users", self.users, "--mail-dir", self.path("mail"),
             "--hostname", "pop.example", *args],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        ready = self.server.stdout.readline()
        self.assertRegex(ready, r"^ready pop3=127\.0\.0\.1:\d+( (pop3s?|metrics)=\S+)*\n$")
        self.port = int(ready.split()[1].rsplit(":", 1)[1])
        self.words = [word.split("=")[0] for word in ready.split()[1:]]
        self.last_port = int(ready.split()[-1].rsplit(":", 1)[1])

    def dial(self):
        return poplib.POP3("127.0.0.1", self.port, timeout=PATIENCE)

    def log_in(self, name="alice@example.org", password="secret"):
        pop = self.dial()
        pop.user(name)
        pop.pass_(password)
        return pop

    def stop(self):
        self.server.send_signal(signal.SIGTERM)
        self.assertEqual(self.server.wait(PATIENCE), 0)
        self.assertEqual(self.server.stdout.read(), "")
        return self.server.stderr.read()

    def run_once(self, *args):
        done = subprocess.run([POP3D, *args], capture_output=True, text=True, timeout=PATIENCE)
        return done.returncode, done.stdout, done.stderr

    def test_serves_a_mailbox(self):
        box = self.path("mail/example.org/alice")
        deliver(box, "new/1.a", "Subject: one\n\n.dot\nlast\n")
        deliver(box, "cur/2.b:2,S", "Subject: two\n\nx\n")
        self.start()
        pop = self.log_in()
        self.assertEqual(pop.getwelcome(), b"+OK pop.example POP3 server ready")
        self.assertIn("UIDL", pop.capa())
        self.assertEqual(pop.stat(), (2, 47))
        self.assertEqual(pop.uidl()[1], [b"1 1.a", b"2 2.b"])
        self.assertEqual(pop.retr(1)[1], [b"Subject: one", b"", b".dot", b"last"])
        self.assertEqual(pop.top(2, 0)[1], [b"Subject: two", b""])
        pop.dele(1)
        pop.quit()
        self.assertEqual(os.listdir(os.path.join(box, "new")), [])
        pop = self.log_in("ALICE@Example.ORG")
        self.assertEqual(pop.list()[1], [b"1 19"])
        pop.quit()
        log = self.stop()
        self.assertIn('session over client=127.0.0.1:', log)
        self.assertIn("retrieved=1 removed=1", log)
        self.assertNotIn("secret", log)

    def test_refuses_a_wrong_password(self):
        self.start()
        pop = self.dial()
        pop.user("alice@example.org")
        with self.assertRaises(poplib.error_proto) as caught:
            pop.pass_("wrong")
        self.assertEqual(caught.exception.args[0], b"-ERR [AUTH] wrong name or password")
        pop.quit()
        self.log_in().quit()

    def test_reads_users_again_on_sighup(self):
        self.write_users("bob:{PLAIN}geheim:%s\n" % self.path("bob"))
        deliver(self.path("bob"), "new/1.a", "x\n")
        self.start()
        self.log_in("bob", "geheim").quit()
        self.write_users("bob:{PLAIN}anders:%s\n" % self.path("bob"))
        self.server.send_signal(signal.SIGHUP)
        self.await_log("info reloaded")
        pop = self.log_in("bob", "anders")
        self.assertEqual(pop.stat(), (1, 3))
        self.write_users("bob\n")
        self.server.send_signal(signal.SIGHUP)
        self.await_log("not reloaded")
        pop.quit()
        self.log_in("bob", "anders").quit()

    def await_log(self, text):
        for line in self.server.stderr:
            if text in line:
                return
        self.fail(text)

    def test_ends_sessions_when_it_is_told_to_stop(self):
        box = self.path("mail/example.org/alice")
        deliver(box, "new/1.a", "x\n")
        self.start("--listen", "[::1]:0") if self.has_ipv6() else self.start()
        pop = self.log_in()
        pop.dele(1)
        self.stop()
        pop.close()
        self.assertEqual(os.listdir(os.path.join(box, "new")), ["1.a"])

    def has_ipv6(self):
        try:
            with open("/proc/net/if_inet6") as file:
                return "00000000000000000000000000000001 " in file.read()
        except OSError:
            return False

    def test_reads_its_options_from_a_file(self):
        with open(self.path("config"), "w") as file:
            file.write("log-format = json\nlog-level = debug\nidle = 30\nmax-sessions = 5\n")
        self.start("--config", self.path("config"))
        self.dial().quit()
        self.assertIn('"event":"session over"', self.stop().replace('": "', '":"'))

    def certificate(self, name, *dns_names):
        return certificates.make(self.dir.name, name, *dns_names)

    def dial_tls(self):
        return poplib.POP3_SSL("127.0.0.1", self.last_port, timeout=PATIENCE, context=certificates.client_context())

    def names_shown(self, name):
        """The names in the certificate that a client sees who asks for `name`."""
        with socket.create_connection(("127.0.0.1", self.last_port), PATIENCE) as wire:
            with certificates.client_context().wrap_socket(wire, server_hostname=name) as tls:
                return certificates.names_in(tls.getpeercert(True))

    def test_speaks_tls(self):
        """PO-030, PO-031"""
        deliver(self.path("mail/example.org/alice"), "new/1.a", "x\n")
        self.start("--pop3s", "127.0.0.1:0", *self.certificate("a", "pop.example"))
        self.assertEqual(self.words, ["pop3", "pop3s"])
        pop = self.dial()
        self.assertIn("STLS", pop.capa())
        pop.stls(certificates.client_context())
        self.assertNotIn("STLS", pop.capa())
        self.assertEqual(pop.capa()["SASL"], ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN"])
        with self.assertRaises(poplib.error_proto):
            pop._shortcmd("STLS")
        pop.user("alice@example.org")
        pop.pass_("secret")
        self.assertEqual(pop.stat(), (1, 3))
        pop.quit()
        pop = self.dial_tls()
        pop.user("alice@example.org")
        pop.pass_("secret")
        pop.dele(1)
        pop.quit()
        self.assertEqual(os.listdir(self.path("mail/example.org/alice/new")), [])
        self.assertEqual(self.stop().count("user=alice@example.org tls=TLS1.3"), 2)

    def test_chooses_certificates_by_name_and_reads_them_again(self):
        first = self.certificate("a", "a.example")
        self.start("--pop3s", "127.0.0.1:0", *first, *self.certificate("b", "b.example", "*.b.example"))
        self.assertEqual(self.names_shown("b.example"), ["b.example", "*.b.example"])
        self.assertEqual(self.names_shown("pop.b.example"), ["b.example", "*.b.example"])
        self.assertEqual(self.names_shown("other.example"), ["a.example"])
        pop = self.dial_tls()
        with open(first[1], "w") as file:
            file.write("nothing\n")
        self.server.send_signal(signal.SIGHUP)
        self.await_log("not reloaded")
        self.assertEqual(self.names_shown("a.example"), ["a.example"])
        self.certificate("a", "new.example")
        self.server.send_signal(signal.SIGHUP)
        self.await_log("info reloaded")
        self.assertEqual(self.names_shown("a.example"), ["new.example"])
        pop.user("alice@example.org")
        pop.pass_("secret")
        pop.quit()

    def test_takes_no_old_tls(self):
        """HOSTILE 11: RFC 8996"""
        self.start("--pop3s", "127.0.0.1:0", *self.certificate("a", "pop.example"))
        context = certificates.client_context()
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        with self.assertRaises(ssl.SSLError) as caught:
            poplib.POP3_SSL("127.0.0.1", self.last_port, timeout=PATIENCE, context=context)
        self.assertEqual(caught.exception.reason, "TLSV1_ALERT_PROTOCOL_VERSION")

    def test_believes_a_proxy_that_is_listed(self):
        """SX-040: its clients count as what they are: far away, and not let in without TLS."""
        self.start("--proxy-from", "127.0.0.1", "--log-level", "debug")
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as wire:
            wire.sendall(b"PROXY TCP4 192.0.2.1 192.0.2.9 4660 110\r\n")
            reader = wire.makefile("rb")
            self.assertTrue(reader.readline().startswith(b"+OK"))
            wire.sendall(b"USER alice@example.org\r\nPROXY TCP4 127.0.0.1 192.0.2.9 1 110\r\n")
            self.assertTrue(reader.readline().startswith(b"-ERR"))
            self.assertTrue(reader.readline().startswith(b"-ERR"))
            self.assertEqual(reader.read(), b"")
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as wire:
            wire.sendall(b"USER alice@example.org\r\n")
            self.assertEqual(wire.recv(100), b"")
        self.assertIn("client=192.0.2.1:4660", self.stop())

    def test_holds_clients_to_their_limits(self):
        self.start("--limit-loopback", "--max-connections-per-client", "2/1h")
        self.dial().quit()
        self.dial().quit()
        with self.assertRaisesRegex(poplib.error_proto, r"-ERR \[SYS/TEMP\]"):
            self.dial()
        self.assertIn("too many connections of late", self.stop())

    def test_serves_under_a_service_manager(self):
        """A socket that is handed over instead of the usual one, and a word when it is ready."""
        path = self.path("notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, \
                socket.create_server(("127.0.0.1", 0)) as listener:
            notify.bind(path)
            notify.settimeout(PATIENCE)
            self.server = subprocess.Popen(
                ["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", os.path.abspath(POP3D),
                 "--users", self.users, "--mail-dir", self.path("mail")],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, close_fds=False,
                preexec_fn=lambda: os.dup2(os.dup(listener.fileno()), 3),
                env={"LISTEN_FDS": "1", "NOTIFY_SOCKET": path, "PATH": os.environ["PATH"]})
            self.port = listener.getsockname()[1]
            self.assertEqual(self.server.stdout.readline(),
                             "ready pop3=127.0.0.1:%d\n" % self.port)
            self.assertEqual(notify.recv(100), b"READY=1")
            self.log_in().quit()
            self.stop()
            self.assertEqual(notify.recv(100), b"STOPPING=1")

    def test_says_what_is_wrong(self):
        users = self.path("bad")
        with open(users, "w") as file:
            file.write("alice\n")
        cases = [
            (["--users", self.users, "--check"], 0, ""),
            (["--users", users, "--check"], 78, "pop3d: %s:1: not NAME:SECRET[:MAILBOX]\n" % users),
            (["--users", users], 78, "pop3d: %s:1: not NAME:SECRET[:MAILBOX]\n" % users),
            (["--users", self.path("none")], 78, "pop3d: %s: not found\n" % self.path("none")),
            ([], 64, "pop3d: --users: it is needed, to say who may log in\n"),
            (["--check"], 78, "pop3d: --users: it is needed, to say who may log in\n"),
            (["--users", self.users, "--pop3s", "127.0.0.1:0"], 78,
             "pop3d: --pop3s needs --tls-cert and --tls-key\n"),
            (["--users", self.users, "--check", *self.certificate("a", "pop.example")], 0, ""),
            (["--users", self.users, "--check", "--tls-cert", self.users], 78,
             "pop3d: --tls-cert and --tls-key: 1 and 0, not in pairs\n"),
            (["--users", self.users, "--check", "--tls-cert", self.users, "--tls-key", self.users], 78, None),
            (["--users", self.users, "--check", "--user", "nobody-of-that-name"], 78, None),
            (["--listen", "nowhere"], 64, None),
            (["--mailbox-format", "mbox"], 64, 'pop3d: --mailbox-format: "mbox" is not maildir\n'),
            (["more"], 64, "pop3d: unexpected argument more\n"),
        ]
        for args, code, text in cases:
            with self.subTest(args=args):
                got, out, err = self.run_once(*args)
                self.assertEqual((got, out), (code, ""))
                self.assertEqual(err.count("\n"), 0 if code == 0 else 1)
                if text is not None:
                    self.assertEqual(err, text)

    def test_takes_the_configuration_beside_the_units(self):
        self.certificate("chain", "mail.example.org")
        os.rename(self.path("chain.key"), self.path("key.pem"))
        sample = os.path.join(os.path.dirname(__file__), "../../examples/systemd/pop3d.conf")
        with open(sample) as file, open(self.path("conf"), "w") as conf:
            conf.write(file.read().replace("/etc/libmail", self.dir.name))
        self.assertEqual(self.run_once("--check", "--config", self.path("conf")), (0, "", ""))

    def test_prints_help_and_version(self):
        code, out, err = self.run_once("--help")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("--auth-insecure", out)
        self.assertLessEqual(manuals.headings_in_help(out), manuals.headings_in_manual("pop3d"))
        code, out, err = self.run_once("--version")
        self.assertRegex(out, r"^pop3d \d+\.\d+\.\d+\n$")

    def test_shows_its_numbers(self):
        self.start("--metrics", "127.0.0.1:0", *self.certificate("mine", "pop.test"))
        self.assertEqual(self.words, ["pop3", "metrics"])
        client = poplib.POP3("127.0.0.1", self.port, timeout=60)
        client.user("alice@example.org")
        client.pass_("secret")
        client.quit()
        with socket.create_connection(("127.0.0.1", self.port), 60) as wire:
            wire.sendall(b"GET / HTTP/1.0\r\n\r\n")
            while wire.recv(1000):
                pass
        with socket.create_connection(("127.0.0.1", self.last_port), 60) as wire:
            wire.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            numbers = wire.makefile().read()
        for line in ('libmail_certificate_expiry_timestamp_seconds{file="%s/mine.pem"} %d' %
                     (self.dir.name, certificates.expiry(self.dir.name, "mine")),
                     "libmail_pop3_sessions_total 2", 'libmail_pop3_logins_total{outcome="accepted"} 1',
                     'libmail_limited_total{limit="manners"} 1', 'libmail_limited_total{limit="session"} 0'):
            self.assertIn(line + "\n", numbers)

    def test_says_that_an_address_is_in_use(self):
        self.start()
        code, out, err = self.run_once("--users", self.users, "--listen", "127.0.0.1:%d" % self.port)
        self.assertEqual((code, out), (69, ""))
        self.assertEqual(err, "pop3d: 127.0.0.1:%d: cannot listen there: Address already in use\n" % self.port)


def main():
    result = unittest.main(exit=False).result
    bad = len(result.failures) + len(result.errors)
    print("[  PASSED  ] %d test(s)." % (result.testsRun - bad)) # as cmocka says it: tests/count.py counts
    if bad:
        print("[  FAILED  ] %d test(s), listed below:" % bad)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
