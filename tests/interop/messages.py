"""The messages that every way through the system must carry unchanged."""

HEAD = b"From: <alice@a.example>\r\nTo: <bob@b.example>\r\nSubject: test\r\n\r\n"


def lines_of(length, count=1):
    return b"\r\n".join(bytes(97 + (i + n) % 26 for i in range(length)) for n in range(count)) + b"\r\n"


#: name -> wire form
WIRE = {
    "empty body": HEAD,
    "one line": HEAD + b"hello\r\n",
    "leading dots": HEAD + b".\r\n..\r\n...x\r\n.end\r\n\r\n.\r\n",
    "8-bit": HEAD + "Grüße aus Köln, 電子メール\r\n".encode() + bytes(range(128, 256)) + b"\r\n",
    "lines of 998": HEAD + lines_of(998, 20),
    "line of 100000": HEAD + lines_of(100000),
    "only dots and blanks": HEAD + b". \r\n .\r\n.\t.\r\n" * 50,
    "header only, folded": b"Subject: a\r\n b\r\n\tc\r\nX-Empty:\r\n\r\n",
    "mbox look-alike": HEAD + b"From the start\r\n>From quoted\r\n",
}


def to_disk(wire):
    """As a Maildir holds it: LF line ends."""
    return wire.replace(b"\r\n", b"\n")
