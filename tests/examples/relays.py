"""Relays for tests: started by their command line, each in a folder of its own."""

import contextlib
import glob
import os
import re
import signal
import smtplib
import socket
import subprocess
import sys
import tempfile
import time
import traceback

RELAY = os.path.abspath(sys.argv.pop(1))
PATIENCE = 180  # seconds until what must happen has happened, on a slow and busy machine


class Relay:
    """A relay in a folder of its own."""

    def __init__(self, home, *options):
        self.home = home
        self.log = os.path.join(home, "log")
        self.process = subprocess.Popen(
            [RELAY, "--hostname", "mx.test", "--spool", "spool", "--mail-dir", "mail", *options],
            cwd=home, stdout=subprocess.PIPE, stderr=open(self.log, "a"), text=True)
        self.ready = self.process.stdout.readline().rstrip("\n")

    def port(self, index=0):
        return int(re.findall(r"=127\.0\.0\.1:(\d+)", self.ready)[index])

    def smtp(self, index=0):
        return smtplib.SMTP("127.0.0.1", self.port(index), "client.test", PATIENCE)

    def send(self, sender, recipients, text="Subject: hello\r\n\r\nbody\r\n"):
        with self.smtp() as client:
            return client.sendmail(sender, recipients, text)

    def lines(self):
        """What it has said so far, without a line that may still be under way."""
        with open(self.log) as log:
            text = log.read()
        return text[:text.rfind("\n") + 1].splitlines()

    def mailbox(self, address):
        local, domain = address.split("@")
        return sorted(glob.glob(os.path.join(self.home, "mail", domain, local, "new", "*")))

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        code = self.process.wait(PATIENCE)
        self.process.stdout.close()
        return code


@contextlib.contextmanager
def relay(*options, home=None):
    with contextlib.ExitStack() as stack:
        home = home or stack.enter_context(tempfile.TemporaryDirectory())
        server = Relay(home, *options)
        try:
            yield server
        except Exception:
            print("--- its log", *server.lines()[-50:], sep="\n")
            raise
        finally:
            if server.process.poll() is None:
                assert server.stop() == 0, server.lines()
            elif not server.process.stdout.closed:
                server.process.stdout.close()


def until(condition, what):
    limit = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < limit, what
        time.sleep(0.01)


@contextlib.contextmanager
def held_port():
    """A port that nobody else gets: bound, it refuses what comes until a relay listens there."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def content(path):
    with open(path) as file:
        return file.read()


def run(*options, home=None):
    return subprocess.run([RELAY, *options], cwd=home, capture_output=True, text=True,
                          timeout=PATIENCE)


ANY = ("--listen", "127.0.0.1:0")


def play(tests):
    """Runs those that the command line names, or all, and says so as cmocka does: tests/count.py
    counts."""
    failed = []
    chosen = [test for test in tests if len(sys.argv) == 1 or test.__name__ in sys.argv[1:]]
    for test in chosen:
        began = time.monotonic()
        try:
            test()
            print(f"[       OK ] {test.__name__} ({time.monotonic() - began:.1f} s)")
        except Exception:  # goes on with the others
            failed.append(test.__name__)
            print(f"[  FAILED  ] {test.__name__}\n{traceback.format_exc()}")
    print(f"[  PASSED  ] {len(chosen) - len(failed)} test(s).")
    if failed:
        print(f"[  FAILED  ] {len(failed)} test(s), listed below:", *failed, sep="\n")
    sys.exit(1 if failed else 0)
