"""Sets of TensorFlow Datasets in the store: fetched, or made from original files."""

import contextlib
import difflib
import os
import shutil

EMBEDDED = ("digits", "faces", "toy2d")


def prepared_builder(name, data_dir=None):
    """The TensorFlow Datasets builder of a set that is in the store, fetched if need be.

    Raises:
        ValueError: if there is no such set.
        ConnectionError: if it is not in the store and cannot be fetched.
    """
    import tensorflow_datasets as tfds

    builder = _builder(tfds, name, data_dir)
    _prepare(builder, name)
    return builder


def _builder(tfds, name, data_dir):
    try:
        return tfds.builder(name, data_dir=data_dir)
    except (tfds.core.DatasetNotFoundError, ValueError, AttributeError) as error:
        known = [*EMBEDDED, *tfds.list_builders()]
        close = difflib.get_close_matches(name.split("/")[0], known)
        raise ValueError(
            f"There is no dataset {name!r}. Embedded: {list(EMBEDDED)}; otherwise any image set "
            "of TensorFlow Datasets"
            + (f", perhaps {' or '.join(map(repr, close))}" if close else "")
            + f". (TensorFlow Datasets says: {str(error).splitlines()[0]})"
        ) from error


def _prepare(builder, name):
    """Make sure that the set is in the store: fetch it, or say what can be done."""
    if builder.info.splits and os.path.isdir(builder.data_dir):
        return
    try:
        with _few_retries():
            builder.download_and_prepare()
    except Exception as error:  # TensorFlow Datasets raises whatever its downloaders raise
        with contextlib.suppress(OSError):  # nothing half-made stays
            shutil.rmtree(f"{builder.data_dir}.incomplete", ignore_errors=True)
        raise ConnectionError(
            f"The dataset {name!r} is not in the store {builder.data_dir} and fetching it failed: "
            f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}\n"
            "Three ways on: run again with a connection; copy the prepared set from another "
            "machine into the store (data_dir=); or use an embedded set, such as "
            f"{list(EMBEDDED)}."
        ) from error


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
