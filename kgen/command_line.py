"""What the commands of kgen share: flags that are refused at once, errors that end in one line."""

import argparse
import math
import os
import pathlib
import re
import sys
import tempfile

from kgen.data import pixels
from kgen.data.layout import KINDS

EXPECTED = (ValueError, TypeError, OSError, ImportError, MemoryError)
ALIASES = {"num_examples": "n"}  # arguments of `kgen.data.load` whose flag has another name


class Parser(argparse.ArgumentParser):
    """A parser whose errors take one line."""

    def __init__(self, **options):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message):
        """End with one line and exit code 2."""
        self.exit(2, f"{self.prog}: error: {message}\n")


def number(kind, text, fits, expected):
    """The number, of this kind, that a text holds.

    Raises:
        argparse.ArgumentTypeError: if there is none, or it does not fit; says what is expected.
    """
    try:
        found = kind(text)
    except ValueError:
        found = None
    if found is None or not fits(found):
        raise argparse.ArgumentTypeError(f"must be {expected}; got {text!r}")
    return found


def positive(text):
    """A whole number above 0."""
    return number(int, text, lambda n: n > 0, "a whole number above 0")


def seed(text):
    """A whole number that seeds NumPy, too."""
    return number(int, text, lambda n: 0 <= n < 2**32, "a whole number from 0 to 2**32 - 1")


def from_zero(text):
    """A finite number, 0 or more."""
    return number(float, text, lambda x: 0 <= x < math.inf, "a number of 0 or more")


def background(text):
    """A colour as `kgen.data.load` takes it."""
    value = int(text) if text.isdecimal() else text
    try:
        pixels.color(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return value


IMAGES = {  # how `kgen.data.load` reads them, under its names
    "image_size": {
        "type": positive,
        "metavar": "PIXELS",
        "help": "side that images are cropped and resized to; their own if not given",
    },
    "channels": {
        "type": int,
        "choices": [1, 3, 4],
        "help": "convert images to grey (1), colour (3) or colour with transparency (4)",
    },
    "background": {
        "type": background,
        "default": "white",
        "metavar": "COLOUR",
        "help": "what transparent images are shown on: a name, or a grey from 0 to 255",
    },
    "kind": {
        "choices": KINDS,
        "help": "of a folder, where it cannot be seen from what it holds; of two domains of faces",
    },
    "skip_broken": {"action": "store_true", "help": "leave out images that cannot be read"},
    "memory": {
        "type": from_zero,
        "metavar": "BYTES",
        "help": "pixels to keep in memory; the others are read again in each epoch",
    },
    "data_dir": {"metavar": "FOLDER", "help": "store of TensorFlow Datasets"},
}
DEBUG = {"action": "store_true", "help": "show the traceback of an error"}


def add_image_flags(parser):
    """Add the flags of how images are read, and `--debug`."""
    for name, options in (IMAGES | {"debug": DEBUG}).items():
        parser.add_argument("--" + name.replace("_", "-"), **options)


def image_options(run):
    """What those flags say, as arguments of `kgen.data.load`."""
    return {name: getattr(run, name) for name in IMAGES}


def file_to_write(text):
    """The path of a file that can be written, in a folder that is there or can be made."""
    path = pathlib.Path(text).expanduser()
    if not text or path.is_dir():
        raise argparse.ArgumentTypeError(f"must be a file to write; got {text!r}")
    above = next(folder for folder in path.absolute().parents if folder.exists())
    try:
        if not path.exists():
            tempfile.TemporaryFile(dir=above).close()
        elif not os.access(path, os.W_OK):
            raise PermissionError(0, "Permission denied")
    except OSError as error:
        reason = f"{path} cannot be written: {error.strerror}"
        raise argparse.ArgumentTypeError(reason) from error
    return path


def picture_to_write(text):
    """The path of a picture that can be written, whose suffix matplotlib knows."""
    from matplotlib.backend_bases import FigureCanvasBase

    path, known = file_to_write(text), FigureCanvasBase.get_supported_filetypes()
    if path.suffix[1:].lower() not in ("", *known):
        expected = ", ".join(f".{kind}" for kind in sorted(known))
        raise argparse.ArgumentTypeError(f"must end in one of {expected}; got {text!r}")
    return path


def to_the_end(command, run, name):
    """Run a command: an exit code, 0, 2 after an error and 130 after Ctrl-C, each said in a line.

    Args:
        command: function of `run`.
        run: the namespace of flags, `debug` among them.
        name: of the command.
    """
    try:
        command(run)
    except KeyboardInterrupt:
        said, code = "interrupted", 130
    except Exception as error:
        if run.debug:
            raise
        said, code = f"error: {in_flags(str(error) or repr(error), vars(run))}", 2
        if not isinstance(error, EXPECTED):
            said = f"error: {in_flags(repr(error), vars(run))} (--debug shows where)"
    else:
        return 0
    print(f"{name}: {said}", file=sys.stderr)
    return code


def in_flags(message, flags):
    """A message in one line, with flags in the place of the arguments that it advises.

    Args:
        flags: names of the flags that there are, such as `image_size`.
    """

    def flag(found):
        name = ALIASES.get(found[1], found[1])
        if name not in flags:
            return found[0]
        return f"--{name.replace('_', '-')}" + " " * bool(found[2])

    words = r"\b([a-z_]+)=(?:True\b|(?=([\w\"'(\[])?))"
    return " ".join(re.sub(words, flag, message).split())
