"""What the servers say of their options, in --help and in their manuals."""

import os
import re


def headings_in_help(text):
    """What a server's --help puts its options under. None but --config stands before the first."""
    first, *rest = text.split("\n\n")[1:]
    assert re.findall("^  --(\\S+)", first, re.M) == ["config"], first
    return {part.split(":\n")[0] for part in rest}


def headings_in_manual(server):
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "..", "..", "examples", server, server + ".8")) as manual:
        heads = [line.strip() for line in manual if line.startswith((".Sh ", ".Ss "))]
    return {head[4:].capitalize() if head.startswith(".Sh") else head[4:] for head in heads}
