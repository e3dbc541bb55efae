#!/usr/bin/env python3
"""What the unkind send, against whole programs: two messages in one, names that are commands or
paths, loops, forged senders, MX records that point home."""

import contextlib
import email
import re
import smtplib
import socket
import threading

from harness import PATIENCE, World, main, needs, wait_for

#: What somebody has taken for the end of a message (VU#302671), in a message behind `begin`.
SEQUENCES = [
    b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r.\r\n", b"\r.\r", b"\r.\n", b"\n.\r", b"\r\n\0.\r\n",
    b"\r\n.\0\r\n", b"\r\r\n.\r\r\n", b"\r\n.\r\r\n", b"\r\n\r.\r\n", b"\n\r.\r\n", b"\r\n\n.\r\n",
    b"\xc2\x85.\xc2\x85", b"\r\n.\xc2\x85", b"\xe2\x80\xa8.\xe2\x80\xa8", b"\x0b.\x0b", b"\r\n.\x0b", b"\x0c.\x0c",
    b"\r\n.\x0c", b"\r\n .\r\n", b"\r\n. \r\n", b"\r\n.\t\r\n", b"\r\n..\r\n",
]
EVIL = b"MAIL FROM:<evil@x.example>\r\nRCPT TO:<victim@v.example>\r\nDATA\r\nsmuggled\r\n"


class Sloppy(threading.Thread):
    """A host that takes anything for a line end, and drops NUL and blanks behind the dot."""

    END = re.compile(rb"(?:\r\n|\r|\n)\0*\.[\0 \t]*(?:\r\n|\r|\n)")

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.commands = []
        self.messages = []
        self.start()

    def run(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            with client:
                client.settimeout(PATIENCE)
                try:
                    self.serve(client)
                except OSError:
                    pass

    def serve(self, client):
        client.sendall(b"220 sloppy.example\r\n")
        held, is_data = b"", False
        while True:
            got = client.recv(65536)
            if not got:
                return
            held += got
            while held:
                found = self.END.search(held) if is_data else re.search(rb"[\r\n]", held)
                if found is None:
                    break
                text, held = held[:found.start()], held[found.end():]
                if is_data:
                    self.messages.append(text)
                    is_data = False
                    client.sendall(b"250 taken\r\n")
                elif text:
                    is_data = self.answer(client, text)
                    held = b"\n" + held if is_data else held
                    if text == b"QUIT":
                        return

    def answer(self, client, command):
        self.commands.append(command)
        if command.startswith(b"EHLO"):
            client.sendall(b"250-sloppy.example\r\n250 8BITMIME\r\n")
        else:
            client.sendall(b"354 go\r\n" if command == b"DATA" else b"250 OK\r\n")
        return command == b"DATA"

    def stop(self):
        self.socket.close()


class Rude(Sloppy):
    """A host that refuses every recipient, at length."""

    REPLY = b"".join(b"550-%s\r\n" % text for text in [
        b"\x1b[2J\x1b]0;owned\x07", b"nul \0 here", b"8-bit \xff\xfe \xc0\x80", b"half\rFinal-Recipient: rfc822; evil@x.example",
        b"", b"Content-Type: text/html", b"--boundary--", b".", b"x" * 3000, "U+0085 \u0085 U+2028 \u2028".encode(),
        *(b"line %d of many" % n for n in range(1500))]) + b"550 5.1.1 at last\r\n"

    def answer(self, client, command):
        self.commands.append(command)
        client.sendall(self.REPLY if command.startswith(b"RCPT") else b"250 OK\r\n")
        return False


class Raw:
    """A client that says just what it is told."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def reply(self):
        while True:
            line = self.file.readline()
            if line[3:4] != b"-":
                return line

    def ask(self, octets):
        self.socket.sendall(octets)
        return self.reply()

    def rest(self):
        """All that comes until it is closed; who says too much after the last reply is reset."""
        heard = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := self.file.read1():
                heard += piece
        return heard

    def begin(self, rcpt="c@peer.example"):
        assert self.reply().startswith(b"220")
        assert self.ask(b"EHLO c.example\r\n").startswith(b"250")
        assert self.ask(b"MAIL FROM:<>\r\n").startswith(b"250")
        return self.ask(b"RCPT TO:<%s>\r\n" % rcpt.encode())

    def close(self):
        self.file.close()
        self.socket.close()


class Hostile(World):
    def smuggle(self, relay, sequence, send):
        """Whether the relay took the message; a second one it may never take."""
        client = Raw(relay.address("smtp"))
        self.assertTrue(client.begin().startswith(b"250"))
        reply = send(client, b"Subject: x\r\n\r\nbegin" + sequence)
        self.assertRegex(reply, rb"^(250 2.0.0|5\d\d )")
        if reply.startswith(b"250"):
            self.assertTrue(client.ask(b"QUIT\r\n").startswith(b"221"))
        self.assertEqual(client.rest(), b"")  # no reply to anything behind
        client.close()
        return reply.startswith(b"250")

    @staticmethod
    def at_once(client, start):
        assert client.ask(b"DATA\r\n").startswith(b"354")
        return client.ask(start + EVIL + b".\r\n")

    @staticmethod
    def in_two(client, start):
        assert client.ask(b"DATA\r\n").startswith(b"354")
        client.socket.sendall(start)
        try:
            return client.ask(EVIL + b".\r\n")
        except OSError:  # refused and closed meanwhile
            return client.reply()

    @staticmethod
    def in_a_chunk(client, start):
        text = start + EVIL
        return client.ask(b"BDAT %d LAST\r\n" % len(text) + text)

    def test_never_makes_two_messages_of_one(self):
        """SS-001 SS-002 SS-003 SC-008 SC-009"""
        for bare in ("reject", "normalise"):
            sloppy = Sloppy()
            self.addCleanup(sloppy.stop)
            relay = self.relay("--route", f"*=127.0.0.1:{sloppy.port}", "--bare-newline", bare, name=bare)
            taken = 0
            for sequence in SEQUENCES:
                for send in (self.at_once, self.in_two, self.in_a_chunk):
                    with self.subTest(sequence=sequence, send=send.__name__, bare=bare):
                        taken += self.smuggle(relay, sequence, send)
            self.assertGreater(taken, len(SEQUENCES))
            outcomes = wait_for(lambda: self.outcomes(relay, taken), f"{taken} outcomes")
            self.assertNotIn("from=evil", relay.log())
            self.assertEqual([c for c in sloppy.commands if b"evil" in c or b"victim" in c], [])
            self.assertEqual(len(sloppy.messages), outcomes.count("sent"))
            for message in sloppy.messages:
                self.assertIn(b"smuggled", message)

    @staticmethod
    def outcomes(relay, count):
        """What became of `count` messages, once all has been said."""
        found = re.findall(r'(?m)^(?:\S+ )*?(sent|"?failed, not reported"?) queue_id=', relay.log())
        return found if len(found) >= count else None

    def test_takes_addresses_for_names_and_nothing_else(self):
        """HOSTILE section 4: no shell, no option, no path, no include, no expansion."""
        pwned = self.dir / "pwned"
        relay = self.relay("--local", "b.example")
        names = [
            f'"|touch {pwned}"', f'"|/usr/bin/touch {pwned}"', f'"`touch {pwned}`"', f'"$(touch {pwned})"',
            f'";touch {pwned};"', f'"{pwned}"', f'"{pwned}/"', '"../../pwned"', '"../../../pwned"', '".."', '"."', '"./x"',
            "-oQ/tmp", "-X", "--", f'"-X{pwned}"', '":include:/etc/passwd"', '"~root"', '"~/x"',
            f'"${{run{{/usr/bin/touch {pwned}}}}}"', '"%s%n"', '"a/b"', '"a\\\\b"', '"a:b"', '"new"', '"cur/x"', '"a b"', "=?utf-8?q?x?=",
        ]
        for name in names:
            with self.subTest(name):
                client = Raw(relay.address("smtp"))
                self.assertTrue(client.begin(name + "@b.example").startswith(b"250"))
                self.assertTrue(client.ask(b"DATA\r\n").startswith(b"354"))
                self.assertTrue(client.ask(b"Subject: x\r\n\r\nx\r\n.\r\n").startswith(b"250"))
                client.close()
        wait_for(lambda: len(list(relay.mail.glob("b.example/*/new/*"))) == len(names), "a mailbox for each")
        self.assertEqual([p.name for p in relay.mail.iterdir()], ["b.example"])
        self.assertEqual({p.name for p in self.dir.iterdir()}, {"relay.log", "relay.mail", "relay.spool"})
        for box in (relay.mail / "b.example").iterdir():
            self.assertEqual({p.name for p in box.iterdir()} - {"new", "cur", "tmp"}, set())

    def test_a_loop_of_aliases_between_two_hosts_ends(self):
        """SS-047 DS-002: one report to a sender, none to nobody."""
        port = self.port("127.0.0.31", "127.0.0.32")
        programs = {}
        for name, own, other in (("a", "127.0.0.31", "b"), ("b", "127.0.0.32", "a")):
            aliases = self.dir / f"aliases.{name}"
            aliases.write_text(f"x: x@{other}.example\n")
            peer = "127.0.0.32" if name == "a" else "127.0.0.31"
            programs[name] = self.relay("--listen", f"{own}:{port}", "--local", f"{name}.example", "--aliases", aliases,
                                        "--route", f"{other}.example={peer}:{port}", name=name)
        host, smtp = programs["a"].address("smtp")
        for sender in ("", "alice@a.example"):
            with smtplib.SMTP(host, smtp, local_hostname="client.test", timeout=PATIENCE) as client:
                client.sendmail(sender, ["x@b.example"], b"Subject: round\r\n\r\nand round\r\n")
        report, = self.wait_messages(programs["a"].mail / "a.example/alice")
        self.assertEqual(email.message_from_bytes(report).get_payload()[1].get_payload()[1]["Status"], "5.4.6")

        def said(what):
            return sum(program.log().count(what) for program in programs.values())

        wait_for(lambda: said("failed, not reported") and said("reported to sender"), "the end of both")
        self.assertEqual(said("reported to sender"), 1)

    def test_forged_senders_hear_nothing(self):
        """HOSTILE section 3: unknown recipients are refused at once, so that nobody gets mail about them."""
        sloppy = Sloppy()
        self.addCleanup(sloppy.stop)
        users = self.dir / "users"
        users.write_text("bob@b.example:{PLAIN}x\n")
        relay = self.relay("--local", "b.example", "--users", users, "--route", f"*=127.0.0.1:{sloppy.port}")
        client = Raw(relay.address("smtp"))
        client.reply()
        client.ask(b"EHLO c.example\r\n")
        self.assertTrue(client.ask(b"MAIL FROM:<victim@v.example>\r\n").startswith(b"250"))
        for number in range(3):
            self.assertTrue(client.ask(b"RCPT TO:<nobody%d@b.example>\r\n" % number).startswith(b"550 5.1.1"))
        self.assertRegex(client.ask(b"DATA\r\n"), rb"^5(03|54) ")
        client.close()
        # What is delivered for nobody is not reported either, and what comes back goes nowhere.
        client = Raw(relay.address("smtp"))
        self.assertTrue(client.begin("bob@b.example").startswith(b"250"))
        self.assertTrue(client.ask(b"DATA\r\n").startswith(b"354"))
        self.assertTrue(client.ask(b"Subject: x\r\n\r\nx\r\n.\r\n").startswith(b"250"))
        client.close()
        self.wait_messages(relay.mail / "b.example/bob")
        self.assertEqual(sloppy.commands, [])

    def test_what_a_host_answers_stays_harmless_in_reports_and_logs(self):
        """HOSTILE section 5 (CVE-2020-8794)"""
        rude = Rude()
        self.addCleanup(rude.stop)
        relay = self.relay("--local", "a.example", "--route", f"*=127.0.0.1:{rude.port}")
        host, port = relay.address("smtp")
        with smtplib.SMTP(host, port, local_hostname="client.test", timeout=PATIENCE) as client:
            client.sendmail("alice@a.example", ["x@b.example"], b"Subject: x\r\n\r\nx\r\n")
        text, = self.wait_messages(relay.mail / "a.example/alice")
        report = email.message_from_bytes(text)
        status = report.get_payload()[1].get_payload()
        self.assertEqual([part.get_content_type() for part in report.get_payload()],
                         ["text/plain", "message/delivery-status", "message/rfc822"])
        self.assertEqual(len(status), 2)
        self.assertEqual(status[1].get_all("Final-Recipient"), ["rfc822; x@b.example"])
        self.assertEqual(status[1].get_all("Status"), ["5.1.1"])
        self.assertTrue(status[1]["Diagnostic-Code"].startswith("smtp; 550 "))
        self.assertLess(len(text), 10000)
        wait_for(lambda: "reported to sender" in relay.log(), "what the relay says of it")
        for shown in (text, relay.log().encode()):
            self.assertEqual(re.findall(rb"[\0-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]", shown.replace(b"\t", b"")), [])

    @needs("unbound")
    def test_goes_to_no_host_of_its_own_network_that_the_dns_names(self):
        """MX-016"""
        sloppy = Sloppy()
        self.addCleanup(sloppy.stop)
        homes = ["127.0.0.1", "0.0.0.0", "10.0.0.1", "192.168.1.1", "169.254.169.254"]
        records = [f"h{n}.example. 60 IN A {ip}" for n, ip in enumerate(homes)]
        records += [f"d{n}.example. 60 IN MX 10 h{n}.example." for n in range(len(homes))]
        records += ["local.example. 60 IN MX 10 localhost.", "v6.example. 60 IN AAAA ::1",
                    "mapped.example. 60 IN AAAA ::ffff:127.0.0.1", "number.example. 60 IN MX 10 127.0.0.1.",
                    "own.example. 60 IN MX 10 relay.test.", "relay.test. 60 IN A 192.0.2.1"]
        domains = [f"d{n}.example" for n in range(len(homes))] + ["local.example", "v6.example", "mapped.example",
                                                                   "number.example", "own.example", "[127.0.0.1]"]
        relay = self.relay("--resolver", self.dns(records), "--smtp-port", sloppy.port, "--local", "a.example")
        host, port = relay.address("smtp")
        with smtplib.SMTP(host, port, local_hostname="client.test", timeout=PATIENCE) as client:
            client.sendmail("alice@a.example", [f"x@{d}" for d in domains], b"Subject: x\r\n\r\nx\r\n")
        alice = relay.mail / "a.example/alice"
        wait_for(lambda: sum(m.count(b"Action: failed") for m in self.messages(alice)) == len(domains), "all failures")
        statuses = re.findall(rb"Status: (\S+)", b"".join(self.messages(alice)))
        self.assertEqual(set(statuses), {b"5.4.4", b"5.4.6"})
        self.assertEqual(sloppy.commands, [])


if __name__ == "__main__":
    main()
