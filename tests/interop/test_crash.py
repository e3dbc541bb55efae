#!/usr/bin/env python3
"""A relay that is killed at work, again and again, and spools that are not for it.

Two things hold whenever it happens: what was acknowledged is delivered, whole, and
only what was under way may come twice. By hand, with more kills: --kills 100 --seed 7
"""

import collections
import fcntl
import hashlib
import json
import os
import random
import re
import signal
import smtplib
import subprocess
import sys
import threading

from harness import PATIENCE, RELAY, SENDMAIL, World, main, wait_for

MAIL_QUEUE = SENDMAIL.parent / "mail-queue"
CLIENTS = 6
ACKNOWLEDGED_A_LIFE = (10, 60)


def argument(name, default):
    """Takes `--name N` off the command line."""
    if f"--{name}" in sys.argv:
        at = sys.argv.index(f"--{name}")
        value = int(sys.argv[at + 1])
        del sys.argv[at:at + 2]
        return value
    return default


KILLS = argument("kills", 4)
SEED = argument("seed", random.randrange(1 << 30))


class Load:
    """Clients that send until they are told to stop, and know what was acknowledged."""

    def __init__(self, seed):
        self.lock = threading.Condition()
        self.address = None
        self.stopped = False
        self.acknowledged = set()
        self.threads = [threading.Thread(target=self.run, args=(n, random.Random(seed + n)), daemon=True)
                        for n in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def message(self, name, chance):
        size = chance.choice((10, 500, 5000, 300000 if chance.random() < 0.1 else 1000))
        body = "".join(f"{chance.randrange(1 << 200):060x}\r\n" for _ in range(1 + size // 62))
        digest = hashlib.sha256(body.encode()).hexdigest()
        return f"Subject: {name}\r\nX-Name: {name}\r\nX-Digest: {digest}\r\n\r\n{body}"

    def run(self, number, chance):
        sent = 0
        while True:
            with self.lock:
                self.lock.wait_for(lambda: self.stopped or self.address is not None)
                if self.stopped:
                    return
                address = self.address
            try:
                with smtplib.SMTP(*address, local_hostname="client.test", timeout=PATIENCE) as client:
                    while not self.stopped:
                        name = f"{number}-{sent}"
                        sent += 1
                        to = [f"u@{d}" for d in chance.sample(("here.example", "away.example"), chance.choice((1, 2)))]
                        client.sendmail("me@here.example", to, self.message(name, chance))
                        with self.lock:
                            self.acknowledged.update((name, rcpt) for rcpt in to)
                            self.lock.notify_all()
            except (OSError, smtplib.SMTPException):
                with self.lock:
                    if self.address is address:  # a new relay may have got the same port
                        self.address = None

    def serve(self, address, count):
        """Lets the clients send to `address` until `count` more were acknowledged."""
        with self.lock:
            self.address = address
            self.lock.notify_all()
            target = len(self.acknowledged) + count
            if not self.lock.wait_for(lambda: len(self.acknowledged) >= target, PATIENCE):
                raise AssertionError("nothing more is acknowledged")

    def stop(self):
        with self.lock:
            self.stopped = True
            self.lock.notify_all()
        for thread in self.threads:
            thread.join(PATIENCE)


class Crash(World):
    def found(self, maildir):
        """How often each message lies there; each must be whole."""
        names = collections.Counter()
        for stored in self.messages(maildir):
            head, body = stored.replace(b"\r\n", b"\n").split(b"\n\n", 1)
            digest = re.search(rb"^X-Digest: (\w+)$", head, re.M).group(1).decode()
            whole = hashlib.sha256(body.replace(b"\n", b"\r\n")).hexdigest()
            self.assertEqual(digest, whole, "half a message was delivered")
            names[re.search(rb"^X-Name: (\S+)$", head, re.M).group(1).decode()] += 1
        return names

    def queued(self, spool):
        done = subprocess.run([str(MAIL_QUEUE), "--spool", str(spool), "--json", "list"],
                              stdout=subprocess.PIPE, timeout=PATIENCE, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_loses_nothing_that_was_acknowledged(self):
        """QR-010"""
        print(f"seed {SEED}, {KILLS} kills", flush=True)
        chance = random.Random(SEED)
        away = self.relay("--local", "away.example", name="away")
        host, port = away.address("smtp")
        load = Load(SEED)
        self.addCleanup(load.stop)
        for life in range(KILLS + 1):
            relay = self.relay("--local", "here.example", "--route", f"away.example={host}:{port}",
                               "--retry", "1s", "--log-level", "warn", name="relay")
            load.serve(relay.address("smtp"), chance.randrange(*ACKNOWLEDGED_A_LIFE))
            if life < KILLS:
                relay.stop(signal.SIGKILL)
        load.stop()
        for program in relay, away:  # the other has it in its own queue, and delivers it later
            wait_for(lambda: not self.queued(program.spool), "an empty queue")

        stats = subprocess.run([str(MAIL_QUEUE), "--spool", str(relay.spool), "--json", "check"],
                               stdout=subprocess.PIPE, timeout=PATIENCE)
        self.assertEqual(stats.returncode, 0, stats.stdout)
        got = {"u@here.example": self.found(relay.mail / "here.example/u"),
               "u@away.example": self.found(away.mail / "away.example/u")}
        lost = [(name, rcpt) for name, rcpt in load.acknowledged if got[rcpt][name] == 0]
        self.assertEqual(lost, [])
        again = sum(n - 1 for names in got.values() for n in names.values())
        print(f"{len(load.acknowledged)} acknowledged, {again} came twice", flush=True)
        # At most what each life had under way: local workers, sessions, and clients.
        self.assertLessEqual(again, KILLS * (16 + 20 + CLIENTS))


class Spools(World):
    """QR-012, QR-013: what is not ours to use is left as it is, with a word on it."""

    def contents(self, folder):
        return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None
                for p in sorted(folder.rglob("*"))}

    def refuses(self, spool, says, tools=True):
        before = self.contents(spool)
        argv = [[RELAY, "--listen", "127.0.0.1:0", "--spool", spool, "--mail-dir", self.dir / "m",
                 "--resolver", "127.0.0.1:9", "--hostname", "x.test"]]
        if tools:
            argv.append([SENDMAIL, "--spool", spool, "-f", "a@b.example", "c@d.example"])
        for words in argv:
            done = subprocess.run([str(w) for w in words], input=b"Subject: x\n\nx\n", stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, timeout=PATIENCE)
            self.assertNotIn(done.returncode, (0, 64, 70), done.stderr)
            self.assertEqual(done.stdout, b"")
            self.assertEqual(done.stderr.count(b"\n"), 1, done.stderr)
            if words[0] == RELAY:
                self.assertIn(says, done.stderr.decode())
        self.assertEqual(self.contents(spool), before)

    def made(self):
        """A spool that a relay has used."""
        relay = self.relay(name="first")
        self.assertEqual(relay.stop(), 0)
        return relay.spool

    def test_a_folder_of_somebody_else(self):
        folder = self.dir / "folder"
        folder.mkdir()
        (folder / "thesis.txt").write_text("all my work")
        self.refuses(folder, "no spool of ours")

    def test_a_spool_of_a_newer_version(self):
        spool = self.made()
        with open(spool / "spool", "r+b") as f:
            f.seek(8)
            f.write(b"\2")
        self.refuses(spool, "newer version", tools=False)

    def test_a_spool_file_that_was_cut(self):
        spool = self.made()
        os.truncate(spool / "spool", 20)
        self.refuses(spool, "none of libmail's", tools=False)

    def test_a_spool_of_another_user(self):
        if os.geteuid() != 0:
            self.skipTest("only the superuser can give folders away")
        folder = self.dir / "folder"
        folder.mkdir()
        os.chown(folder, 1, 1)
        self.refuses(folder, "belongs to another user", tools=False)  # what root drops is given to the owner

    def test_a_folder_that_cannot_be_made(self):
        done = subprocess.run([str(RELAY), "--spool", "/proc/no/spool", "--hostname", "x.test",
                               "--listen", "127.0.0.1:0"], stderr=subprocess.PIPE, timeout=PATIENCE)
        self.assertNotIn(done.returncode, (0, 64, 70))
        self.assertEqual(done.stderr.count(b"\n"), 1, done.stderr)

    def mounted(self, size="16m"):
        """A small file system of its own, where the system lets us have one."""
        folder = self.dir / "mounted"
        folder.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "none", str(folder)]
        if subprocess.run(words, stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest("nothing may be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", str(folder)], check=True)
        return folder

    def test_a_full_file_system(self):
        """QR-011: refused before it is full, and nothing that was there is lost."""
        spool = self.mounted() / "spool"
        mail = self.dir / "full.mail"
        relay = self.start("full", [RELAY, "--listen", "127.0.0.1:0", "--spool", spool, "--mail-dir", mail,
                                    "--resolver", "127.0.0.1:9", "--hostname", "full.test"]).wait_ready()
        with smtplib.SMTP(*relay.address("smtp"), "client.test", PATIENCE) as client:
            client.ehlo()
            code, text = client.mail("a@b.example")
        self.assertEqual((code, text[:5]), (452, b"4.3.1"))
        self.assertEqual(relay.stop(), 0)
        done = subprocess.run([str(MAIL_QUEUE), "--spool", str(spool), "check"], stdout=subprocess.PIPE,
                              timeout=PATIENCE)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_a_limit_on_the_length_of_files(self):
        """A segment that can't be made as long as it should be is refused by the system, with a signal."""
        limit = ["prlimit", f"--fsize={8 << 20}:{8 << 20}"]
        relay = self.start("relay", [*limit, RELAY, "--listen", "127.0.0.1:0", "--spool", self.dir / "s", "--mail-dir",
                                     self.dir / "m", "--hostname", "x.test", "--route", "*=hold"]).wait_ready()
        codes = set()
        with smtplib.SMTP(*relay.address("smtp"), "client.test", PATIENCE) as client:
            client.ehlo()
            while not codes & {452, 451}:
                client.rset()
                code, _ = client.mail("a@b.example")
                if code == 250:
                    client.rcpt("c@d.example")
                    code, _ = client.data("Subject: x\r\n\r\n" + ("x" * 70 + "\r\n") * 10000)
                codes.add(code)
        self.assertIn(250, codes)
        self.assertEqual(relay.stop(), 0)
        done = subprocess.run([*limit, str(SENDMAIL), "--spool", str(self.dir / "new"), "c@d.example"],
                              input=b"Subject: x\n\n" + b"x\n" * (8 << 20), stderr=subprocess.PIPE, timeout=PATIENCE)
        self.assertIn(done.returncode, (74, 75))

    def test_a_read_only_file_system(self):
        folder = self.mounted("80m")
        relay = self.start("before", [RELAY, "--listen", "127.0.0.1:0", "--spool", folder / "spool", "--mail-dir",
                                      self.dir / "m", "--resolver", "127.0.0.1:9", "--hostname", "x.test"]).wait_ready()
        self.assertEqual(relay.stop(), 0)
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        self.refuses(folder / "spool", "cannot open the spool")
        done = subprocess.run([str(MAIL_QUEUE), "--spool", str(folder / "spool"), "list"], stdout=subprocess.PIPE,
                              timeout=PATIENCE)
        self.assertEqual((done.returncode, done.stdout), (0, b"Mail queue is empty\n"))

    def test_a_spool_in_use(self):
        first = self.relay(name="first")
        second = subprocess.run([str(RELAY), "--listen", "127.0.0.1:0", "--spool", str(first.spool),
                                 "--mail-dir", str(self.dir / "m"), "--hostname", "x.test"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE)
        self.assertNotIn(second.returncode, (0, 64, 70))
        self.assertEqual(second.stdout, b"")
        self.assertIn("in use by another process", second.stderr.decode())
        with smtplib.SMTP(*first.address("smtp"), "client.test", PATIENCE) as client:
            self.assertEqual(client.noop()[0], 250)

    def test_a_spool_that_a_command_has_for_a_moment(self):
        first = self.relay(name="first")
        self.assertEqual(first.stop(), 0)
        with open(first.spool / "spool", "rb") as spool:
            fcntl.flock(spool, fcntl.LOCK_EX)
            again = self.start("again", [RELAY, "--listen", "127.0.0.1:0", "--spool", first.spool, "--mail-dir",
                                         self.dir / "m", "--hostname", "x.test", "--log-level", "debug"])
            wait_for(lambda: "waiting for the spool" in again.log(), "the wait")
        again.wait_ready()


if __name__ == "__main__":
    main()
