"""Starts and ends the programs that the interop tests bring together.

Everything runs on loopback, in a scratch folder, and is ended by the test that
started it, whatever happens. A port that has to be known before its server runs
is held for it, so that nobody else gets it meanwhile.
"""

import contextlib
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("MAIL_BUILD", ROOT / "build"))
RELAY = BUILD / "examples/relay/relay"
POP3D = BUILD / "examples/pop3d/pop3d"
SENDMAIL = BUILD / "tools/sendmail"
MAIL_MX = BUILD / "tools/mail-mx"
PEERS = ROOT / "subprojects/packagecache/peers"

#: How long anything may take before the test fails; sanitized builds on a busy machine are slow.
PATIENCE = float(os.environ.get("MAIL_TEST_PATIENCE", "180"))


def peer(name):
    """The path of a program that a distribution ships, or None."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    unpacked = PEERS / "usr/sbin" / name
    return found or (str(unpacked) if unpacked.exists() else None)


def needs(*names):
    missing = [n for n in names if peer(n) is None]
    return unittest.skipIf(missing, f"not installed: {', '.join(missing)}")


def peer_env():
    env = dict(os.environ)
    env["LD_LIBRARY_PATH"] = f"{PEERS}/usr/lib/postfix"
    return env


def wait_for(condition, what):
    """Waits until `condition()` is true and returns its value."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.005)
    raise AssertionError(f"waited in vain for {what}")


def make_certificate(folder):
    """A certificate for 127.0.0.1 that signs itself; paths of both parts."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=tests", "-addext", "subjectAltName=critical,IP:127.0.0.1",
         "-keyout", key, "-out", certificate],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return certificate, key


class Program:
    """A server with a `ready name=host:port …` line on standard output."""

    def __init__(self, argv, log, env=None):
        self.argv = [str(a) for a in argv]
        self.log_path = log
        self.log_file = open(log, "ab")
        self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=self.log_file, env=env)
        self.ready = {}

    def wait_ready(self):
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        line = self.process.stdout.readline().decode() if ready else ""
        if not line.startswith("ready"):
            raise AssertionError(f"{self.argv[0]} did not get ready: {line!r}\n{self.log()}")
        for word in line.split()[1:]:
            name, address = word.split("=", 1)
            self.ready.setdefault(name, []).append(address)
        return self

    def address(self, name, index=0):
        host, port = self.ready[name][index].rsplit(":", 1)
        return host.strip("[]"), int(port)

    def log(self):
        """What it has said so far, without a line that may still be under way."""
        has_ended = self.process.poll() is not None
        text = pathlib.Path(self.log_path).read_text(errors="replace")
        return text if has_ended else text[:text.rfind("\n") + 1]

    def stop(self, sig=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(sig)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError(f"{self.argv[0]} did not end by itself\n{self.log()[-2000:]}")
        self.process.stdout.close()
        self.log_file.close()
        return self.process.returncode


class World(unittest.TestCase):
    """A test with a scratch folder that ends what it started."""

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="libmail-interop."))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.logs = {}

    def run(self, result=None):
        """Shows the programs' logs when a test fails."""
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before:
            for name, text in getattr(self, "logs", {}).items():
                print(f"--- log of {name}\n{text[-3000:]}", file=sys.stderr)
        return result

    def port(self, *addresses):
        """A port of `addresses` (127.0.0.1) that is ours until the end: it is bound, and refuses what comes
        until a server listens there, which any can that sets SO_REUSEADDR."""
        for _ in range(100):
            with contextlib.ExitStack() as stack:
                port = 0
                with contextlib.suppress(OSError):
                    for address in addresses or ("127.0.0.1",):
                        held = stack.enter_context(socket.socket())
                        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                        held.bind((address, port))
                        port = held.getsockname()[1]
                    self.addCleanup(stack.pop_all().close)
                    return port
        raise AssertionError("no free port")

    def start(self, name, argv, env=None):
        program = Program(argv, self.dir / f"{name}.log", env)
        self.addCleanup(self._stop, name, program)
        return program

    def _stop(self, name, program):
        try:
            code = program.stop()
        finally:
            self.logs[name] = program.log()
        self.assertIn(code, (0, -signal.SIGKILL), f"{name} ended with {code}")
        self.assertNotIn("Sanitizer", program.log())
        self.assertNotIn("runtime error:", program.log())

    def relay(self, *options, name="relay"):
        spool = self.dir / f"{name}.spool"
        mail = self.dir / f"{name}.mail"
        argv = [RELAY, "--listen", "127.0.0.1:0", "--spool", spool, "--mail-dir", mail]
        if "--hostname" not in options:
            argv += ["--hostname", f"{name}.test"]
        if "--resolver" not in options:
            argv += ["--resolver", "127.0.0.1:9"]
        program = self.start(name, [*argv, "--log-level", "debug", *options]).wait_ready()
        program.mail = mail
        program.spool = spool
        return program

    def pop3d(self, mail, users, *options, name="pop3d"):
        argv = [POP3D, "--listen", "127.0.0.1:0", "--mail-dir", mail, "--users", users, *options]
        return self.start(name, argv).wait_ready()

    def dns(self, records, name="dns"):
        """A real DNS server with `records`, zone file lines; all else is NXDOMAIN. Its address."""
        conf = self.dir / f"{name}.conf"
        data = "\n".join(f"  local-data: '{r}'" for r in records)
        for _ in range(5):
            port = self.port()  # for TCP; whoever has it for UDP keeps it, and another is tried
            conf.write_text(f"""
server:
  interface: 127.0.0.1@{port}
  port: {port}
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "{self.dir}"
  pidfile: ""
  use-syslog: no
  logfile: ""
  num-threads: 1
  so-reuseport: no
  module-config: "iterator"
  access-control: 127.0.0.0/8 allow
  local-zone: "." static
{data}
remote-control:
  control-enable: no
""")
            log = open(self.dir / f"{name}.log", "ab")
            process = subprocess.Popen([peer("unbound"), "-d", "-c", str(conf)], stdout=log, stderr=log,
                                       stdin=subprocess.DEVNULL)
            log.close()
            if self._dns_answers(process, port):
                self.addCleanup(process.wait)
                self.addCleanup(process.terminate)
                return f"127.0.0.1:{port}"
            process.wait()
        raise AssertionError((self.dir / f"{name}.log").read_text())

    @staticmethod
    def _dns_answers(process, port):
        query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.1)
            s.connect(("127.0.0.1", port))
            end = time.monotonic() + PATIENCE
            while process.poll() is None and time.monotonic() < end:
                try:
                    s.send(query)
                    return bool(s.recv(512))
                except OSError:
                    time.sleep(0.01)
        return False

    # Mailboxes -----------------------------------------------------------

    @staticmethod
    def messages(maildir):
        """The messages of a Maildir, as bytes, in the order of their names."""
        found = []
        for part in ("new", "cur"):
            folder = pathlib.Path(maildir) / part
            if folder.is_dir():
                found += list(folder.iterdir())
        return [p.read_bytes() for p in sorted(found, key=lambda p: p.name)]

    def wait_messages(self, maildir, count=1):
        wait_for(lambda: len(self.messages(maildir)) >= count, f"{count} message(s) in {maildir}")
        messages = self.messages(maildir)
        self.assertEqual(len(messages), count)
        return messages


def body_of(message):
    """What follows the header of a stored message."""
    return message.split(b"\n\n", 1)[1]


class Result(unittest.TextTestResult):
    """One line a test, as cmocka prints them, so that all tests are counted alike."""

    def addSuccess(self, test):
        super().addSuccess(test)
        print(f"[       OK ] {test.id()}", flush=True)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        print(f"[  SKIPPED ] {test.id()}: {reason}", flush=True)


def main():
    runner = unittest.TextTestRunner(resultclass=Result, verbosity=0, stream=sys.stderr)
    result = unittest.main(module="__main__", testRunner=runner, exit=False).result
    bad = result.failures + result.errors
    failed = len({test.id() for test, _ in bad})
    skipped = len(result.skipped)
    print(f"[  PASSED  ] {result.testsRun - failed - skipped} test(s).")
    if skipped:
        print(f"[  SKIPPED ] {skipped} test(s).")
    if failed:
        print(f"[  FAILED  ] {failed} test(s), listed below:")
        for test, text in bad:
            print(f"[  FAILED  ] {test.id()}\n{text}")
    sys.exit(1 if failed else 0)
