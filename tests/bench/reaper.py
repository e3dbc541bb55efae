#!/usr/bin/env python3
"""Runs a server and adopts whatever it leaves behind, so that its CPU time can be told as one figure.

    reaper.py COMMAND [ARGUMENT...]
"""

import ctypes
import os
import signal
import subprocess
import sys

PR_SET_CHILD_SUBREAPER = 36


def main():
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    server = subprocess.Popen(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: server.send_signal(signal.SIGTERM))
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return 0


if __name__ == "__main__":
    sys.exit(main())
