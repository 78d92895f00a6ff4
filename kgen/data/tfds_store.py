"""Sets of TensorFlow Datasets in the store: fetched, or made from original files."""

import contextlib
import difflib
import errno
import os
import pathlib
import shutil
import tempfile

from kgen.data.embedded import EMBEDDED
from kgen.data.originals import Originals


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
    if originals is None:
        return pathlib.Path(prepared_builder(name, data_dir).data_dir)
    builder = _builder(name, data_dir)
    if not _is_prepared(builder):
        _make(builder, name, pathlib.Path(originals).expanduser())
    return pathlib.Path(builder.data_dir)


def prepared_builder(name, data_dir=None):
    """The TensorFlow Datasets builder of a set that is in the store, fetched if need be.

    Raises:
        ValueError: if there is no such set.
        ConnectionError: if it is not in the store and cannot be fetched.
        OSError: if there is no room for it.
    """
    builder = _builder(name, data_dir)
    if not _is_prepared(builder):
        _fetch(builder, name)
    return builder


def _builder(name, data_dir):
    import tensorflow_datasets as tfds

    known = tfds.list_builders(with_community_datasets=False)  # those are listed on the network
    first, store = name.split("/")[0], data_dir or tfds.core.constants.DATA_DIR
    if ":" not in name and first not in known and not os.path.isdir(os.path.join(store, first)):
        raise ValueError(_no_dataset(name, known))
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except (tfds.core.DatasetNotFoundError, ValueError, AttributeError) as error:
        said = f" (TensorFlow Datasets says: {str(error).splitlines()[0]})"
        raise ValueError(_no_dataset(name, known) + said) from error
    if builder.name == "lsun" and not _is_prepared(builder):
        from kgen.data.lsun import read_without_tensorflow_io

        read_without_tensorflow_io(builder)
    return builder


def _no_dataset(name, known):
    """What to say of a name that stands for nothing, with names that are like it."""
    path = pathlib.Path(name)
    beside = [str(p) for p in path.parent.iterdir()] if os.path.isdir(path.parent) else []
    close = difflib.get_close_matches(name, beside)
    close += difflib.get_close_matches(name.split("/")[0].lower(), [*EMBEDDED, *known])
    return (
        f"There is no dataset {name!r}, and no folder or file of that name"
        + (f"; perhaps {' or '.join(map(repr, close))}?" if close else ".")
        + f" Embedded are {list(EMBEDDED)}; TensorFlow Datasets has {len(known)} others."
    )


def _is_prepared(builder):
    return bool(builder.info.splits) and os.path.isdir(builder.data_dir)


def _fetch(builder, name):
    """Let TensorFlow Datasets fetch a set, or say what can be done."""
    try:
        with _few_retries(), _nothing_half_made(builder):
            builder.download_and_prepare()
    except Exception as error:  # TensorFlow Datasets raises whatever its downloaders raise
        if _is_full(error):
            raise _no_room(name, store_of(builder), error=error) from error
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
    source, store = Originals(folder, name, builder.url_infos), store_of(builder)
    unpacked = source.look_for_all(_builder(name, store))
    source.complain()
    _check_room(name, store, unpacked + int(builder.info.dataset_size))
    store.mkdir(parents=True, exist_ok=True)
    with _nothing_half_made(builder), source.instead_of_the_network():
        downloads = tempfile.mkdtemp(prefix=".originals-", dir=store)
        try:
            builder.download_and_prepare(download_dir=downloads, download_config=config)
        except Exception as error:
            source.complain()
            if _is_full(error):
                raise _no_room(name, store, error=error) from error
            raise ValueError(
                f"{name!r} could not be prepared from {folder}: {type(error).__name__}: "
                f"{_first_line(error)}" + (f"\nIt expects there: {by_hand}" if by_hand else "")
            ) from error
        finally:
            shutil.rmtree(downloads, ignore_errors=True)


def _check_room(name, store, needed):
    if needed > _free(store):
        raise _no_room(name, store, f" of at least {needed / 2**30:,.2f} GiB that it needs")


def _no_room(name, store, needed="", error=None):
    """What to raise instead of an error from the depths, or before one can happen."""
    return OSError(
        errno.ENOSPC,
        f"There is no room for {name!r}: {store} has {_free(store) / 2**30:,.2f} GiB free{needed}. "
        "Make room, or use another store with data_dir=."
        + (f" ({type(error).__name__}: {_first_line(error)})" if error else ""),
    )


def _free(store):
    """Bytes that are free where the store is, or will be."""
    place = next(path for path in (store, *store.absolute().parents) if path.exists())
    return shutil.disk_usage(place).free


def _is_full(error):
    """Whether a disk is full or a quota used up, as Python, TensorFlow or its Datasets says it."""
    while error is not None:
        full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        full |= type(error).__name__ == "ResourceExhaustedError"
        if full or str(error).startswith("Not enough disk space"):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextlib.contextmanager
def _nothing_half_made(builder):
    """Remove the folders that remain where TensorFlow Datasets has removed the rest."""
    folder, store = pathlib.Path(builder.data_dir), store_of(builder)
    try:
        yield
    except BaseException:
        of_the_set = folder.parents[: folder.parents.index(store)]
        with contextlib.suppress(OSError):  # folders that are not empty stay
            for parent in of_the_set:
                if [path.name for path in parent.iterdir()] == [".config"]:  # written beforehand
                    shutil.rmtree(parent / ".config")
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


def store_of(builder):
    """The folder of the store, which holds all sets."""
    return pathlib.Path(builder.data_dir).parents[builder.info.full_name.count("/")]


def _first_line(error):
    return str(error).splitlines()[0] if str(error) else ""
