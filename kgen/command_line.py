"""What the commands of kgen share: flags that are refused at once, errors that end in one line."""

import argparse
import os
import pathlib
import re
import sys
import tempfile

from kgen.data import pixels

EXPECTED = (ValueError, TypeError, OSError, ImportError, MemoryError)
IMAGES = ("image_size", "channels", "background", "kind", "skip_broken", "memory", "data_dir")
ALIASES = {"num_examples": "n"}  # arguments of `kgen.data.load` whose flag has another name


class Parser(argparse.ArgumentParser):
    """A parser whose errors take one line."""

    def __init__(self, **options):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message):
        """End with one line and exit code 2."""
        self.exit(2, f"{self.prog}: {message}\n")


def add_image_flags(parser):
    """Add the flags of how `kgen.data.load` reads images, under the names of its arguments."""
    add = parser.add_argument
    add("--image-size", type=count, metavar="PIXELS", help="side that images are resized to")
    add("--channels", type=int, choices=[1, 3, 4], help="1: grey; 3: colour; 4: with transparency")
    add("--background", type=_colour, default="white", help="of what is transparent; a name")
    add("--kind", help="of a folder, where it cannot be seen from its entries")
    add("--skip-broken", action="store_true", help="leave out images that cannot be read")
    add("--memory", type=count, metavar="BYTES", help="pixels to keep in memory")
    add("--data-dir", metavar="FOLDER", help="the store of TensorFlow Datasets")
    add("--debug", action="store_true", help="show the traceback of an error")


def image_options(run):
    """What those flags say, as arguments of `kgen.data.load`."""
    return {name: getattr(run, name) for name in IMAGES}


def _colour(text):
    try:
        return pixels.colour(int(text) if text.isdecimal() else text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def count(text):
    """A whole number above 0."""
    return _number(text, 1, "a whole number above 0")


def seed(text):
    """A whole number that seeds NumPy, too."""
    return _number(text, 0, "a whole number from 0 to 4294967295", 2**32 - 1)


def at_most(most):
    """A type for `add_argument`: a whole number from 1 on."""
    return lambda text: _number(text, 1, f"a whole number from 1 to {most:,}", most)


def _number(text, least, expected, most=float("inf")):
    if not re.fullmatch(r"\+?\d{1,30}", text, re.ASCII) or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"must be {expected}; got {text!r}")
    return int(text)


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
        said, code = in_flags(str(error), vars(run)), 2
        if not said or not isinstance(error, EXPECTED):
            said = f"{type(error).__name__}: {said} (--debug shows where)"
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
