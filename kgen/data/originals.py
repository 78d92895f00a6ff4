"""Sets of TensorFlow Datasets in the store: fetched, or made from original files."""

import contextlib
import difflib
import functools
import hashlib
import importlib.util
import os
import pathlib
import shutil
import struct
import tempfile
import urllib.parse

EMBEDDED = ("digits", "faces", "toy2d")

# When the files within these archives were written. Distributions strip name and time from the
# headers of gzip files (Debian's dataset-fashion-mnist does); with both back, they are the
# originals, bit for bit.
GZIP_TIMES = {
    "train-images-idx3-ubyte": 1504176606,
    "train-labels-idx1-ubyte": 1504176606,
    "t10k-images-idx3-ubyte": 1504176627,
    "t10k-labels-idx1-ubyte": 1504176627,
}


def prepare(name, originals=None, data_dir=None):
    """Put a set of TensorFlow Datasets into the store, from the network or from original files.

    For machines without internet: fetch the original files elsewhere (`prepare` says which it
    misses), copy the folder over, and prepare the set from there. Nothing goes to the network then.

    Args:
        name: of a set of TensorFlow Datasets, such as `"fashion_mnist"` or `"lsun/bedroom"`.
        originals: folder of the files as their authors publish them, looked through with all
            folders in it. Files are known by name or, if they were renamed, by their content. Each
            is checked against the checksum that TensorFlow Datasets has on record.
        data_dir: the store; by default that of TensorFlow Datasets.

    Returns:
        The folder of the set in the store, a `pathlib.Path`.

    Raises:
        ValueError: for an unknown name, or a file that is not the original: the message names both
            checksums.
        FileNotFoundError: for files that are missing, all of them named.
        ConnectionError: if no originals are given and fetching fails.
        OSError: if there is no room. Whatever happens, nothing half-made stays.
    """
    builder = _builder(name, data_dir)
    if not _is_prepared(builder):
        if originals is None:
            _fetch(builder, name)
        else:
            _make(builder, name, pathlib.Path(originals).expanduser())
    return pathlib.Path(builder.data_dir)


def prepared_builder(name, data_dir=None):
    """The TensorFlow Datasets builder of a set that is in the store, fetched if need be.

    Raises:
        ValueError: if there is no such set.
        ConnectionError: if it is not in the store and cannot be fetched.
    """
    builder = _builder(name, data_dir)
    if not _is_prepared(builder):
        _fetch(builder, name)
    return builder


def _builder(name, data_dir):
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except (tfds.core.DatasetNotFoundError, ValueError, AttributeError) as error:
        known = [*EMBEDDED, *tfds.list_builders()]
        close = difflib.get_close_matches(name.split("/")[0], known)
        raise ValueError(
            f"There is no dataset {name!r}. Embedded: {list(EMBEDDED)}; otherwise any image set "
            "of TensorFlow Datasets"
            + (f", perhaps {' or '.join(map(repr, close))}" if close else "")
            + f". (TensorFlow Datasets says: {str(error).splitlines()[0]})"
        ) from error
    if name.split("/")[0] == "lsun" and importlib.util.find_spec("tensorflow_io") is None:
        from kgen.data.lsun import examples

        builder._generate_examples = examples  # the same examples, read by another package
    return builder


def _is_prepared(builder):
    return bool(builder.info.splits) and os.path.isdir(builder.data_dir)


def _fetch(builder, name):
    """Let TensorFlow Datasets fetch a set, or say what can be done."""
    try:
        with _few_retries(), _nothing_half_made(builder):
            builder.download_and_prepare()
    except Exception as error:  # TensorFlow Datasets raises whatever its downloaders raise
        raise ConnectionError(
            f"The dataset {name!r} is not in the store {builder.data_dir} and fetching it failed: "
            f"{type(error).__name__}: {_first_line(error)}\n"
            "Three ways on: run again with a connection; fetch the original files or the prepared "
            f"set elsewhere (python -m kgen.data prepare {name} --originals FOLDER, data_dir=); or "
            f"use an embedded set, such as {list(EMBEDDED)}."
        ) from error


def _make(builder, name, folder):
    """Make a set of the original files in a folder."""
    import tensorflow_datasets as tfds

    if not folder.is_dir():
        raise FileNotFoundError(f"originals is a folder of original files; there is no {folder}.")
    by_hand = builder.MANUAL_DOWNLOAD_INSTRUCTIONS
    config = tfds.download.DownloadConfig(manual_dir=folder if by_hand else None)
    source = _Originals(folder, name, builder.url_infos)
    store = _store(builder)
    store.mkdir(parents=True, exist_ok=True)
    with _nothing_half_made(builder), source.instead_of_the_network():
        downloads = tempfile.mkdtemp(prefix=".originals-", dir=store)
        try:
            builder.download_and_prepare(download_dir=downloads, download_config=config)
        except Exception as error:
            source.complain()
            if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
                raise OSError(
                    error.errno,
                    f"{name!r} could not be prepared in {store}: {_first_line(error)} Use another "
                    "store with data_dir=, or make room.",
                ) from error
            raise ValueError(
                f"{name!r} could not be prepared from {folder}: {type(error).__name__}: "
                f"{_first_line(error)}" + (f"\nIt expects there: {by_hand}" if by_hand else "")
            ) from error
        finally:
            shutil.rmtree(downloads, ignore_errors=True)


class _Originals:
    """A folder that stands in for the network: gives out each file that is asked for, checked.

    What it has to complain about is collected, so that one message can name everything.
    """

    def __init__(self, folder, name, infos):
        from tensorflow_datasets.core.download import checksums

        self.name, self.folder = name, folder
        self.infos = checksums.get_all_url_infos() | (infos or {})
        self.files = sorted(path for path in folder.rglob("*") if path.is_file())
        self.wrong, self.missing, self.restored = [], [], set()

    @contextlib.contextmanager
    def instead_of_the_network(self):
        """Replace the download of TensorFlow Datasets; its checks and archives stay."""
        from tensorflow_datasets.core.download import checksums, downloader

        def download(_, url, destination, verify=True):
            del verify
            try:
                path = self.find(url)
            except FileNotFoundError as error:  # not raised here: all files are to be asked for
                return promise.reject(error)
            target = pathlib.Path(destination) / self.names(url)[0]  # says what kind of file it is
            if path in self.restored:
                target.write_bytes(_with_header(path))
            else:
                _link(path, target)
            return promise.resolve(
                downloader.DownloadResult(
                    path=type(destination)(target), url_info=checksums.compute_url_info(target)
                )
            )

        promise = downloader.promise.Promise
        before = downloader._Downloader.download
        downloader._Downloader.download = download
        try:
            yield
        finally:
            downloader._Downloader.download = before

    def names(self, url):
        """Names under which the file of this address is known."""
        info = self.infos.get(url)
        in_url = urllib.parse.unquote(urllib.parse.urlsplit(url).path.rsplit("/", 1)[-1])
        return [*filter(None, (info and info.filename, in_url))] or ["original"]

    def find(self, url):
        """The original of this address."""
        info = self.infos.get(url)
        names = self.names(url)
        named = [path for path in self.files if path.name in names]
        if info is None:  # no checksum is on record
            if named:
                return named[0]
        else:
            alike = [path for path in self.files if path.stat().st_size == int(info.size)]
            for path in sorted(alike, key=lambda path: path not in named):
                if _sha256(path) == info.checksum:
                    return path
            for path in named:
                content = _with_header(path)
                if content and hashlib.sha256(content).hexdigest() == info.checksum:
                    self.restored.add(path)
                    return path
        asked = f"{url} ({names[0]}"
        asked += f", {int(info.size):,} bytes, SHA-256 {info.checksum})" if info else ")"
        if named:
            path = named[0]
            self.wrong.append(
                f"{path} has {path.stat().st_size:,} bytes and SHA-256 {_sha256(path)}; expected "
                f"{asked}"
            )
        else:
            self.missing.append(asked)
        raise FileNotFoundError(asked)

    def complain(self):
        """Raise for originals that are wrong or missing."""
        if self.wrong:
            raise ValueError(
                f"These are not the originals of {self.name!r} that TensorFlow Datasets has on "
                "record:\n  " + "\n  ".join(self.wrong) + "\nFetch them again."
            )
        if self.missing:
            raise FileNotFoundError(
                f"{self.folder} lacks originals of {self.name!r}:\n  " + "\n  ".join(self.missing)
            )


@contextlib.contextmanager
def _nothing_half_made(builder):
    """Remove the empty folders that remain where TensorFlow Datasets has removed the rest."""
    folder = pathlib.Path(builder.data_dir)
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # folders that are not empty stay
            for parent in (folder.parent, *folder.parents[1:]):
                if parent == _store(builder):
                    break
                parent.rmdir()
        raise


@contextlib.contextmanager
def _few_retries():
    """Without a connection, TensorFlow Datasets would retry for minutes before it says so."""
    from tensorflow_datasets.core.download import downloader

    before = downloader.MAX_RETRIES
    downloader.MAX_RETRIES = 4
    try:
        yield
    finally:
        downloader.MAX_RETRIES = before


def _store(builder):
    """The folder that holds all sets."""
    return pathlib.Path(builder.data_dir).parents[builder.info.full_name.count("/")]


def _link(path, target):
    """Let `target` be this file too, without copying it where that is possible."""
    for way in (os.link, os.symlink, shutil.copyfile):
        try:
            return way(path.resolve(), target)
        except OSError:
            if way is shutil.copyfile:
                raise


def _with_header(path):
    """A gzip file whose header lacks name and time, with what these are known to be; or None."""
    content, name = path.read_bytes(), path.name.removesuffix(".gz")
    if name not in GZIP_TIMES or content[:4] != b"\x1f\x8b\x08\x00":
        return None
    header = struct.pack("<4sIBB", b"\x1f\x8b\x08\x08", GZIP_TIMES[name], 0, 3)  # a name, on Unix
    return header + name.encode() + b"\0" + content[10:]


@functools.lru_cache
def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _first_line(error):
    return str(error).splitlines()[0] if str(error) else ""
