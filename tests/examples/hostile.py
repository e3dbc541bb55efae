#!/usr/bin/env python3
"""Clients that break the rules, octet for octet, against a relay: HOSTILE section 3.

    hostile.py PATH-OF-RELAY
"""

import contextlib
import resource
import socket
import time

from relays import ANY, PATIENCE, play, relay, until

HELLO = b"EHLO client.test\r\n"
ENVELOPE = b"MAIL FROM:<a@far.test>\r\nRCPT TO:<b@here.test>\r\n"
MESSAGE = ENVELOPE + b"DATA\r\n"


class Guest:
    """A connection that says octets and hears lines."""

    def __init__(self, r, greeted=True):
        self.wire = socket.create_connection(("127.0.0.1", r.port()), PATIENCE)
        self.file = self.wire.makefile("rb")
        if greeted:
            assert self.reply() == 220
            assert self.asks(HELLO) == 250

    def says(self, octets):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.wire.sendall(octets)

    def reply(self):
        """The code of the next reply; None: it was closed instead."""
        with contextlib.suppress(ConnectionResetError):
            while line := self.file.readline():
                if line[3:4] != b"-":
                    return int(line[:3])
        return None

    def asks(self, octets):
        self.says(octets)
        return self.reply()

    def replies(self):
        """All that come until it is closed."""
        codes = []
        while (code := self.reply()) is not None:
            codes.append(code)
        return codes

    def close(self):
        self.file.close()
        self.wire.close()


@contextlib.contextmanager
def guest(r, greeted=True):
    client = Guest(r, greeted)
    try:
        yield client
    finally:
        client.close()


def accepted(r):
    return sum(" accepted " in line for line in r.lines())


def memory(r):
    """The most that it ever had, in bytes."""
    with open(f"/proc/{r.process.pid}/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


# What is said, in pieces that wait for a reply each; the codes heard; whether that is the end, or
# what is said then and never has a good answer.
CASES = [
    ("a lone LF", [b"NOOP\n"], [500], True),
    ("a lone CR", [b"NOOP\rRSET\r\n"], [500], False),
    ("an empty line", [b"\r\n"], [500], False),
    ("NUL in a command", [b"NOOP\0\r\n"], [500], False),
    ("NUL in a verb", [b"NO\0OP\r\n"], [500], False),
    ("8-bit in a verb", [b"NO\xd6P\r\n"], [500], False),
    ("ESC in a name", [b"EHLO \x1b]0;evil\x07.test\r\n"], [500], False),
    ("a parenthesis in a name", [b"EHLO a)b\r\n"], [501], False),
    ("a name of 2,000 octets", [b"EHLO " + b"a" * 2000 + b"\r\n"], [501], False),
    ("a line of 64 KiB", [b"NOOP " + b"RSET\r" * 13107 + b"\r\n"], [500], False),
    ("TURN", [b"TURN\r\n"], [502], False),
    ("XCLIENT", [b"XCLIENT ADDR=127.0.0.1 LOGIN=root\r\n"], [502], False),
    ("XFORWARD", [b"XFORWARD ADDR=127.0.0.1\r\n"], [502], False),
    ("XEXCH50", [b"XEXCH50 4 2\r\n"], [502], False),
    ("PROXY", [b"PROXY TCP4 127.0.0.1 127.0.0.1 1 25\r\n"], [554], True),
    ("a browser", [b"POST / HTTP/1.1\r\nHost: x\r\n\r\n" + HELLO + MESSAGE], [554], True),
    ("TLS on a clear port", [b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"], [554], True),
    ("SIZE 2^32+1", [b"MAIL FROM:<a@b.test> SIZE=4294967297\r\n"], [552], False),
    ("SIZE 2^63", [b"MAIL FROM:<a@b.test> SIZE=9223372036854775808\r\n"], [552], False),
    ("SIZE 2^64+1", [b"MAIL FROM:<a@b.test> SIZE=18446744073709551617\r\n"], [501], False),
    ("SIZE -1", [b"MAIL FROM:<a@b.test> SIZE=-1\r\n"], [501], False),
    ("BDAT 2^64-1", [ENVELOPE, b""], [250, 250], b"BDAT 18446744073709551615 LAST\r\nx"),
    ("BDAT 2^64+4", [ENVELOPE, b"", b"BDAT 18446744073709551620\r\nRSET"], [250, 250, 501], True),
    ("BDAT -1", [ENVELOPE, b"", b"BDAT -1 LAST\r\n"], [250, 250, 501], True),
    ("BDAT 0x10", [ENVELOPE, b"", b"BDAT 0x10\r\n"], [250, 250, 501], True),
    ("BDAT 12abc", [ENVELOPE, b"", b"BDAT 12abc\r\n"], [250, 250, 501], True),
    ("BDAT without anything", [b"BDAT 6\r\nRSET\r\nNOOP\r\n", b""], [503, 250], False),
    ("MAIL between chunks", [ENVELOPE, b"", b"BDAT 1\r\nxMAIL FROM:<c@d.test>\r\n", b""],
     [250, 250, 250, 503], False),
    ("a message before 354 in one piece",
     [MESSAGE + b"Subject: x\r\n\r\n.\r\nNOOP\r\n", b"", b"", b"", b""],
     [250, 250, 354, 250, 250], False),
    ("behind QUIT", [b"QUIT\r\n" + MESSAGE], [221], True),
]


def breaks_no_rule_that_others_break():
    """SS-001 SS-043 SS-052 SS-053 SX-001 SX-004 SX-020 SX-040 SX-041: each answered as it should
    be, and the session goes on where it was said to, and nowhere else."""
    with relay(*ANY, "--local", "here.test") as r:
        for name, pieces, want, ends in CASES:
            with guest(r) as client:
                heard = [client.asks(piece) for piece in pieces]
                assert heard == want, (name, heard)
                if isinstance(ends, bytes):  # octets without end are swallowed: never 250
                    client.says(ends + b"x" * 100000)
                    client.wire.settimeout(0.2)
                    with contextlib.suppress(TimeoutError):
                        assert client.reply() in (501, 552, None), name
                elif ends:
                    assert client.reply() is None, name
                else:
                    assert client.asks(b"QUIT\r\n") == 221, name
        until(lambda: accepted(r) > 0, "the log")
        assert accepted(r) == 1  # the message of its own


def a_line_without_end_takes_no_memory():
    """SS-043: 100 MB, one reply, and the tail of it is no command."""
    with relay(*ANY) as r:
        with guest(r) as client:
            before = memory(r)
            for _ in range(100):
                client.says(b"x" * (1 << 20))
            assert client.asks(b"\r\n") == 500
            assert client.asks(b"NOOP\r\n") == 250
            assert memory(r) - before < 4 << 20, (before, memory(r))


def five_thousand_recipients_are_no_trouble():
    """SS-042: the first thousand stand, the others may come later."""
    with relay(*ANY, "--route", "*=discard") as r, guest(r) as client:
        assert client.asks(b"MAIL FROM:<a@near.test>\r\n") == 250
        codes = []
        for i in range(0, 5000, 50):
            client.says(b"".join(b"RCPT TO:<u%d@far.test>\r\n" % n for n in range(i, i + 50)))
            codes += [client.reply() for _ in range(50)]
        assert codes == [250] * 1000 + [452] * 4000
        assert client.asks(b"DATA\r\n") == 354
        assert client.asks(b"Subject: x\r\n\r\n.\r\n") == 250
        until(lambda: any(" accepted " in line and "recipients=1000" in line
                          for line in r.lines()), "all of them")


def unknown_recipients_are_not_guessed_for_ever():
    """SS-051: no backscatter, and an end to it."""
    with relay(*ANY, "--local", "here.test", "--relay-from", "none") as r, guest(r) as client:
        assert client.asks(b"MAIL FROM:<>\r\n") == 250
        for _ in range(100):
            assert client.asks(b"RCPT TO:<b@far.test>\r\n") == 550
        assert client.reply() == 421
        assert client.reply() is None


def junk_and_errors_come_to_an_end():
    """SS-051"""
    with relay(*ANY) as r:
        for junk in (b"NOOP\r\n", b"RSET\r\n", b"HELP\r\n", b"VRFY x\r\n"):
            with guest(r) as client:
                client.says(junk * 150)
                codes = client.replies()
                assert codes[-1] == 421 and len(codes) <= 101, codes


def goes_well(r):
    """Whether a client gets through a session of its own."""
    with guest(r, greeted=False) as client:
        return client.reply() == 220 and client.asks(b"QUIT\r\n") == 221


def survives_more_connections_than_it_has_descriptors():
    """HOSTILE section 3: who can't be served is told so or cut off, and the next one is served."""
    with relay(*ANY) as r:
        resource.prlimit(r.process.pid, resource.RLIMIT_NOFILE, (40, 40))
        crowd = [socket.create_connection(("127.0.0.1", r.port()), PATIENCE) for _ in range(200)]
        heard = [wire.recv(100)[:3] for wire in crowd]
        assert set(heard) <= {b"220", b"421", b""} and heard.count(b"220") > 5, heard
        assert heard.count(b"421") > 100, heard
        for wire in crowd:
            wire.close()
        until(lambda: goes_well(r), "room again")


def a_crowd_of_one_client_is_told_to_come_back():
    with relay(*ANY, "--limit-loopback", "--max-sessions-per-client", "5") as r:
        crowd = [Guest(r) for _ in range(5)]
        with guest(r, greeted=False) as client:
            assert client.reply() == 421 and client.reply() is None
        for client in crowd:
            client.close()
        until(lambda: goes_well(r), "room again")


def is_cut_off(r, begin, drop):
    """Whether a client that has said `begin` is, while it drips; not if it came so far no more:
    where there is much to do, the time of a command may be over sooner."""
    with guest(r, greeted=False) as client:
        if not all(client.asks(piece) in (220, 250, 354) for piece in (b"", HELLO, *begin)):
            return False
        client.wire.settimeout(0.05)
        limit = time.monotonic() + PATIENCE
        while time.monotonic() < limit:
            client.says(drop)
            with contextlib.suppress(TimeoutError):
                heard = client.wire.recv(100)
                assert heard[:3] in (b"421", b""), heard
                return True
        raise AssertionError("it drips on")


def who_drips_is_cut_off():
    """SS-044: the time is a command's, not an octet's; and a message has a rate."""
    with relay(*ANY, "--idle", "1") as r:
        until(lambda: is_cut_off(r, (), b"N"), "the end of a command")
        until(lambda: is_cut_off(r, (ENVELOPE, b"", b"DATA\r\n"), b""), "the end of a message")
        assert accepted(r) == 0


TESTS = [
    breaks_no_rule_that_others_break,
    a_line_without_end_takes_no_memory,
    five_thousand_recipients_are_no_trouble,
    unknown_recipients_are_not_guessed_for_ever,
    junk_and_errors_come_to_an_end,
    survives_more_connections_than_it_has_descriptors,
    a_crowd_of_one_client_is_told_to_come_back,
    who_drips_is_cut_off,
]

play(TESTS)
