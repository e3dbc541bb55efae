#!/usr/bin/env python3
"""One spool for all users of a host: who may do what to whom by drop/ (HOSTILE sections 7 and 12)."""

import os
import pwd
import re
import subprocess
import unittest

from harness import PATIENCE, SENDMAIL, World, main, wait_for

GROUP = 46510  # whose right it is to make files in drop
ALICE, BOB = 46511, 46512
QUEUE = SENDMAIL.parent / "mail-queue"
#: In a program with more rights than its caller the loader finds no library beside it.
LOADER = [re.search(rb"/[^\0]*/ld[^\0/]*\.so[^\0]*", SENDMAIL.read_bytes()).group().decode(), "--library-path",
          str(SENDMAIL.parent.parent)]
GOOD = b"libmail drop 1\nsender bob@a.example\nto 0 - good@b.example\n\nSubject: good\r\n\r\n"


def become(uid, group):
    """As a program of that user with the rights of a group is started."""
    def change():
        os.setgroups([])
        os.setresgid(uid, group, group)
        os.setresuid(uid, uid, uid)
    return change


@unittest.skipUnless(os.geteuid() == 0, "only root can be several users")
class Shared(World):
    def setUp(self):
        super().setUp()
        self.owner = pwd.getpwnam("nobody")
        self.dir.chmod(0o711)
        self.spool = self.dir / "relay.spool"
        self.drop = self.spool / "drop"
        self.drop.mkdir(parents=True)
        for folder, mode in ((self.spool, 0o710), (self.drop, 0o1730)):
            os.chown(folder, self.owner.pw_uid, GROUP)
            folder.chmod(mode)

    def serve(self):
        return self.relay("--capture", "--user", "nobody")

    def send(self, uid, group=GROUP, code=0, arguments=(), text=b"Subject: hi\n\nhello\n"):
        done = subprocess.run([*LOADER, str(SENDMAIL), "--spool", str(self.spool), *arguments, "b1@b.example"], input=text,
                              timeout=PATIENCE, preexec_fn=become(uid, group), stderr=subprocess.PIPE, cwd="/",
                              env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"})
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stderr

    def attempt(self, uid, group, code):
        """What Python says when that user runs `code`: nothing, or the name of an error."""
        script = f"import os\ntry:\n    {code}\nexcept OSError as e:\n    print(type(e).__name__)"
        return subprocess.run(["python3", "-c", script], preexec_fn=become(uid, group), stdout=subprocess.PIPE,
                              timeout=PATIENCE, cwd="/").stdout.decode().strip()

    def test_users_send_by_a_spool_that_is_not_theirs(self):
        self.send(ALICE)
        relay = self.serve()
        self.send(BOB, arguments=["-odi"])  # it is the owner's now
        self.wait_messages(relay.mail / "b.example" / "b1", 2)
        for uid in (ALICE, BOB):
            wait_for(lambda: f" uid={uid} " in relay.log() or f" uid={uid}\n" in relay.log(), f"uid {uid}")
        self.assertNotIn("drop is open", relay.log())

    def test_without_the_group_nothing_is_stored(self):
        self.send(ALICE, group=ALICE, code=77)
        self.assertEqual(list(self.drop.iterdir()), [])

    def test_nobody_sees_reads_or_removes_what_others_drop(self):
        self.send(ALICE)
        [file] = self.drop.iterdir()
        for group in (BOB, GROUP):  # even with the group's rights
            for code in (f"os.listdir({str(self.drop)!r})", f"os.unlink({str(file)!r})",
                         f"os.rename({str(file)!r}, {str(file)!r} + 'x')", f"open({str(file)!r}, 'r+')",
                         f"os.listdir({str(self.spool)!r})", f"open({str(self.spool)!r} + '/x', 'w')"):
                self.assertEqual(self.attempt(BOB, group, code), "PermissionError", (group, code))
        self.assertEqual(self.attempt(BOB, BOB, f"open({str(file)!r})"), "PermissionError")
        for argv in ([str(QUEUE), "--spool", str(self.spool), "remove", "--all"],
                     [*LOADER, str(SENDMAIL), "--spool", str(self.spool), "--tls-ca", str(file), "x@b.example"]):
            done = subprocess.run(argv, preexec_fn=become(BOB, GROUP if str(SENDMAIL) in argv else BOB), cwd="/",
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  timeout=PATIENCE)
            self.assertIn(done.returncode, (66, 77), done)
            self.assertNotIn(b"alice", done.stdout + done.stderr)
        self.assertTrue(file.exists())

    def test_nothing_that_is_put_there_harms_the_others(self):
        secret = self.dir / "secret"
        secret.write_bytes(GOOD.replace(b"good", b"secret"))
        secret.chmod(0o600)
        drop = str(self.drop)
        for code in (f"os.symlink({str(secret)!r}, {drop!r} + '/a.mail')", f"os.mkfifo({drop!r} + '/b.mail', 0o666)",
                     f"os.mkdir({drop!r} + '/c.mail', 0o777)", f"open({drop!r} + '/d.mail', 'w').write('nonsense')",
                     f"os.close(os.open({drop!r} + '/e.mail', os.O_CREAT | os.O_WRONLY, 0))",
                     f"os.symlink('/dev/zero', {drop!r} + '/f.mail')",
                     f"open({drop!r} + '/g.mail', 'w').write('libmail drop 1\\nsender x\\n' + 'to 0 - x\\n' * 100001)",
                     f"open({drop!r} + '/h.mail', 'wb').write({GOOD!r}) and os.chmod({drop!r} + '/h.mail', 0o644)"):
            self.assertEqual(self.attempt(BOB, GROUP, code), "", code)
        self.send(ALICE)
        relay = self.serve()
        self.wait_messages(relay.mail / "b.example" / "b1")
        self.wait_messages(relay.mail / "b.example" / "good")
        wait_for(lambda: len(list(self.drop.glob("*.mail"))) == 0, "all files to be dealt with")
        self.assertEqual(sorted(p.name for p in self.drop.iterdir()), [f"{c}.mail.bad" for c in "abcdefg"])
        self.assertFalse((relay.mail / "b.example" / "secret").exists())
        checked = subprocess.run([str(QUEUE), "--spool", str(self.spool), "check"], stderr=subprocess.PIPE,
                                 stdout=subprocess.PIPE, timeout=PATIENCE)
        self.assertEqual((checked.returncode, checked.stderr.count(b"set aside")), (65, 7), checked)

    def test_nothing_that_stays_there_keeps_the_others_waiting(self):
        """Files that hold less than they are long, and more of those that can't be set aside than are remembered."""
        drop = str(self.drop)
        relay = self.serve()
        for code in (f"f = open({drop!r} + '/0.part', 'wb'); f.write({GOOD!r}); f.truncate(1 << 42); f.close(); "
                     f"os.chmod({drop!r} + '/0.part', 0o644); os.rename({drop!r} + '/0.part', {drop!r} + '/0.mail')",
                     f"[(os.mkdir({drop!r} + '/0%d.mail.bad' % n), open({drop!r} + '/0%d.mail' % n, 'w')) "
                     "for n in range(100)]"):
            self.assertEqual(self.attempt(BOB, GROUP, code), "", code)
        wait_for(lambda: "refused file=0.mail" in relay.log() and
                 "neither taken from drop nor set aside" in relay.log(), "the log")
        for count in range(1, 4):
            self.send(ALICE)
            self.wait_messages(relay.mail / "b.example" / "b1", count)

    def test_other_modes_are_warned_about(self):
        for mode, reason in ((0o730, "remove and rename each other"), (0o1770, "see whose mail there is")):
            self.drop.chmod(mode)
            relay = self.serve()
            wait_for(lambda: "drop is open" in relay.log() and reason in relay.log(), reason)
            relay.stop()


if __name__ == "__main__":
    main()
