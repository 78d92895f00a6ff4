"""From what a user hands to `fit` and `evaluate` to what Keras iterates, checked on the host."""

import contextlib
import itertools
from collections.abc import Generator

import keras
import numpy as np
from keras import tree

from kgen.arrays import is_array, to_numpy
from kgen.conditions import Nothing, as_array
from kgen.data.dataset import ImageDataset
from kgen.data.ranges import check_images
from kgen.engine import backend

NO_WEIGHTS = "A generative model weighs its images equally: leave weights out."


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


def for_keras(source, model):
    """What Keras iterates in place of a source: of Python, as the backend likes it."""
    if isinstance(source, Batches):
        source = source.checked()
    of_python = isinstance(source, ImageDataset | Generator)
    return backend.batches(source, model) if of_python else source


def training_source(model, x, y, batch_size, shuffle, steps_per_epoch):
    """The data of `fit`: an `ImageDataset` for arrays, else what came, its first batch checked.

    One update takes `model.minibatches_per_update` times `batch_size` images.
    """
    dataset = training_dataset(model, x, y, shuffle)
    if dataset is not None:
        return whole_batches(model, dataset, batch_size, steps_per_epoch)
    if batch_size is not None:
        raise ValueError(
            f"batch_size is for arrays and kgen's datasets; this {type(x).__name__} comes in "
            "batches already."
        )
    return Batches(model, x, model.minibatches_per_update)


def training_dataset(model, x, y, shuffle):
    """Arrays or a dataset of kgen's as a dataset that the model learns from, all examples checked.

    None for what comes in batches.
    """
    if is_array(x):
        x = _dataset(model, x, y, shuffle=shuffle, seed=model.seed)
        whole = x.num_examples // model.minibatches_per_update
        x = x.with_options(batch_size=min(x.batch_size, max(whole, 1)))  # the default, or all
    elif y is not None:
        raise ValueError(f"y goes with arrays only; {type(x).__name__} must yield (x, y) itself.")
    if isinstance(x, ImageDataset):
        x = model.condition.of(x)
        _check_shape(model, x)
        return x
    if not _is_in_batches(x):
        raise _wrong_type(x)
    return None


def evaluation_source(model, x, y, batch_size):
    """The data of `evaluate` and validation: every image once, in stored order."""
    if is_array(x):
        x = _dataset(model, x, y, shuffle=False)
    if isinstance(x, ImageDataset):
        _check_shape(model, x)
        return _in_order(model.condition.of(x), batch_size)
    return Batches(model, x)


def at_size_of_stage(model, source):
    """Data of evaluation or validation, or None, with images as the model's stage sees them.

    Raises:
        TypeError: for batches, if the stage sees images at another size.
    """
    if source is None or model.stage_image_shape == model.image_shape:
        return source
    if not isinstance(source, ImageDataset):
        raise TypeError(in_batches_already(model, source.data))
    return source.at_resolution(model.stage_image_shape[:2])


def in_batches_already(model, data):
    """The message that a model with stages cannot take data in batches."""
    return (
        f"{type(model).__name__} sees its data at the size, and in batches, of each of its stages, "
        f"which this {type(data).__name__} cannot give: it comes in batches already. Pass an array "
        "of images or a dataset of kgen.data, such as kgen.data.load(name)."
    )


def validation_source(model, data, batch_size):
    """As `evaluation_source`, of what `fit` takes as `validation_data`; errors say so."""
    x, y = data, None
    try:
        if isinstance(data, tuple):
            x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
            if weights is not None:
                raise ValueError(f"it holds sample weights. {NO_WEIGHTS}")
        return evaluation_source(model, x, y, batch_size)
    except (TypeError, ValueError) as error:
        raise type(error)(f"validation_data: {error}") from error


def prediction_source(model, x, batch_size):
    """The data of `predict`, of what `call` takes, and the size of batches if Keras makes them."""
    if is_array(x) or not _is_in_batches(x):
        return model.inputs_in(x), batch_size
    if not isinstance(x, ImageDataset):
        return Inputs(model, x), None
    x = _in_order(Nothing().of(x), batch_size)
    model.inputs_in(x.fetch(np.arange(1)), "x", warns=False)
    return x, None


def first_examples(source, n):
    """The first `n` examples of the data of validation, NumPy arrays in range; None if unknown."""
    if isinstance(source, ImageDataset):
        batch = source.with_options(batch_size=n)[0]
    elif source is None or source.is_generator:
        return None
    elif isinstance(source.data, keras.utils.PyDataset):
        batch = source.data[0]
    else:
        batch = next(iter(source.data))
    batch = batch if isinstance(batch, tuple | list) else (batch,)
    return tuple(to_numpy(part)[:n] for part in batch)


def split(x, y, fraction):
    """Arrays without and with their last `fraction`, as in Keras: `(x, y), (val_x, val_y)`."""
    if not is_array(x):
        raise ValueError(
            f"validation_split is for arrays; got {type(x).__name__}. Use validation_data."
        )
    x = to_numpy(x)
    at = int(len(x) * (1 - fraction))
    if at in (0, len(x)):
        raise ValueError(f"validation_split={fraction} leaves one side of {len(x)} images empty.")
    if y is None:
        return (x[:at], None), (x[at:], None)
    y = to_numpy(y)
    return (x[:at], y[:at]), (x[at:], y[at:])


def _dataset(model, x, y, **options):
    options |= {"image_shape": model.image_shape, "check_range": model.check_range}
    return model.condition.dataset(to_numpy(x), y, **options)


def _is_in_batches(x):
    no = list | tuple | dict | set | str | bytes
    return isinstance(x, keras.utils.PyDataset) or (
        hasattr(x, "__iter__") and not isinstance(x, no)
    )


def _in_order(dataset, batch_size):
    options = {} if batch_size is None else {"batch_size": batch_size}
    options |= {"shuffle": False, "drop_last": False, "augment": None, "steps_per_epoch": None}
    return dataset.with_options(**options)


def _check_shape(model, dataset):
    if model.image_shape is not None and dataset.image_shape != model.image_shape:
        check_images(dataset.fetch(np.arange(1)), model.image_shape, False, dataset.name)


def whole_batches(model, dataset, batch_size, steps_per_epoch):
    """A view of the dataset in batches of `fit`: each as many images as one update takes."""
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


def left_out(dataset):
    """A sentence on the images that do not fill a batch of training; None where all do."""
    count = 0 if dataset.steps_per_epoch else dataset.num_examples % dataset.batch_size
    if not count:
        return None
    return (
        f"{count} of {dataset.num_examples} images do not fill a batch of {dataset.batch_size}: "
        "each epoch leaves others out."
    )


def _wrong_type(x):
    return TypeError(
        "x must be an array of images, a kgen.data.ImageDataset, a keras.utils.PyDataset, a "
        f"tf.data.Dataset or a generator of batches; got {type(x).__name__}."
    )


class Batches:
    """Data that comes in batches, each checked on the host: a compiled step cannot raise.

    The first is checked at once. Of every one: shape, dtype, finite values in range, labels, and
    that it splits into `minibatches`.

    Args:
        model: the `GenerativeModel`.
        data: a `PyDataset`, a generator, a `tf.data.Dataset` or what else Keras iterates.
        minibatches: into how many equal ones each batch must split.

    Attributes:
        failure: what a batch raised; backends make other errors of it.
    """

    def __init__(self, model, data, minibatches=1):
        self.model, self.data, self.minibatches, self.failure = model, data, minibatches, None
        self.is_generator = hasattr(data, "__next__")
        if isinstance(data, keras.utils.PyDataset):
            first = data[0] if data.num_batches != 0 else None
        elif _is_in_batches(data):
            first = next(iter(data), None)
        else:
            raise _wrong_type(data)
        if first is None:
            raise ValueError(f"This {type(data).__name__} is exhausted or empty: it has no batch.")
        if self.is_generator:  # put back what was looked at
            self.data = itertools.chain([first], data)
        self._first = None
        self._check(first, "The first batch")

    def check(self, batch, index):
        """Raise a `TypeError` or a `ValueError` unless this is a batch that the model takes."""
        try:
            self._check(batch, f"Batch {index + 1}")
        except Exception as error:
            self.failure = error
            raise

    def _check(self, batch, what):
        images, values, weights = keras.utils.unpack_x_y_sample_weight(batch)
        if not is_array(images):
            raise TypeError(f"{what} must hold one array of images; got {type(images).__name__}.")
        if weights is not None:
            raise ValueError(f"{what} holds sample weights. {NO_WEIGHTS}")
        images, model = to_numpy(images), self.model
        check_values(images, model.image_shape, model.check_range, what, self._first is None)
        self._compare(what, images)
        values = None if values is None else as_array(values)
        model.condition.check(values, what, model.check_range)
        if len(images) % self.minibatches:
            k = self.minibatches
            raise ValueError(
                f"One update takes {k} minibatches, so batches must hold a multiple of {k} images; "
                f"{what[0].lower()}{what[1:]} holds {len(images)}. Batch by {k} times the m of the "
                "paper and leave an incomplete last batch out, for tf.data with .batch(n, "
                "drop_remainder=True)."
            )

    def _compare(self, what, *arrays):
        """Raise a `ValueError` unless dtypes and shapes are those of the first batch."""
        form = [(array.dtype, array.shape[1:]) for array in arrays]
        if self._first not in (None, form):
            raise ValueError(
                f"{what} is {_form(form)}, but the first batch is {_form(self._first)}: all must "
                "be alike."
            )
        self._first = form

    def checked(self):
        """What Keras iterates, of the kind that the data is."""
        data = self.data
        if isinstance(data, keras.utils.PyDataset):
            return _Indexed(self)
        if self.is_generator:  # Keras wants a generator, not any iterator, and tuples all through
            return (
                _as_tuples(batch) if isinstance(batch, tuple) else (batch,)
                for index, batch in enumerate(data)
                if self.check(batch, index) is None
            )
        if hasattr(data, "element_spec") and hasattr(data, "map"):
            return self._mapped()
        return data

    def _mapped(self):
        """The `tf.data.Dataset`, whose batches go through `check` as they pass."""
        import tensorflow as tf

        spec = self.data.element_spec
        dense = all(isinstance(s, tf.TensorSpec) for s in tree.flatten(spec))
        if not dense or tf.distribute.has_strategy():
            return self.data

        def check(index, *tensors):
            self.check(tree.pack_sequence_as(spec, tensors), int(index))

        def look(index, batch):
            look_at = tf.py_function(check, [index, *tree.flatten(batch)], [])
            with tf.control_dependencies([look_at]):
                return tree.map_structure(tf.identity, batch)

        looked_at = self.data.enumerate().map(tf.autograph.experimental.do_not_convert(look))
        return looked_at.prefetch(1)  # beside the step


class Inputs(Batches):
    """Inputs of `call` that come in batches; what else a batch holds (labels) is passed over."""

    def _check(self, batch, what):
        inputs, *_ = keras.utils.unpack_x_y_sample_weight(batch)
        self.model.inputs_in(inputs, what, warns=self._first is None)
        self._compare(what, *map(to_numpy, tree.flatten(inputs)))


class _Indexed(keras.utils.PyDataset):
    """A `PyDataset` whose batches are checked as they pass."""

    def __init__(self, batches):
        data = batches.data
        super().__init__(data.workers, data.use_multiprocessing, data.max_queue_size)
        self.batches = batches

    @property
    def num_batches(self):
        return self.batches.data.num_batches

    def __getitem__(self, index):
        batch = self.batches.data[index]
        self.batches.check(batch, index)
        return batch

    def on_epoch_begin(self):
        self.batches.data.on_epoch_begin()

    def on_epoch_end(self):
        self.batches.data.on_epoch_end()


def check_values(images, image_shape, check_range, what, spans=False):
    """As `check_images`, but only with `spans` must floats use the negative half, as all would."""
    check_images(images, image_shape, check_range=False, what=what)
    of_range = images.dtype != np.uint8 and check_range and len(image_shape) != 1
    if of_range and (spans or np.abs(images).max() > 1.001):
        check_images(images, image_shape, what=what)


def _as_tuples(batch):
    return tuple(map(_as_tuples, batch)) if isinstance(batch, list | tuple) else batch


def _form(form):
    return " and ".join(
        f"{dtype} of shape (N, {', '.join(map(str, shape))})" for dtype, shape in form
    )
