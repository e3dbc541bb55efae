#!/usr/bin/env python3
"""The programs that show how it is done do what they show."""

import os
import subprocess

from harness import BUILD, PATIENCE, ROOT, World, main, needs


class Examples(World):
    def test_engine_only(self):
        done = subprocess.run([str(BUILD / "examples/engine_only")], stdout=subprocess.PIPE, timeout=PATIENCE, check=True)
        text = done.stdout.decode()
        self.assertIn("-- RCPT <bob@b.example>", text)
        self.assertIn("Hello Bob.\r\n", text)
        self.assertIn("221 2.0.0", text)

    def test_queue_only(self):
        def run():
            argv = [str(BUILD / "examples/queue_only"), str(self.dir / "spool")]
            return subprocess.run(argv, stdout=subprocess.PIPE, timeout=PATIENCE, check=True).stdout.decode()

        kept = "waits for bob@busy.example, tried 1: 450 4.2.0 Not now\n"
        for number in (1, 2):  # the second run finds what the first one has left
            text = run()
            for domain in ("b.example", "busy.example"):
                self.assertIn(f"-- 2 stored for bob@{domain}\n", text)
            self.assertEqual((text.count("to bob@b.example\n"), text.count("\nHello Bob\r\n")), (2, 2), text)
            self.assertEqual(text.count(kept), 2 * number, text)

    def test_send_and_receive(self):
        receiver = self.start("receive", [BUILD / "examples/receive", "127.0.0.1:0"], dict(os.environ, ONCE="1"))
        receiver.wait_ready()
        done = subprocess.run([str(BUILD / "examples/send"), receiver.ready["smtp"][0], "alice@a.example", "bob@b.example"],
                              input=b"Subject: Hello\n\nHello Bob\n", stdout=subprocess.PIPE, timeout=PATIENCE)
        self.assertEqual(done.returncode, 0, done.stdout.decode())
        self.assertIn(b"bob@b.example: accepted", done.stdout)
        got = receiver.process.stdout.read().decode()
        self.assertIn("from <alice@a.example>\nto <bob@b.example>\n", got)
        self.assertIn("\nHello Bob\r\n", got)

    @needs("unbound", "curl")
    def test_quickstart(self):
        done = subprocess.run([str(ROOT / "examples/quickstart")], env=dict(os.environ, MAIL_BUILD=str(BUILD)),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                              timeout=2 * PATIENCE)
        text = done.stdout.decode(errors="replace")
        self.assertEqual(done.returncode, 0, text)
        for part in ("mx2.b.example", "and that dot above arrived too", "Final-Recipient: rfc822; nobody@b.example",
                     "Final-Recipient: rfc822; x@nomail.example", "All of it worked."):
            self.assertIn(part, text)


if __name__ == "__main__":
    main()
