#!/usr/bin/env python3
"""From relay to relay, with a real DNS server, and what comes back."""

import email
import json
import smtplib
import subprocess

import messages
from harness import MAIL_MX, PATIENCE, World, main, needs, peer, peer_env, wait_for

#: The preferred host of b.example is dead; c.example takes no mail.
RECORDS = [
    "a.example. 60 IN MX 10 mx1.a.example.", "a.example. 60 IN MX 20 mx2.a.example.",
    "mx1.a.example. 60 IN A 127.0.0.21", "mx2.a.example. 60 IN A 127.0.0.22",
    "b.example. 60 IN MX 10 mx1.b.example.", "b.example. 60 IN MX 20 mx2.b.example.",
    "mx1.b.example. 60 IN A 127.0.0.11", "mx2.b.example. 60 IN A 127.0.0.12",
    "c.example. 60 IN MX 0 .",
    "d.example. 60 IN A 127.0.0.12",
]


class Relaying(World):
    def world(self):
        """Relay a for a.example and relay b for b.example and d.example, DNS between them."""
        resolver = self.dns(RECORDS)
        port = self.port("127.0.0.11", "127.0.0.12", "127.0.0.21", "127.0.0.22")
        users = self.dir / "users.b"
        users.write_text("bob@b.example:{PLAIN}x\nbob@d.example:{PLAIN}x\njürgen@b.example:{PLAIN}x\n")
        way = ["--resolver", resolver, "--smtp-port", port, "--allow-private-mx", "--retry", "1s"]
        self.b = self.relay("--listen", f"127.0.0.12:{port}", "--local", "b.example", "--local", "d.example",
                            "--users", users, "--hostname", "mx2.b.example", *way, name="b")
        self.a = self.relay("--listen", f"127.0.0.22:{port}", "--local", "a.example", "--hostname",
                            "mx2.a.example", *way, name="a")
        self.alice = self.a.mail / "a.example/alice"
        self.bob = self.b.mail / "b.example/bob"

    def send(self, recipients, wire=messages.WIRE["one line"], options=(), sender="alice@a.example"):
        host, port = self.a.address("smtp")
        with smtplib.SMTP(host, port, local_hostname="client.test", timeout=PATIENCE) as client:
            client.ehlo()
            self.assertEqual(client.sendmail(sender, recipients, wire, options), {})

    def report(self, count=1):
        """The newest delivery report in alice's mailbox, and its groups of fields."""
        message = email.message_from_bytes(self.wait_messages(self.alice, count)[-1])
        self.assertEqual(message.get_content_type(), "multipart/report")
        self.assertEqual(message["Return-Path"], "<>")
        return message, message.get_payload()[1].get_payload()

    @needs("unbound")
    def test_second_host_is_used_when_the_first_is_dead(self):
        """MX-005 MX-006 SS-005"""
        self.world()
        self.send(["bob@b.example"])
        stored, = self.wait_messages(self.bob)
        message = email.message_from_bytes(stored)
        self.assertEqual(len(message.get_all("Received")), 2)
        self.assertIn("from mx2.a.example", " ".join(message.get_all("Received")[0].split()))
        self.assertEqual(message.get_all("Return-Path"), ["<alice@a.example>"])

    @needs("unbound")
    def test_every_kind_of_message_arrives_unchanged(self):
        """SS-048"""
        self.world()
        for number, (name, wire) in enumerate(messages.WIRE.items(), 1):
            with self.subTest(name):
                self.send(["bob@b.example"], wire, ["BODY=8BITMIME"])
                stored = self.wait_messages(self.bob, number)
                self.assertEqual(sum(s.endswith(b"\n" + messages.to_disk(wire)) for s in stored), 1)

    @needs("unbound")
    def test_implicit_mx_and_utf8_addresses(self):
        """MX-003 SC-029"""
        self.world()
        self.send(["bob@d.example"])
        self.wait_messages(self.b.mail / "d.example/bob")
        self.send(["jürgen@b.example"], options=["SMTPUTF8"])
        self.wait_messages(self.b.mail / "b.example/j%C3%BCrgen")

    @needs("unbound")
    def test_failures_come_back_to_the_sender_in_one_report(self):
        """MX-002 MX-010 QR-008 DS-001 DS-003 DS-004 DS-006 DS-007 DS-009 DS-012 DS-021"""
        self.world()
        self.send(["nobody@b.example", "bob@b.example", "nemo@b.example"])
        self.wait_messages(self.bob)
        _, groups = self.report()
        self.assertEqual({g["Final-Recipient"] for g in groups[1:]},
                         {"rfc822; nobody@b.example", "rfc822; nemo@b.example"})
        for group in groups[1:]:
            self.assertEqual((group["Action"], group["Status"]), ("failed", "5.1.1"))
            self.assertIn("550", group["Diagnostic-Code"])
            self.assertIn("mx2.b.example", group["Remote-MTA"])
        self.assertEqual(groups[0]["Reporting-MTA"], "dns; mx2.a.example")
        self.send(["x@c.example"])
        self.assertEqual(self.report(2)[1][1]["Status"], "5.1.10")
        self.send(["x@nowhere.example"])
        self.assertEqual(self.report(3)[1][1]["Status"], "5.1.2")

    @needs("unbound")
    def test_no_bounce_for_a_bounce(self):
        """DS-002 SS-019"""
        self.world()
        self.send(["x@c.example"], sender="")
        self.send(["x@c.example"])
        self.report()
        wait_for(lambda: self.a.log().count("5.1.10") >= 2, "both outcomes in the log")
        self.assertEqual(len(self.messages(self.alice)), 1)

    @needs("unbound")
    def test_a_thousand_recipients_over_fifty_domains(self):
        """SS-041"""
        resolver = self.dns([f"d{i}.example. 60 IN MX 1 mx.b.example." for i in range(50)] +
                            ["mx.b.example. 60 IN A 127.0.0.12"])
        port = self.port("127.0.0.12")
        local = [word for i in range(50) for word in ("--local", f"d{i}.example")]
        b = self.relay("--listen", f"127.0.0.12:{port}", *local, name="b")
        self.a = self.relay("--resolver", resolver, "--smtp-port", port, "--allow-private-mx", name="a")
        self.send([f"u{n}@d{n % 50}.example" for n in range(1000)])
        wait_for(lambda: sum(1 for _ in b.mail.glob("*/*/new/*")) >= 1000, "1000 messages")
        self.assertEqual(sum(1 for _ in b.mail.glob("*/*/new/*")), 1000)
        self.assertEqual(sum(1 for _ in b.mail.glob("*/*")), 1000)

    @needs("unbound")
    def test_dead_hosts_are_tried_again_until_one_lives(self):
        """QR-001 QR-002"""
        resolver = self.dns(RECORDS)
        port = self.port("127.0.0.11", "127.0.0.12")
        self.a = self.relay("--resolver", resolver, "--smtp-port", port, "--allow-private-mx", "--retry",
                            "1s", name="a")
        self.send(["bob@b.example"])
        wait_for(lambda: "4.4.1" in self.a.log(), "a first try in vain")
        b = self.relay("--listen", f"127.0.0.12:{port}", "--local", "b.example", name="b")
        self.wait_messages(b.mail / "b.example/bob")

    def test_a_loop_between_two_relays_ends(self):
        """SS-047"""
        port = self.port("127.0.0.31", "127.0.0.32")
        self.a = self.relay("--listen", f"127.0.0.31:{port}", "--route", f"loop.example=127.0.0.32:{port}",
                            "--local", "a.example", name="a")
        b = self.relay("--listen", f"127.0.0.32:{port}", "--route", f"*=127.0.0.31:{port}", name="b")
        self.alice = self.a.mail / "a.example/alice"
        self.send(["x@loop.example"])
        self.assertEqual(self.report()[1][1]["Status"], "5.4.6")
        self.assertTrue(b.ready)

    @needs("smtp-sink")
    def test_relays_into_smtp_sink(self):
        for flags in ((), ("-8",), ("-e",), ("-p",)):
            with self.subTest(flags):
                port = self.port()
                dump = self.dir / f"sink{''.join(flags)}"
                dump.mkdir()
                dump.chmod(0o777)
                self.dir.chmod(0o711)
                sink = subprocess.Popen([peer("smtp-sink"), "-u", "nobody", *flags, "-d", f"{dump}/m.",
                                         f"127.0.0.1:{port}", "100"], env=peer_env(), stderr=subprocess.DEVNULL)
                self.addCleanup(sink.wait)
                self.addCleanup(sink.terminate)
                self.a = self.relay("--route", f"*=127.0.0.1:{port}", "--retry", "1s", name=f"a{port}")
                self.send(["bob@b.example"], messages.WIRE["leading dots"])

                def arrived():
                    return [t for t in (p.read_bytes() for p in dump.iterdir()) if b"\n.end\n\n.\n" in t]

                got, = wait_for(arrived, "the message at smtp-sink")
                self.assertIn(b"\n.\n..\n...x\n.end\n\n.\n", got)

    @needs("unbound")
    def test_mail_mx_shows_the_plan(self):
        resolver = self.dns(RECORDS)

        def plan(*args):
            return subprocess.run([str(MAIL_MX), "--resolver", resolver, "--json", *args], timeout=PATIENCE,
                                  stdout=subprocess.PIPE, check=False)

        done = plan("--allow-private-mx", "b.example")
        self.assertEqual(done.returncode, 0)
        self.assertIn("mx1.b.example", done.stdout.decode())
        self.assertTrue([json.loads(line) for line in done.stdout.decode().splitlines()])
        self.assertEqual(plan("c.example").returncode, 68)
        self.assertEqual(plan("nowhere.example").returncode, 68)


if __name__ == "__main__":
    main()
