"""Images in an LMDB, as LSUN publishes them: encoded images by key."""

import importlib.util
import io
import pathlib
import weakref

OPEN = weakref.WeakValueDictionary()


class Images:
    """The encoded images of an LMDB folder, by index, in the order of their keys.

    Args:
        folder: that holds `data.mdb`.

    Raises:
        ImportError: without the package `lmdb`.
        ValueError: if it cannot be read.
    """

    def __init__(self, folder):
        check_installed()
        import lmdb

        self.folder = pathlib.Path(folder)
        if not (self.folder / "data.mdb").is_file():
            raise ValueError(f"{folder} is no LMDB: it has no data.mdb.")
        try:
            place = self.folder.resolve()  # a process opens a database once only
            self._database = OPEN.get(place) or lmdb.open(
                str(place), readonly=True, lock=False, readahead=False
            )
            OPEN[place] = self._database
            with self._database.begin() as reading:
                self._keys = list(reading.cursor().iternext(values=False))
        except lmdb.Error as error:
            raise ValueError(f"{folder} cannot be read as an LMDB: {error}") from error

    def __len__(self):
        return len(self._keys)

    def read(self, i):
        """The bytes of image `i`; several threads may ask at once."""
        with self._database.begin() as reading:
            return reading.get(self._keys[i])

    def __reduce__(self):
        return type(self), (self.folder,)  # another process opens it for itself

    def name(self, i):
        """What messages call image `i`."""
        return f"{i} of {self.folder}"

    def key(self, i):
        """The key of image `i`, as text."""
        return self._keys[i].decode("utf-8", "replace")


def check_installed():
    """Raise ImportError if the package `lmdb` is missing."""
    if importlib.util.find_spec("lmdb") is None:
        raise ImportError(
            "Reading an LMDB needs the package lmdb: pip install 'kgen[lsun]', or pip install lmdb."
        )


def read_with_lmdb(builder):
    """Let TensorFlow Datasets' `lsun` read its images with `lmdb`; all else of it stays.

    By itself it needs tensorflow-io, which has to fit the version of TensorFlow: that is left to
    read only where it is there and `lmdb` is not. If both are missing it is said now, not after
    the archives were unpacked.
    """
    if importlib.util.find_spec("lmdb") or not importlib.util.find_spec("tensorflow_io"):
        check_installed()
        builder._generate_examples = examples


def examples(extracted_dir, file_path):
    """Yield the examples of TensorFlow Datasets' `lsun`, without tensorflow-io."""
    images = Images(pathlib.Path(extracted_dir) / file_path)
    for i in range(len(images)):
        yield i, {"id": images.key(i), "image": io.BytesIO(images.read(i))}
