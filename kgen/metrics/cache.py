"""What was found of real images, kept by their content: the same set is measured once.

In memory always, up to `LIMIT_BYTES`, the oldest going first; on disk where a folder is asked for.
The key is the digest of the images themselves, of the extractor and its weights, and of what is
kept, so an array and a dataset of the same images in the same order share what was found.
"""

import collections
import contextlib
import os
from pathlib import Path

import numpy as np

from kgen.arguments import check_regular
from kgen.files import digest, written_beside
from kgen.metrics.inputs import alike, content, watched_chunks

LIMIT_BYTES = 2**29
VERSION = 2  # raised whenever the same images give something else

_kept = collections.OrderedDict()


def found_of(what, find, images, extractor, cache=None, name="real"):
    """What `find` makes of images, or made of the same ones before.

    Args:
        what: name of what is found, part of the key.
        find: function of `images` that returns a dictionary of arrays.
        images: whatever metrics take. Of a generator, which can be seen once, nothing is kept.
        extractor: `Features`.
        cache: None: in memory only; True: also in `$KGEN_CACHE`, or `~/.cache/kgen`; or a folder.
        name: what messages call the images.

    Returns:
        The dictionary; its arrays are not to be written to.
    """
    folder = folder_of(cache)
    if hasattr(images, "__next__"):
        return find(images)
    parts = (str(VERSION), what, extractor.identity(), content(images, name))
    key = digest("/".join(parts).encode())
    file = folder and folder / f"{key}.npz"
    found = _kept.pop(key, None) or (file and _read(file, key)) or find(images)
    for array in found.values():
        array.flags.writeable = False
    if file and not file.exists():
        _write(file, key, found)
    _kept[key] = found  # as the newest
    while sum(_size(f) for f in _kept.values()) > LIMIT_BYTES:
        _kept.popitem(last=False)
    return found


def features_of_both(real, fake, extractor, cache=None):
    """Features of real and generated images of one size; those of the real ones are kept.

    Args:
        real, fake: whatever metrics take.
        extractor, cache: as in `found_of`.

    Returns:
        float32 `(N, F)` and `(M, F)`, and what such features are called.

    Raises:
        ValueError: if sizes or channels differ.
    """

    def find(images, name="real", shape=None):
        found = []
        for chunk in chunks_like(shape, images, name):
            found.append(extractor(chunk, name))
            shape = chunk.shape[1:]
        return {"features": np.concatenate(found), "shape": np.array(shape)}

    one = found_of("features", find, real, extractor, cache)
    extractor.warn_if_strange(extractor.strangeness(one["features"]), len(one["features"]))
    other = find(fake, "fake", one["shape"])
    return one["features"], other["features"], extractor.name_for(one["shape"])


def chunks_like(shape, images, name):
    """As `chunks`, but images of another shape than `(H, W, C)` are refused; None takes any."""
    for chunk in watched_chunks(images, name):
        if shape is not None:
            alike(np.empty((0, *shape)), chunk)
        yield chunk


def folder_of(cache):
    """The folder that `cache` means, absolute and made; None in memory only."""
    if cache is None:
        return None
    if cache is True:
        cache = os.environ.get("KGEN_CACHE", "~/.cache/kgen")
    if not isinstance(cache, str | os.PathLike):
        raise TypeError(f"cache must be None, True or a folder; got {cache!r}.")
    folder = Path(cache).expanduser().absolute()  # the working directory may change
    folder.mkdir(parents=True, exist_ok=True)  # fails before anything is measured, if it must
    return folder


def _read(file, key):
    """What a file holds; None if there is none, it is damaged, or it was written for another key.

    The key tells the version, too.
    """
    try:
        check_regular(file)
        with np.load(file, allow_pickle=False) as arrays:
            found = dict(arrays)
        if found.pop("key").item() == key:
            return found
    except FileNotFoundError:
        return None
    except Exception:  # a damaged file raises anything
        pass
    with contextlib.suppress(OSError):
        file.unlink()  # what replaces it is found anew
    return None


def _write(file, key, found):
    with written_beside(file) as temporary:
        np.savez(temporary, key=np.array(key), **found)


def _size(found):
    return sum(array.nbytes for array in found.values())
