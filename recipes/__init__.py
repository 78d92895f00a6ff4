"""One short script for each example of the lecture; `python -m recipes` lists them."""

import os
import runpy
import signal
import sys
from pathlib import Path


def interrupted_before_the_run(*_):
    """End a command by Ctrl-C while its imports go on; what was there is as it was."""
    os.write(1, b"Interrupted before the run began; nothing has changed.\n")
    os._exit(128 + signal.SIGINT)


runpy.run_path(Path(__file__).parents[1] / "kgen" / "quiet.py")
if sys.argv[0] == "-m" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, interrupted_before_the_run)
