"""Original files of sets of TensorFlow Datasets, in a folder that stands in for the network."""

import contextlib
import hashlib
import os
import pathlib
import shutil
import struct
import urllib.parse
import zipfile

import keras

from kgen.files import sha256_of_file

# When the files within these archives were written, since 1970. Distributions strip name and time
# from the headers of gzip files (Debian's dataset-fashion-mnist does); with both back, they are the
# originals, bit for bit.
GZIP_SECONDS = {
    "train-images-idx3-ubyte": 1504176606,
    "train-labels-idx1-ubyte": 1504176606,
    "t10k-images-idx3-ubyte": 1504176627,
    "t10k-labels-idx1-ubyte": 1504176627,
}


class Originals:
    """A folder that stands in for the network: gives out each file that is asked for, checked.

    What it has to complain about is collected, so that one message can name everything.
    """

    def __init__(self, folder, name, infos):
        from tensorflow_datasets.core.download import checksums

        self.name, self.folder = name, folder
        self.infos = checksums.get_all_url_infos() | (infos or {})
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        self.sizes = {path: path.stat().st_size for path in files}
        self.wrong, self.missing, self.restored = {}, {}, set()  # the first two by address
        self._checksums = {}

    def look_for_all(self, builder):
        """Look for all that a builder asks for, before anything is made.

        Returns:
            Bytes that the archives take unpacked, at least.
        """
        asked = _Questions(self, builder.MANUAL_DOWNLOAD_INSTRUCTIONS and self.folder)
        with contextlib.suppress(Exception):  # it may look into what is not unpacked yet
            builder._split_generators(asked)
        return sum(map(_unpacked_size, asked.archives))

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
        named = [path for path in self.sizes if path.name in names]
        if info is None:  # no checksum is on record
            if named:
                return named[0]
        else:
            alike = [path for path, size in self.sizes.items() if size == int(info.size)]
            for path in sorted(alike, key=lambda path: path not in named):
                if self.checksum(path) == info.checksum:
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
            self.wrong[url] = (
                f"{path} has {self.sizes[path]:,} bytes and SHA-256 {self.checksum(path)}; "
                f"expected {asked}"
            )
        else:
            self.missing[url] = asked
        raise FileNotFoundError(asked)

    def checksum(self, path):
        """SHA-256 of a file, computed once."""
        if path not in self._checksums:
            self._checksums[path] = sha256_of_file(path)
        return self._checksums[path]

    def complain(self):
        """Raise for originals that are wrong or missing."""
        wrong, missing = ("\n  ".join(found.values()) for found in (self.wrong, self.missing))
        lacks = f"{self.folder} lacks originals of {self.name!r}:\n  {missing}"
        if wrong:
            raise ValueError(
                f"These are not the originals of {self.name!r} that TensorFlow Datasets has on "
                f"record:\n  {wrong}\nFetch them again." + (f"\n{lacks}" if missing else "")
            )
        if missing:
            raise FileNotFoundError(
                f"{lacks}\nFetch them elsewhere and put them into that folder, under any name."
            )


class _Questions:
    """Stands in for the download manager of TensorFlow Datasets: hears what is asked for."""

    def __init__(self, source, manual_dir):
        import tensorflow_datasets as tfds

        self._source, self._path, self.archives = source, tfds.core.Path, set()
        if manual_dir:
            self.manual_dir = self._path(manual_dir)

    def _find(self, resource):
        try:
            return self._path(self._source.find(getattr(resource, "url", resource)))
        except FileNotFoundError:  # which the source has noted
            return self._path(self._source.folder / "missing")

    def _extracted(self, archive):
        path = pathlib.Path(getattr(archive, "path", archive))
        self.archives.add(path)
        return self._path(path / "unpacked")  # which does not exist

    def download(self, urls):
        return keras.tree.map_structure(self._find, urls)

    def extract(self, paths):
        return keras.tree.map_structure(self._extracted, paths)

    def download_and_extract(self, urls):
        return self.extract(self.download(urls))

    def iter_archive(self, archive):
        return iter(())


def _unpacked_size(path):
    """Bytes that an archive takes unpacked, or a lower bound of them."""
    if not path.is_file():
        return 0
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return sum(entry.file_size for entry in archive.infolist())
    return path.stat().st_size


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
    if name not in GZIP_SECONDS or content[:4] != b"\x1f\x8b\x08\x00":
        return None
    header = struct.pack("<4sIBB", b"\x1f\x8b\x08\x08", GZIP_SECONDS[name], 0, 3)  # a name, on Unix
    return header + name.encode() + b"\0" + content[10:]
