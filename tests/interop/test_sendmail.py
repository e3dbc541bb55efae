#!/usr/bin/env python3
"""sendmail as scripts, languages and mail programs call it."""

import email
import email.policy
import getpass
import os
import subprocess

from harness import PATIENCE, SENDMAIL, World, body_of, main, needs, wait_for

TEXT = b"From: alice@a.example\nTo: bob@b.example\nSubject: hi\n\nhello\n"
CRON = b"From: root (Cron Daemon)\nTo: bob@b.example\nSubject: Cron <root@host> true\n\noutput\n"

#: caller, arguments, standard input, envelope sender (None: the user's), recipients
CALLERS = [
    ("cronie", ["-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t", "-f", "root@a.example"], CRON,
     "root@a.example", ["bob@b.example"]),
    ("cronie 1.7.0", ["-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t", "-f", "<>"], CRON, "", ["bob@b.example"]),
    ("Vixie cron", ["-FCronDaemon", "-odi", "-oem", "-oi", "-t"], CRON, None, ["bob@b.example"]),
    ("Debian cron", ["-FCronDaemon", "-i", "-B8BITMIME", "-oem", "bob@b.example"], CRON, None, ["bob@b.example"]),
    ("older cron", ["-FCronDaemon", "-odi", "-oem", "-or0s", "bob@b.example"], CRON, None, ["bob@b.example"]),
    ("sudo, mdadm, logwatch", ["-t"], TEXT, None, ["bob@b.example"]),
    ("fail2ban", ["-f", "fail2ban@a.example", "bob@b.example"], TEXT, "fail2ban@a.example", ["bob@b.example"]),
    ("PHP", ["-t", "-i", "-fbounce@a.example"], TEXT.replace(b"\n", b"\r\n"), "bounce@a.example", ["bob@b.example"]),
    ("PHP users", ["-ti"], TEXT, None, ["bob@b.example"]),
    ("PHPMailer", ["-oi", "-f", "x@a.example", "-t"], TEXT, "x@a.example", ["bob@b.example"]),
    ("Symfony", ["-t", "-i", "-fx@a.example", "--"], TEXT, "x@a.example", ["bob@b.example"]),
    ("Rails", ["-i", "-f", "x@a.example", "--", "b1@b.example", "b2@b.example"], TEXT, "x@a.example",
     ["b1@b.example", "b2@b.example"]),
    ("Email::Sender", ["-f", "x@a.example", "b1@b.example", "b2@b.example"], TEXT, "x@a.example",
     ["b1@b.example", "b2@b.example"]),
    ("MIME::Lite", ["-t", "-oi", "-oem"], TEXT, None, ["bob@b.example"]),
    ("nodemailer", ["-i", "-f", "x@a.example", "b1@b.example"], TEXT, "x@a.example", ["b1@b.example"]),
    ("mutt", ["-oem", "-oi", "-B8BITMIME", "-f", "x@a.example", "-N", "success,failure", "-R", "hdrs", "--",
              "b1@b.example,b2@b.example"], TEXT, "x@a.example", ["b1@b.example", "b2@b.example"]),
    ("Emacs", ["-oi", "-oem", "-odb", "-t", "-fx@a.example"], TEXT, "x@a.example", ["bob@b.example"]),
    ("mailx", ["-i", "-m", "-r", "x@a.example", "b1@b.example"], TEXT, "x@a.example", ["b1@b.example"]),
    ("git send-email", ["-f", "x@a.example", "-i", "b1@b.example", "b2@b.example"], TEXT, "x@a.example",
     ["b1@b.example", "b2@b.example"]),
    ("git format-patch", ["-t"], b"From 0123456789 Mon Sep 17 00:00:00 2001\n" + TEXT, None, ["bob@b.example"]),
    ("RT", ["-oi", "-t", "-ODeliveryMode=b", "-OErrorMode=m"], TEXT, None, ["bob@b.example"]),
    ("options behind recipients", ["b1@b.example", "-i"], TEXT, None, ["b1@b.example"]),
    ("display names", ["-i", "Bob Builder <b1@b.example>, <b2@b.example>"], TEXT, None,
     ["b1@b.example", "b2@b.example"]),
    ("old letters", ["-U", "-n", "-d0.1", "-h", "5", "-L", "tag", "-X", "/dev/null", "-oMr", "smtp", "-oX", "-x",
                     "b1@b.example"], TEXT, None, ["b1@b.example"]),
]


class Sendmail(World):
    def setUp(self):
        super().setUp()
        self.server = self.relay("--capture")

    def call(self, arguments, stdin=TEXT, code=0, spool=None, name=None):
        env = dict(os.environ, LIBMAIL_SPOOL=str(spool or self.server.spool))
        env.pop("NAME", None)
        if name is not None:
            env["NAME"] = name
        done = subprocess.run([str(SENDMAIL), *map(str, arguments)], input=stdin, env=env, timeout=PATIENCE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, code, done.stderr.decode(errors="replace"))
        self.assertEqual(done.stdout, b"")
        return done.stderr.decode()

    def box(self, address):
        local, domain = address.rsplit("@", 1)
        return self.server.mail / domain / local

    def taken(self, recipients, number=1):
        """The newest message that each recipient has got."""
        return [self.wait_messages(self.box(r), number)[-1] for r in recipients]

    def test_callers(self):
        seen = {}
        for name, arguments, stdin, sender, recipients in CALLERS:
            with self.subTest(name):
                self.call(arguments, stdin)
                for r in recipients:
                    seen[r] = seen.get(r, 0) + 1
                    message, = self.taken([r], seen[r])
                    first = message.split(b"\n", 1)[0].decode()
                    if sender is not None:
                        self.assertEqual(first, f"Return-Path: <{sender}>")
                    else:
                        self.assertTrue(first.startswith(f"Return-Path: <{getpass.getuser()}@"), first)
                    parsed = email.message_from_bytes(message)
                    for field in ("Date", "Message-ID", "From"):
                        self.assertEqual(len(parsed.get_all(field)), 1, field)
                    self.assertIn(body_of(stdin.replace(b"\r\n", b"\n")), message)

    def test_header_recipients_are_all_found_and_bcc_goes(self):
        text = (b"From: alice@a.example\nTo: b1@b.example, \"B, Two\" <b2@b.example>,\n team: b3@b.example, "
                b"b4@b.example;\nCc: b5@b.example (five)\nBcc: b6@b.example\nSubject: x\n\nx\n")
        self.call(["-t", "-oi", "b7@b.example"], text)
        for message in self.taken([f"b{n}@b.example" for n in range(1, 8)]):
            self.assertNotIn(b"b6@b.example", message.split(b"\n", 3)[3])

    def test_dots(self):
        self.call(["b1@b.example"], b"Subject: x\n\none\n.\ntwo\n")
        self.call(["-i", "b2@b.example"], b"Subject: x\n\none\n.\ntwo\n..\n")
        first, second = self.taken(["b1@b.example", "b2@b.example"])
        self.assertEqual(body_of(first), b"one\n")
        self.assertEqual(body_of(second), b"one\n.\ntwo\n..\n")

    def test_no_header_at_all(self):
        self.call(["-F", "Jürgen Müller", "-f", "j@a.example", "b1@b.example"], b"just text\n")
        message, = self.taken(["b1@b.example"])
        parsed = email.message_from_bytes(message, policy=email.policy.default)
        self.assertEqual(parsed["From"].addresses[0].display_name, "Jürgen Müller")
        self.assertEqual(body_of(message), b"just text\n")

    def test_empty_input(self):
        self.call(["b1@b.example"], b"")
        self.assertEqual(body_of(self.taken(["b1@b.example"])[0]), b"")

    def test_large_message_arrives_whole(self):
        body = b"".join(b"%09d\n" % n for n in range(2000000))
        self.call(["-i", "b1@b.example"], b"Subject: x\n\n" + body)
        self.assertEqual(body_of(self.taken(["b1@b.example"])[0]), body)

    def test_bad_usage_is_one_line_and_64(self):
        for arguments in ([], ["--no-such-option", "x@b.example"], ["-f"], ["-f", "a b@c", "x@b.example"], ["-t", "--wait=x"],
                          ["x@b@c.example"], ["-bd"], ["-M", "x"]):
            with self.subTest(arguments):
                self.assertEqual(self.call(arguments, code=64).count("\n"), 1)
        self.call(["-t"], b"Subject: nobody\n\n", code=64)

    def test_what_is_wrong_is_named(self):
        for option in ("--tls-out", "--auth-out", "--resolver", "--smarthost", "--smtp-port"):
            with self.subTest(option):
                self.assertIn(option + ": ", self.call([option, "x", "x@b.example"], code=64))
        self.assertEqual(self.call(["-t"], b"To: b1@b.example,\n b@@b.example,\n b2@b.example\n\n", 65),
                         "sendmail: not an address, in To: b1@b.example, b@@b.example, b2@b.example\n")

    def test_injection_is_refused(self):
        """MF-013 SC-033"""
        for arguments in (["x@b.example\r\nRCPT TO:<y@b.example>"], ["-f", "a@a.example\nX: y", "x@b.example"],
                          ["-V", "a\r\nDATA", "-R", "x", "x@b.example"]):
            with self.subTest(arguments):
                self.call(arguments, code=64)
        self.call(["-F", "Name\nBcc: evil@b.example", "-t"], TEXT.split(b"\n", 1)[1], code=65)
        self.call(["x@b.example"], b"Subject: a\0b\n\nx\n", code=65)
        self.call(["x@b.example"], b"Subject: ab\n\nx\0y\n", code=65)
        self.call(["x@b.example"], b"Subject: ab\n\nx\ry\n", code=65)
        self.assertEqual(list((self.server.mail).glob("*/*/new/*")), [])

    def test_a_gateways_header_stays_as_it_is(self):
        header = b"From x@y Mon Jan  1 00:00:00 2024\nSubject: x\nTo: bare\nBcc: c@d.example\n"
        self.call(["-G", "-i", "b1@b.example"], header + b"\nbody\n")
        message = self.taken(["b1@b.example"])[0]
        self.assertTrue(message.endswith(header.split(b"\n", 1)[1] + b"\nbody\n"), message)
        for field in (b"\nDate:", b"\nMessage-ID:", b"\nFrom:"):
            self.assertNotIn(field, message)
        self.call(["-G", "-i", "-t"], b"Subject: x\nBcc: b2@b.example\n\nbody\n")
        self.assertNotIn(b"Bcc", self.taken(["b2@b.example"])[0])

    def test_messages_are_counted(self):
        spool = self.dir / "counted"
        for count in range(3):
            done = subprocess.run([str(SENDMAIL), "-bpc", "--spool", str(spool)], stdout=subprocess.PIPE,
                                  timeout=PATIENCE, check=True)
            self.assertEqual(done.stdout, b"%d\n" % count)
            subprocess.run([str(SENDMAIL), "-odq", "--spool", str(spool), "x@b.example"], input=TEXT,
                           timeout=PATIENCE, check=True)

    def test_no_argument_adds_a_line(self):
        """MF-013 HOSTILE section 4: each argument, with each way to begin a line of one's own."""
        judged = (["-f", "x@a.example"], ["-r", "x@a.example"], ["-N", "failure"], ["-V", "env"], ["-R", "full"], ["x@b.example"])
        ignored = (["-B", "8BITMIME"], ["-h", "5"], ["-L", "tag"], ["-X", "/dev/null"], ["-oMr", "smtp"], ["-O", "ErrorMode=m"])
        count = 0
        for tail in ("\nBcc: evil@b.example", "\r\nBcc: evil@b.example", "\rBcc: evil@b.example", "\n\nbody", "\r\n", "\n", "\1", "\33[2J"):
            for *flag, value in judged:
                with self.subTest(flag, tail=tail):
                    self.assertEqual(self.call([*flag, value + tail, "x@b.example"], code=64).count("\n"), 1)
            with self.subTest("-F and NAME", tail=tail):
                self.call(["-F", "Name" + tail, "x@b.example"], b"no header\n", code=65)
                self.call(["x@b.example"], b"no header\n", code=65, name="Name" + tail)
            for flag, value in ignored:
                with self.subTest(flag, tail=tail):
                    self.call([flag, value + tail, "b1@b.example"])
                    count += 1
        for message in self.wait_messages(self.box("b1@b.example"), count):
            self.assertNotIn(b"evil", message)
        self.assertEqual({p.name for p in self.server.mail.glob("*/*")}, {"b1"})

    def test_options_that_look_like_recipients_are_recipients_behind_two_dashes(self):
        self.call(["-i", "--", "-x@b.example"])
        self.wait_messages(self.server.mail / "b.example/%2Dx")

    def test_reports_are_asked_for(self):
        self.call(["-N", "success,failure", "-V", "env-1", "-f", "alice@a.example", "b1@b.example"])
        self.taken(["b1@b.example"])
        report, = self.taken(["alice@a.example"])
        self.assertIn(b"Original-Envelope-Id: env-1", report)
        self.assertIn(b"Action: delivered", report)

    @needs("unbound")
    def test_recipients_are_verified(self):
        dns = self.dns(["b.example. MX 10 mx.b.example.", "mx.b.example. A 192.0.2.1", "null.example. MX 0 ."])
        ask = [str(SENDMAIL), "-bv", "--resolver", dns, "--allow-private-mx"]
        for recipients, code, lines in (
                (["Bob <bob@b.example>"], 0, ["bob@b.example... deliverable: mailer smtp, host mx.b.example"]),
                (["bob@b.example,x@none.example"], 68, ["bob@b.example... deliverable",
                                                        "x@none.example... undeliverable: 550 5.1.2"]),
                (["x@null.example"], 68, ["x@null.example... undeliverable: 556 5.1.10"]),
                (["--smarthost", "127.0.0.1:9", "x@none.example"], 0,
                 ["x@none.example... deliverable: mailer relay"]),
                (["x@"], 64, []),
                ([], 64, [])):
            done = subprocess.run([*ask, *recipients], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, timeout=PATIENCE, text=True)
            self.assertEqual(done.returncode, code, (recipients, done))
            said = done.stdout.splitlines()
            self.assertEqual(len(said), len(lines), done)
            for line, want in zip(said, lines):
                self.assertTrue(line.startswith(want), (line, want))

    # -bs -------------------------------------------------------------------

    def session(self, *arguments):
        process = subprocess.Popen([str(SENDMAIL), "-bs", "--spool", str(self.server.spool), *map(str, arguments)],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def says(self, process, line, want):
        if line is not None:
            process.stdin.write(line)
            process.stdin.flush()
        while (reply := process.stdout.readline())[3:4] == b"-":
            pass
        self.assertTrue(reply.startswith(want), (line, reply))

    def converse(self, process, messages):
        self.says(process, None, b"220 ")
        self.says(process, b"EHLO [127.0.0.1]\r\n", b"250 ")
        for sender, recipient, text in messages:
            self.says(process, b"MAIL FROM:<%s>\r\n" % sender, b"250 ")
            self.says(process, b"RCPT TO:<%s>\r\n" % recipient, b"250 ")
            self.says(process, b"DATA\r\n", b"354 ")
            self.says(process, text + b".\r\n", b"250 ")

    def test_programs_that_speak_smtp(self):
        """Symfony and Laravel: -bs; Alpine: -bs -odb -oem. Several messages a session, taken as they come."""
        message = b"Subject: x\r\nBcc: secret@b.example\r\n\r\n..dot\r\n"
        for number, arguments in enumerate(([], ["-odb", "-oem"]), 1):
            process = self.session(*arguments)
            self.converse(process, [(b"a@a.example", b"bob@b.example", message),
                                    (b"", b"eve@b.example", message)])
            for stored in self.taken(["bob@b.example", "eve@b.example"], number):
                self.assertEqual(body_of(stored), b".dot\n")
                self.assertNotIn(b"secret", stored)
                self.assertIn(b"\nDate: ", stored)
                self.assertIn(b"\nMessage-ID: <", stored)
            self.says(process, b"QUIT\r\n", b"221 ")
            self.assertEqual(process.wait(PATIENCE), 0)

    def test_a_session_said_all_at_once(self):
        text = (b"EHLO x.example\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<bob@b.example>\r\nRCPT TO:<b@@b>\r\n"
                b"DATA\r\nSubject: x\r\n\r\n" + b"y" * 70 + b"\r\n.\r\nQUIT\r\n")
        process = self.session()
        out, _ = process.communicate(text, timeout=PATIENCE)
        self.assertEqual(process.returncode, 0)
        self.assertEqual([line[:3] for line in out.split(b"\r\n") if line[3:4] == b" "],
                         [b"220", b"250", b"250", b"250", b"501", b"354", b"250", b"221"])
        self.assertEqual(body_of(self.taken(["bob@b.example"])[0]), b"y" * 70 + b"\n")

    def test_a_session_that_breaks_off_leaves_nothing(self):
        process = self.session()
        out, _ = process.communicate(b"HELO x.example\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<bob@b.example>\r\n"
                                     b"DATA\r\nSubject: x\r\n\r\nhalf\r\n", timeout=PATIENCE)
        self.assertEqual(process.returncode, 0)
        self.assertEqual([p.name for p in (self.server.spool / "drop").iterdir()], [])
        self.assertEqual(list(self.server.mail.glob("**/new/*")), [])

    def test_a_session_that_cannot_store_says_so(self):
        process = self.session("--spool", "/dev/null/spool")
        process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 73)
        process = self.session()
        self.says(process, None, b"220 ")
        for line in (b"EHLO x.example\r\n", b"MAIL FROM:<a@a.example>\r\n", b"RCPT TO:<bob@b.example>\r\n"):
            self.says(process, line, b"250 ")
        self.says(process, b"DATA\r\n", b"354 ")
        self.says(process, b"X: " + b"y" * 900 + b"\r\n" + (b" " + b"z" * 900 + b"\r\n") * 1300 + b"\r\n.\r\n",
                  b"552 5.3.4 ")
        self.says(process, b"QUIT\r\n", b"221 ")

    def test_the_queue_is_run_when_asked_for(self):
        """-q and its forms: by the owner of the spool, or by sendmail itself."""
        spool = self.dir / "other"
        dead = ["--smarthost", "127.0.0.1:9", "-f", "x@a.example"]
        for recipient in ("one@b.example", "two@c.example"):
            self.call([*dead, recipient], spool=spool)
        live = ["--smarthost", self.server.ready["smtp"][0]]

        def runs(option, recipient):
            """It gives up after a minute, which may be too little where there is much to do."""
            wait_for(lambda: self.call([option, *live], spool=spool) or self.messages(self.box(recipient)), recipient)

        self.call(["-q15m", *live], spool=spool)
        self.call(["-qRnowhere.example", *live], spool=spool)
        self.assertEqual(list(self.server.mail.glob("**/new/*")), [])
        runs("-qRc.example", "two@c.example")
        self.assertEqual(self.messages(self.box("one@b.example")), [])
        runs("-q", "one@b.example")
        self.call(["-qf", *live], spool=spool)  # nothing is left
        self.call(["-q"], spool=self.dir / "none")

    def test_the_owner_is_told_to_run_its_queue(self):
        """It tries at once, though it leaves the host alone for a while otherwise."""
        port = self.port()
        owner = self.relay("--route", f"*=127.0.0.1:{port}", "--retry", "1h", name="owner")
        self.call(["-f", "x@a.example", "bob@b.example"], spool=owner.spool)
        wait_for(lambda: " deferred " in owner.log(), "a first try")
        self.relay("--listen", f"127.0.0.1:{port}", "--capture", name="late")
        self.call(["-q"], spool=owner.spool)
        wait_for(lambda: " sent " in owner.log(), "a second try")

    def test_the_owner_tells_what_becomes_of_a_message(self):
        users = self.dir / "users"
        users.write_text("bob@b.example:*\n")
        owner = self.relay("--local", "b.example", "--users", users, "--max-message-size", "2000", "--route",
                           f"gone.example=127.0.0.1:{self.port()}", "--route", "held.example=hold", "--route",
                           "bad.example=error:550 5.7.1 not that", name="owner")
        for recipients, code, said in ((["bob@b.example"], 0, ""),
                                       (["nobody@b.example"], 67, "nobody@b.example: 550 5.1.1 "),
                                       (["bob@b.example", "x@bad.example"], 69, "x@bad.example: 550 5.7.1 not that"),
                                       (["x@gone.example"], 75, "x@gone.example: 451 4.4.1 "),
                                       (["x@held.example"], 75, "stored, and on hold or removed")):
            with self.subTest(recipients=recipients):
                said_of_it = self.call(["--wait=3600", "-f", "x@a.example", *recipients], code=code, spool=owner.spool)
                self.assertIn(said, said_of_it)
        self.assertIn("too big", self.call(["-odi", "-f", "x@a.example", "bob@b.example"], code=65, spool=owner.spool,
                                           stdin=TEXT + 100 * (70 * b"x" + b"\n")))
        self.assertEqual(len(self.messages(owner.mail / "b.example/bob")), 2)


class Alone(World):
    """Without a relay sendmail delivers by itself, or keeps the message."""

    def call(self, arguments, code=0, stdin=TEXT):
        done = subprocess.run([str(SENDMAIL), "--spool", str(self.dir / "spool"), *map(str, arguments)], input=stdin,
                              timeout=PATIENCE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, code, done.stderr.decode(errors="replace"))
        return done.stderr.decode()

    def test_smart_host_gets_it_at_once(self):
        server = self.relay("--capture")
        self.call(["--smarthost", server.ready["smtp"][0], "-t", "--wait"])
        self.wait_messages(server.mail / "b.example/bob")

    def test_recipients_without_end_are_refused_and_nothing_is_stored(self):
        """HOSTILE section 4"""
        text = b"To: " + b",\n ".join(b"u%d@b.example" % n for n in range(100000)) + b"\n\nx\n"
        self.assertIn("1 MiB", self.call(["-odq", "-t"], 65, text))
        self.assertEqual([p for p in self.dir.rglob("*") if p.is_file() and p.stat().st_size > 10000], [])

    def test_dead_smart_host_leaves_it_in_the_spool(self):
        self.call(["--smarthost", "127.0.0.1:9", "-t"])
        self.assertIn("4.4.1", self.call(["--smarthost", "127.0.0.1:9", "-t", "--wait=100"], code=75))
        self.assertEqual(list((self.dir / "spool/drop").glob("*")), [])
        done = subprocess.run([str(SENDMAIL), "-bp", "--spool", str(self.dir / "spool")], stdout=subprocess.PIPE,
                              timeout=PATIENCE, check=True)
        self.assertIn(b"bob@b.example", done.stdout)
        self.assertRegex(done.stdout.splitlines()[-1], rb"^-- \d+ Kbytes in 2 Requests\.$")

    def test_refusal_is_told_by_the_exit_code(self):
        users = self.dir / "users"
        users.write_text("bob@b.example:{PLAIN}x\n")
        server = self.relay("--local", "b.example", "--users", users)
        smart = ["--smarthost", server.ready["smtp"][0], "--wait", "-f", "<>"]
        self.call([*smart, "bob@b.example"])
        self.assertIn("5.1.1", self.call([*smart, "nobody@b.example"], code=67))

    def test_refusal_is_told_also_where_nobody_waits(self):
        users = self.dir / "users"
        users.write_text("bob@b.example:{PLAIN}x\n")
        server = self.relay("--local", "b.example", "--users", users)
        smart = ["--smarthost", server.ready["smtp"][0], "-f", "<>"]
        wait_for(lambda: self.call([*smart, "bob@b.example", "nobody@b.example"]) ==
                 "sendmail: nobody@b.example: 550 5.1.1 No such user here\n", "a call that had the time for it")
        self.assertEqual(self.call([*smart, "bob@b.example"]), "")

    def test_exit_code_is_that_of_the_own_message(self):
        users = self.dir / "users"
        users.write_text("bob@b.example:{PLAIN}x\n")
        server = self.relay("--local", "b.example", "--users", users)
        self.call(["--smarthost", "127.0.0.1:9", "-f", "<>", "nobody@b.example"])
        self.call(["--smarthost", server.ready["smtp"][0], "--wait=100", "-f", "<>", "bob@b.example"])

    def test_user_spool_is_made_private(self):
        state = self.dir / "state"
        env = dict(os.environ, XDG_STATE_HOME=str(state), HOME=str(self.dir))
        env.pop("LIBMAIL_SPOOL", None)
        done = subprocess.run([str(SENDMAIL), "-odq", "-t"], input=TEXT, env=env, timeout=PATIENCE)
        self.assertEqual(done.returncode, 0)
        self.assertEqual((state / "libmail/spool").stat().st_mode & 0o777, 0o700)
        self.assertEqual(len(list((state / "libmail/spool/drop").glob("[!.]*"))), 1)

    def test_nothing_is_said_into_the_message(self):
        """Callers that have closed standard error: the message's file must not become that."""
        spool = self.dir / "spool"
        with subprocess.Popen(["sh", "-c", 'exec "$0" "$@" 2>&-', str(SENDMAIL), "--spool", str(spool), "-odq", "-v",
                               "bob@b.example"], stdin=subprocess.PIPE) as process:
            process.stdin.write(TEXT + b"line\n" * 50000)
            process.stdin.flush()
            wait_for(lambda: list(spool.glob("drop/*.part")), "the file")
            self.assertEqual(os.readlink(f"/proc/{process.pid}/fd/2"), "/dev/null")
            process.stdin.close()
            self.assertEqual(process.wait(PATIENCE), 0)
        [file] = spool.glob("drop/*.mail")
        self.assertTrue(file.read_bytes().startswith(b"libmail drop 1\n"))
        self.assertNotIn(b"stored as", file.read_bytes())

    def test_full_or_forbidden_place_is_no_success(self):
        blocked = self.dir / "file"
        blocked.write_text("")
        done = subprocess.run([str(SENDMAIL), "--spool", str(blocked / "spool"), "-t"], input=TEXT, timeout=PATIENCE,
                              stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, 73)

    def test_help_and_version(self):
        for option in ("--help", "--version", "-bV"):
            done = subprocess.run([str(SENDMAIL), option], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            self.assertEqual(done.returncode, 0)
            self.assertTrue(done.stdout)


if __name__ == "__main__":
    main()
