"""Files that appear complete or not at all, and digests of what they hold."""

import contextlib
import errno
import hashlib
import os
import tempfile
from pathlib import Path

WRITING = ".writing-"  # begins the name of a folder in which something is being written


@contextlib.contextmanager
def written_beside(path):
    """A temporary path for a file or folder, renamed to `path` if all went well.

    It has the same name, in a new folder beside. The folder of `path` is made. Otherwise what
    stood there stays, and nothing else; a process that is killed leaves a folder named `WRITING...`

    Raises:
        OSError: names `path`; of the kind of the error that was met.
    """
    path = Path(path)
    with written_within(path.parent, path) as folder:
        temporary = folder / path.name
        yield temporary
        os.replace(temporary, path)


@contextlib.contextmanager
def written_within(folder, what=None):
    """A new folder within `folder`, gone afterwards: what is whole is renamed out of it.

    Raises:
        OSError: names `what`, by default the folder; of the kind of the error that was met.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=WRITING, dir=folder, ignore_cleanup_errors=True
        ) as temporary:
            yield Path(temporary)
    except OSError as error:
        met = error.__cause__ if isinstance(error.__cause__, OSError) else error  # one was within
        reason = f"Cannot write {what or f'to {folder}'}: {met.strerror or met}."
        raise OSError(met.errno or errno.EIO, f"{reason} What was there stays.") from met


def digest(*parts):
    """Hexadecimal digest (BLAKE2b, 128 bits) of bytes, or C-contiguous arrays, in a row."""
    return digest_of_parts(parts)


def digest_of_parts(parts):
    """As `digest`, of an iterable of parts, no more than one of them in memory."""
    found = hashlib.blake2b(digest_size=16)
    for part in parts:
        found.update(part)
    return found.hexdigest()


def digest_of_file(path):
    """As `digest`, of what a file holds."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def sha256_of_file(path):
    """The SHA-256 of a file, which others publish and compare."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
