"""From what a user hands to `fit` and `evaluate` to what Keras iterates, checked on the host."""

import contextlib
import itertools

import keras
import numpy as np
from keras import ops

from kgen.data.dataset import ImageDataset, from_arrays
from kgen.data.ranges import check_images
from kgen.engine import backend


def is_array(x):
    """Whether `x` is an array in memory: NumPy's, or a tensor of any framework."""
    return hasattr(x, "__array__") and hasattr(x, "shape")


def to_numpy(x):
    """An array in memory as a NumPy array."""
    return ops.convert_to_numpy(x) if ops.is_tensor(x) else np.asarray(x)


@contextlib.contextmanager
def own_errors(*sources):
    """Raise what a dataset raised, in place of what a backend made of it."""
    try:
        yield
    except Exception as error:
        for source in sources:
            failure = getattr(source, "failure", None)
            if failure is not None and failure is not error:
                raise failure from None
        raise


def for_keras(source):
    """What Keras iterates in place of a source: kgen's datasets as suits the backend."""
    return backend.batches(source) if isinstance(source, ImageDataset) else source


def training_source(model, x, y, batch_size, shuffle, steps_per_epoch):
    """The data of `fit`: an `ImageDataset` for arrays, else what came, its first batch checked.

    One update takes `model.minibatches_per_update` times `batch_size` images.
    """
    if is_array(x):
        x = _dataset(model, x, y, shuffle=shuffle, seed=model.seed)
        if batch_size is None:  # the default, or all there is
            whole = x.num_examples // model.minibatches_per_update
            batch_size = min(x.batch_size, max(whole, 1))
    elif y is not None:
        raise ValueError(f"y goes with arrays only; {type(x).__name__} must yield (x, y) itself.")
    if isinstance(x, ImageDataset):
        x = _labelled(model, x)
        return _whole_batches(model, x, batch_size, steps_per_epoch)
    if isinstance(x, list | tuple | dict | str):
        raise _wrong_type(x)
    if batch_size is not None:
        raise ValueError(
            f"batch_size is for arrays and kgen's datasets; this {type(x).__name__} comes in "
            "batches already."
        )
    return _checked(model, x, model.minibatches_per_update)


def evaluation_source(model, x, y, batch_size):
    """The data of `evaluate` and validation: every image once, in stored order."""
    if is_array(x):
        x = _dataset(model, x, y, shuffle=False)
    if isinstance(x, ImageDataset):
        _check_shape(model, x)
        x = _labelled(model, x)
        options = {} if batch_size is None else {"batch_size": batch_size}
        options |= {"shuffle": False, "drop_last": False, "augment": None, "steps_per_epoch": None}
        return x.with_options(**options)
    return _checked(model, x, 1)


def split(x, y, fraction):
    """Arrays without and with their last `fraction`, as in Keras: `(x, y), (val_x, val_y)`."""
    if not is_array(x):
        raise ValueError(
            f"validation_split is for arrays; got {type(x).__name__}. Use validation_data."
        )
    if not 0 < fraction < 1:
        raise ValueError(f"validation_split must lie between 0 and 1; got {fraction!r}.")
    x = to_numpy(x)
    at = int(len(x) * (1 - fraction))
    if at in (0, len(x)):
        raise ValueError(f"validation_split={fraction} leaves one side of {len(x)} images empty.")
    if y is None:
        return (x[:at], None), (x[at:], None)
    y = to_numpy(y)
    return (x[:at], y[:at]), (x[at:], y[at:])


def _dataset(model, x, y, **options):
    labels = to_numpy(y) if y is not None and model.takes_labels else None
    return from_arrays(
        to_numpy(x),
        labels,
        image_shape=model.image_shape,
        check_range=model.check_range,
        **options,
    )


def _labelled(model, dataset):
    """The dataset with labels that the model has checked, or without."""
    if not model.takes_labels:
        return dataset.without_labels()
    model.check_labels(dataset.labels)
    return dataset


def _check_shape(model, dataset):
    if model.image_shape is not None and dataset.image_shape != model.image_shape:
        check_images(dataset.fetch(np.arange(1)), model.image_shape, False, dataset.name)


def _whole_batches(model, dataset, batch_size, steps_per_epoch):
    _check_shape(model, dataset)
    k = model.minibatches_per_update
    m = dataset.batch_size if batch_size is None else batch_size
    if dataset.num_examples < k * m:
        raise ValueError(
            f"One update takes {k} minibatches of {m} = {k * m} images, but {dataset.name!r} has "
            f"only {dataset.num_examples}. Use "
            + (
                f"batch_size={dataset.num_examples // k} or less."
                if dataset.num_examples >= k
                else f"{k} images or more, or fewer minibatches for each update."
            )
            if k > 1
            else f"batch_size={m} is more than the {dataset.num_examples} images of "
            f"{dataset.name!r}. Use batch_size={dataset.num_examples} or less."
        )
    steps = dataset.steps_per_epoch if steps_per_epoch is None else steps_per_epoch
    return dataset.with_options(batch_size=k * m, drop_last=True, steps_per_epoch=steps)


def _wrong_type(x):
    return TypeError(
        "x must be an array of images, a kgen.data.ImageDataset, a keras.utils.PyDataset, a "
        f"tf.data.Dataset or a generator of batches; got {type(x).__name__}."
    )


def _checked(model, source, k):
    """Look at the first batch of data that comes batched: a compiled step cannot raise."""
    if isinstance(source, keras.utils.PyDataset):
        first = source[0]
    elif hasattr(source, "__next__"):  # a generator: put back what was looked at
        first = next(source, None)
        if first is None:
            raise ValueError("The generator is exhausted: it yielded no batch.")
        # Keras wants a generator, not any iterator, and tuples.
        source = (
            batch if isinstance(batch, tuple) else (batch,)
            for batch in itertools.chain([first], source)
        )
    elif hasattr(source, "__iter__") and not isinstance(source, list | tuple | dict | str):
        first = next(iter(source), None)
        if first is None:
            raise ValueError(f"The {type(source).__name__} is empty: it has no batch.")
    else:
        raise _wrong_type(source)
    images, labels, _ = keras.utils.unpack_x_y_sample_weight(first)
    if not is_array(images):
        raise TypeError(f"Batches must hold one array of images; got {type(images).__name__}.")
    images = to_numpy(images)
    check_images(images, model.image_shape, model.check_range, "The first batch")
    if model.takes_labels:
        model.check_labels(None if labels is None else to_numpy(labels))
    if len(images) % k:
        raise ValueError(
            f"One update takes {k} minibatches, so batches must hold a multiple of {k} images; "
            f"the first batch holds {len(images)}. Batch by {k} times the m of the paper."
        )
    return source
