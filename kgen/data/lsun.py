"""Images in an LMDB, as LSUN publishes them: encoded images by key.

The file is read page by page and never mapped into memory: where it was cut off or damaged, that is
an error, while a library that maps it ends the process. What is read is the format of LMDB 0.9 as
64-bit machines write it, one database of unique keys.
"""

import array
import io
import pathlib
import struct

from kgen.arguments import check_regular
from kgen.progress import progress

MAGIC, VERSION, NO_PAGE = 0xBEEFC0DE, 1, 2**64 - 1
# After a page's header: magic, version; of the free pages the page size; of the main database its
# flags, entries and root; the last page and the transaction.
META = struct.Struct("<II16xI44x4xH26xQQQQ")
PAGE = struct.Struct("<Q2xHH2x")  # number, kind, where the table of nodes ends
BRANCH, LEAF = 1, 2
NODE = struct.Struct("<HHHH")  # a value's size, in two parts, flags, the key's size; or a page
APART = 1  # a value on pages of its own; other flags are those of databases within this one


class LmdbImages:
    """The encoded images of an LMDB folder, by index, in the order of their keys.

    Args:
        folder: that holds `data.mdb`.

    Raises:
        ValueError: if it cannot be read.
    """

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self._file = self.folder / "data.mdb"
        if not self._file.exists():
            raise ValueError(f"{folder} is no LMDB: it has no data.mdb.")
        self._keys, self._places, self._sizes = [], array.array("q"), array.array("q")
        try:
            check_regular(self._file)
            with open(self._file, "rb") as file:
                self._look_through(file)
        except (OSError, ValueError, struct.error) as error:
            reason = "it was cut off or is damaged" if isinstance(error, struct.error) else error
            raise ValueError(
                f"{folder} cannot be read as an LMDB: {reason}. Fetch it again."
            ) from error

    def _look_through(self, file):
        """Note each image's key, place and size."""
        end = file.seek(0, io.SEEK_END)
        page_size, count, root = _newest(file)
        values = _values(file, page_size, end, root)
        for key, place, size in progress(values, count, "Looking at images"):
            if place + size > end:
                raise ValueError(f"it ends after {end} bytes, amid image {len(self._keys)}")
            self._keys.append(key)
            self._places.append(place)
            self._sizes.append(size)
        if len(self._keys) != count:
            raise ValueError(f"it holds {len(self._keys)} images instead of {count}")

    def __len__(self):
        return len(self._keys)

    def read(self, i):
        """The bytes of image `i`; several threads may ask at once."""
        with open(self._file, "rb") as file:
            file.seek(self._places[i])
            return file.read(self._sizes[i])

    def name(self, i):
        """What messages call image `i`."""
        return f"{i} of {self.folder}"

    def entry(self, i):
        """What an identity takes of image `i`: its key, size in bytes, and the database's time."""
        return self.key(i), self._sizes[i], int(self._file.stat().st_mtime)

    def key(self, i):
        """The key of image `i`, as text."""
        return self._keys[i].decode("utf-8", "replace")


def _newest(file):
    """Page size, number of values and first page, as the last transaction left them."""
    size, found = 0, []
    for _ in range(2):  # both transactions that the file knows
        file.seek(size + PAGE.size)
        magic, version, size, flags, count, root, _, number = META.unpack(file.read(META.size))
        if magic != MAGIC or version != VERSION or not 256 <= size <= 65536:
            raise ValueError("its content is none, or not of LMDB 0.9 on a 64-bit machine")
        if flags:
            raise ValueError("its keys are not in plain order, or not unique")
        found.append((number, size, count, root))
    return max(found)[1:]


def _values(file, page_size, end, root):
    """Key, place and size of each value, in the order of the keys."""
    waiting, left = [] if root == NO_PAGE else [root], end // page_size
    while waiting:
        number, left = waiting.pop(), left - 1
        if (number + 1) * page_size > end:
            raise ValueError(f"it ends after {end} bytes, before page {number}")
        file.seek(number * page_size)
        page = file.read(page_size)
        own, kind, table_end = PAGE.unpack_from(page)
        if own != number or kind not in (BRANCH, LEAF) or left < 0:
            raise ValueError(f"page {number} is damaged")
        starts = struct.unpack_from(f"<{(table_end - PAGE.size) // 2}H", page, PAGE.size)
        if kind == BRANCH:
            parts = [NODE.unpack_from(page, start) for start in reversed(starts)]
            waiting += [low | middle << 16 | high << 32 for low, middle, high, _ in parts]
            continue
        for start in starts:
            low, high, flags, length = NODE.unpack_from(page, start)
            place = start + NODE.size + length
            key = page[start + NODE.size : place]
            if flags == APART:
                (first,) = struct.unpack_from("<Q", page, place)
                yield key, first * page_size + PAGE.size, low | high << 16
            elif flags:
                raise ValueError(f"it holds other databases, such as {key[:40]!r}")
            elif place + (size := low | high << 16) > page_size:
                raise ValueError(f"page {number} is damaged")
            else:
                yield key, number * page_size + place, size


def read_without_tensorflow_io(builder):
    """Let TensorFlow Datasets' `lsun` read its images as above; all else of it stays.

    By itself it needs tensorflow-io, which has to fit the version of TensorFlow.
    """
    builder._generate_examples = examples


def examples(extracted_dir, file_path):
    """Yield the examples of TensorFlow Datasets' `lsun`, without tensorflow-io."""
    images = LmdbImages(pathlib.Path(extracted_dir) / file_path)
    for i in range(len(images)):
        yield i, {"id": images.key(i), "image": io.BytesIO(images.read(i))}
