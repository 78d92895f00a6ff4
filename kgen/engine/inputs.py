"""What comes from outside of `fit`: images, and what `call` takes."""

import inspect
import itertools
import math
import warnings

import keras
import numpy as np

from kgen.arrays import is_array, to_numpy
from kgen.data.ranges import normalize_image_shape, to_model_range, with_channel
from kgen.engine import feed


class Inputs:
    """Images and inputs of `call`, checked, and what such inputs are."""

    def images_in(self, images, what="images", warns=True, image_shape=None):
        """Check images from outside and return them float32 in [-1, 1], `(N, *image_shape)`.

        Floats of which none is negative are a warning, unless `warns` is False.

        Args:
            images: array.
            what, warns: of messages.
            image_shape: that one image must have; by default the model's.
        """
        if isinstance(images, feed.ImageDataset):
            raise TypeError(f"{what} must be an array; of a dataset pass dataset.images().")
        images, shape = to_numpy(images), image_shape or self.image_shape
        feed.check_values(images, shape, self.check_range, what)
        of_range = images.dtype != np.uint8 and self.check_range and len(shape) == 3
        if warns and of_range and images.min() >= 0:  # a bright image has no negative value either
            warnings.warn(
                f"{what} has floats in [{images.min():.4g}, {images.max():.4g}], none negative: "
                "divided by 255? Images are uint8 in [0, 255] or floats in [-1, 1]: pass the uint8 "
                f"images as they are, or 2 * {what} - 1. A model with check_range=False does not "
                "ask.",
                stacklevel=3,
            )
        return to_model_range(with_channel(images, shape))

    def inputs_in(self, inputs, what="x", warns=True):
        """Check inputs of `call` from outside and return them as it takes them.

        Args:
            inputs: an array, or a list of as many as `input_signature` says; images as `images_in`
                takes them.
            what: their name in messages.
            warns: as in `images_in`.

        Raises:
            TypeError, ValueError: if they are others; says what `call` takes.
        """
        wanted = self._taken_by_call()
        given = [*inputs] if isinstance(inputs, list | tuple) else [inputs]
        if len(given) != len(wanted) or not all(is_array(part) for part in given):
            rows = len(wanted) == 1 and isinstance(inputs, list) and inputs
            hint = f" Of rows in a list make one array: numpy.array({what})." if rows else ""
            raise TypeError(self._not_taken(what, inputs, hint))
        given = [to_numpy(part) for part in given]
        found = []
        for index, (part, (shape, dtype)) in enumerate(zip(given, wanted, strict=True)):
            name = what if len(wanted) == 1 else f"{what}[{index}]"
            if self.call_takes_images and shape == self.image_shape:
                found.append(self.images_in(part, name, warns))
            elif not _fits(part, shape, dtype):
                raise ValueError(self._not_taken(name, part))
            elif not np.isfinite(part).all():
                raise ValueError(f"{name} must be finite; got NaN or infinity among its values.")
            else:
                found.append(part.astype(dtype, copy=False))
        if len({len(part) for part in found}) > 1:
            raise ValueError(self._not_taken(what, inputs, " All have as many rows."))
        return found if isinstance(self.input_signature(), list) else found[0]

    def _taken_by_call(self):
        signature = self.input_signature()
        return signature if isinstance(signature, list) else [signature]

    def _not_taken(self, what, inputs, hint=""):
        """The message that `inputs` are not what `call` takes."""
        taken = [f"{dtype} {_rows_of(shape)}" for shape, dtype in self._taken_by_call()]
        says = (inspect.getdoc(type(self).call) or "").split("\n")[0]
        parts = inputs if isinstance(inputs, list | tuple) else [inputs]
        if any(is_array(part) and len(part.shape) > 2 for part in parts):
            hint += self._for_images()
        return (
            f"{what} must be what {type(self).__name__}.call takes ({says!r}): "
            f"{' and '.join(taken)}; got {_described(inputs)}.{hint}"
        )

    def _for_images(self):
        """Which methods take images, for who hands them to a `call` that does not."""
        taken = [shape for shape, _ in self._taken_by_call()]
        if self.call_takes_images and self.image_shape in taken:
            return ""
        methods = [
            name
            for name, method in inspect.getmembers(type(self), inspect.isfunction)
            if {"images", "batch_size"} <= inspect.signature(method).parameters.keys()
            and not name.startswith("_")
        ]
        return f" Images are for {', '.join(methods)}." if methods else ""

    def _filled(self, shape):
        """A shape, its unknown sides those of an image."""
        image = self.image_shape or ()
        alike = len(shape) == len(image) and all(
            a in (None, b) for a, b in zip(shape, image, strict=True)
        )
        return image if alike else shape

    def ensure_built(self):
        """Call the model once, symbolically: `save` and `export` need its input's shape."""
        if self.built:
            return
        self.find_image_shape()
        try:
            self(self._symbolic_inputs())
        except Exception as error:
            first = self.network_names[0] if self.players else "network"
            raise ValueError(
                f"{type(self).__name__}.call does not take what input_signature() says: "
                f"{self.input_signature()}. By default it applies the networks of the first "
                "player one after the other. Write what predict and export shall compute, and "
                "shape and dtype of what it takes, such as\n"
                f"    def call(self, inputs, training=False): return self.{first}(inputs, "
                "training=training)\n"
                f"    def input_signature(self): return {self._input_of(first)}, 'float32'  # a "
                f"list of these for several inputs\nKeras says: {error}"
            ) from error

    def find_image_shape(self):
        """Read `image_shape` off the networks, as the constructor says, if it is not known yet."""
        if self.image_shape is None and self.network_names:
            self.image_shape = normalize_image_shape(image_shape_of(self))

    def _input_of(self, name):
        return (*_shapes(getattr(self, name, None), "input"), self.image_shape)[0]

    def _symbolic_inputs(self):
        """One input of `call`, or a list of several."""
        signature = self.input_signature()
        many = isinstance(signature, list)
        inputs = [
            keras.KerasTensor((None, *shape), dtype)
            for shape, dtype in (signature if many else [signature])
        ]
        return inputs if many else inputs[0]


def image_shape_of(model):
    """The shape of images by what networks take and make, as the constructor says."""
    networks = [getattr(model, name) for name in model.network_names if hasattr(model, name)]
    taken = [shape for n in networks for shape in _shapes(n, "input") if None not in shape]
    made = [shape for n in networks for shape in _shapes(n, "output")]
    if not taken:
        raise ValueError(
            f"{type(model).__name__} needs image_shape=(height, width, channels): its networks "
            f"{model.network_names} take no images of one shape."
        )
    return min(taken, key=lambda shape: (len(shape) != 3, shape not in made))


def check_image_shape(model):
    """Raise a `ValueError` if no network can take or make images of `image_shape`.

    As far as all of them say: on the way images may become rows of as many numbers, and channels
    may come beside theirs.
    """
    image = model.image_shape
    networks = {name: getattr(model, name) for name in model.network_names}
    taken = {name: _shapes(network, "input") for name, network in networks.items()}
    if not image or not networks or not all(taken.values()):
        return
    made = [shape for network in networks.values() for shape in _shapes(network, "output")]
    for shape in (*made, *itertools.chain(*taken.values())):
        of_size = None in shape or math.prod(shape) == math.prod(image)
        if of_size or (len(shape) == len(image) == 3 and shape[:2] == image[:2]):
            return
    told = ", ".join(f"{name!r} takes {' and '.join(map(str, s))}" for name, s in taken.items())
    raise ValueError(
        f"image_shape is {image}, but no network of this {type(model).__name__} takes or makes "
        f"such images: {told}. Pass the shape that they take, or leave image_shape out. (A network "
        "whose images are resized on the way has sides of None: keras.Input((None, None, 1)).)"
    )


def _shapes(network, side):
    """Shapes of a network's inputs or outputs, as far as it knows them."""
    try:
        shapes = getattr(network, f"{side}_shape")
    except (AttributeError, ValueError):
        return []
    shapes = shapes if isinstance(shapes, list) else [shapes]
    return [tuple(s[1:]) for s in shapes if isinstance(s, tuple) and 2 <= len(s) <= 4]


def _rows_of(shape):
    return f"({', '.join(map(str, ('N', *shape)))}{'' if shape else ','})"


def _described(inputs):
    """What came, in a message: dtype and shape of an array, of a list those of its parts."""
    if isinstance(inputs, list | tuple):
        first = ", ".join(map(_described, inputs[:3])) + (", ..." if len(inputs) > 3 else "")
        return f"a {type(inputs).__name__} of {len(inputs)}: {first}" if inputs else repr(inputs)
    if is_array(inputs):
        return f"{str(inputs.dtype).removeprefix('torch.')} {tuple(inputs.shape)}"
    return repr(inputs)[:80]


def _fits(array, shape, dtype):
    """Whether an array holds rows of this shape, at least one, of numbers that the dtype holds."""
    kinds = "iu" if "int" in dtype else "fiub"
    number = array.dtype.kind in kinds or ("f" in kinds and "bfloat16" in str(array.dtype))
    alike = array.ndim == 1 + len(shape) and all(
        side in (None, found) for side, found in zip(shape, array.shape[1:], strict=True)
    )
    return number and alike and len(array) > 0
