"""Keeps TensorFlow's notes on hardware from those who run a command of kgen, `python -m ...`.

Commands run this file before Keras is imported, the recipes and benchmarks without importing kgen.
Who sets TF_CPP_MIN_LOG_LEVEL decides instead: below 2, TensorFlow says everything. Some notes come
whatever it says, while TensorFlow is loaded: they are taken out of what is written meanwhile.
"""

import contextlib
import importlib.util
import logging
import os
import re
import signal
import sys
import tempfile

NOTE = re.compile(rb"[IW]\d{4} .*\.cc:\d+\] |WARNING: All log messages before absl::InitializeLog")


class Finder:
    """Of `sys.meta_path`: finds TensorFlow, and has it loaded without its notes."""

    def find_spec(self, name, path=None, target=None):
        """The specification of TensorFlow as others find it, or None."""
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None:
            load = spec.loader.exec_module
            spec.loader.exec_module = lambda module: _quietly(load, module)
        return spec


def _quietly(load, module):
    with _without_notes():
        load(module)
    for name in ("tensorflow", "absl"):  # what their Python parts log
        logging.getLogger(name).setLevel("ERROR")


def end_on_interrupt(importing):
    """Let Ctrl-C end a command in one line while its imports go on, and as ever after them."""
    usual = signal.default_int_handler
    before, after = (usual, _interrupted) if importing else (_interrupted, usual)
    if signal.getsignal(signal.SIGINT) is before:
        signal.signal(signal.SIGINT, after)


def _interrupted(*_):  # the standard error may be set aside
    os.write(1, b"Interrupted before anything began.\n")
    os._exit(128 + signal.SIGINT)


@contextlib.contextmanager
def _without_notes():
    """Keep what is written to the standard error, of C++ too, and pass on what is no note."""
    try:
        stderr = os.dup(2)
    except OSError:  # there is none
        yield
        return
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            written.seek(0)
            for line in written:
                if not NOTE.match(line):
                    os.write(2, line)


if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") in ("2", "3"):
    sys.meta_path.insert(0, Finder())
