#!/usr/bin/env python3
"""mail-queue and the metrics beside a relay at work."""

import json
import smtplib
import subprocess
import urllib.request

from harness import PATIENCE, SENDMAIL, World, main, wait_for

QUEUE = SENDMAIL.parent / "mail-queue"


class Operator(World):
    def setUp(self):
        super().setUp()
        self.server = self.relay("--route", "*=127.0.0.1:1", "--retry", "1h", "--metrics", "127.0.0.1:0")
        host, port = self.server.address("smtp")
        with smtplib.SMTP(host, port, "client.test", PATIENCE) as smtp:
            for domain in ("b.example", "c.example"):
                smtp.sendmail("a@a.example", [f"x@{domain}"], "Subject: hi\r\n\r\nhello\r\n")

    def ask(self, *words):
        done = subprocess.run([str(QUEUE), "--spool", str(self.server.spool), "--json", *words],
                              stdout=subprocess.PIPE, timeout=PATIENCE, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def tried(self, times):
        return [r["attempts"] for m in self.ask("list") for r in m["recipients"]] == [times] * 2

    def numbers(self):
        host, port = self.server.address("metrics")
        with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=PATIENCE) as reply:
            return reply.read().decode().splitlines()

    def test_changes_the_queue_of_a_relay_at_work(self):
        wait_for(lambda: self.tried(1), "a first try")
        self.assertEqual(self.ask("retry", "--all"), [{"action": "retry", "messages": 2}])
        wait_for(lambda: self.tried(2), "a second try")
        self.assertEqual(self.ask("expire", "--domain", "c.example")[0]["messages"], 1)
        wait_for(lambda: [m["sender"] for m in self.ask("list")] == ["a@a.example", ""], "a report instead of it")
        self.assertEqual(self.ask("hold", "--domain", "b.example")[0]["messages"], 1)
        wait_for(lambda: [m["queue_name"] for m in self.ask("list")] == ["hold", "deferred"], "the end of the try")
        self.assertEqual(self.ask("remove", "--all")[0]["messages"], 2)
        self.assertEqual(self.ask("list"), [])

    def test_reaches_what_the_relay_has_not_taken(self):
        other = self.dir / "other"
        subprocess.run([str(SENDMAIL), "--spool", str(other), "-odq", "-f", "c@a.example", "x@d.example"],
                       input=b"Subject: later\n\n", timeout=PATIENCE, check=True)
        [file] = (other / "drop").glob("*.mail")
        drop = self.server.spool / "drop"
        drop.mkdir(mode=0o700, exist_ok=True)
        file.rename(drop / f"{file.stem}.held")
        [held] = self.ask("list", "--sender", "c@a.example")
        self.assertEqual((held["queue_name"], held["queue_id"]), ("hold", file.stem))
        self.assertEqual(self.ask("stats")[0]["dropped"], 1)
        self.assertEqual(self.ask("retry", file.stem)[0]["messages"], 0)
        self.assertEqual(self.ask("release", file.stem)[0]["messages"], 1)
        wait_for(lambda: not list(drop.iterdir()), "the relay to take it")
        wait_for(lambda: self.ask("stats")[0]["messages"] == 3, "the third message")
        [taken] = self.ask("list", "--sender", "c@a.example")
        self.assertNotEqual(taken["queue_id"], file.stem)
        self.assertEqual(self.ask("remove", "--all")[0]["messages"], 3)

    def test_shows_numbers(self):
        for line in ("libmail_accepted_total 2", "libmail_queue_messages 2",
                     'libmail_deliveries_total{outcome="deferred"} 2'):
            wait_for(lambda: line in self.numbers(), line)


if __name__ == "__main__":
    main()
