"""Features of images by name: what Fréchet and kernel distances compare."""

import functools
import itertools
import math
import pathlib
import uuid
import warnings

import keras
import numpy as np
from keras import ops, tree

from kgen.data.pixels import resize, with_channels
from kgen.data.ranges import to_model_range
from kgen.engine import backend
from kgen.engine.inference import in_chunks
from kgen.files import digest_of_parts
from kgen.metrics.inception import inception
from kgen.metrics.inputs import rows, watched_chunks
from kgen.metrics.judges import CLASS_NAMES, Judge, judge
from kgen.progress import progress

NAMES = (*CLASS_NAMES, "inception", "pixels")
CHUNK_PIXELS = 2**21  # what a network sees at once, 256 images at most
STRANGE = 0.5  # share of images beyond which a judge is not theirs
PIXELS, CHANNELS = 1024, 3  # of an image that is compared pixel by pixel; of a larger one, fewer


def features(what, weights=None):
    """Find what turns images into features.

    The resize to what a network takes is fixed: bicubic and antialiased, on the host, whatever the
    images came as. (The original FID network has its own, as in the papers.)

    Args:
        what: one of

            - `"digits"`, `"fashion"`, `"faces"`: the judges that come with kgen, 64 features;
            - `"inception"`: Keras's InceptionV3, 2,048 features. It is not the network that the FID
              was defined with, and its distances are not those of papers. With `weights` of the
              original network, it is that one;
            - `"pixels"`: the pixels in [-1, 1], H * W * C features, of images up to 32x32 (1,024
              pixels, of more than three channels in proportion fewer); of larger ones, those of a
              thumbnail of that area, such as `"pixels at 32x32"`, as every output says;
            - a `keras.Model` with one input `(H, W, C)`, which gets float32 in [-1, 1] (uint8 in
              [0, 255] if its input is uint8), and one output `(F,)`; where H and W are fixed,
              images are resized. It runs in inference mode;
            - a `Judge`, or `Features`, which come back as they are.
        weights: for `"inception"` only. None: Keras's ImageNet weights, which Keras downloads. Or a
            path: Keras's own weights of InceptionV3 (`.h5`, `.keras`); or those of the original FID
            network under pytorch-fid's names (`.npz`; docs/metrics.md converts torch's file).

    Returns:
        `Features`.

    Raises:
        ConnectionError: if weights cannot be downloaded.
        FileNotFoundError: if there is no such file.
        TypeError, ValueError: for anything else.

    Example:

    ```python
    fashion = kgen.metrics.features("fashion")
    fashion(x_test)  # float32 (10000, 64)
    ```
    """
    if weights is not None and what != "inception":
        raise ValueError(f'weights= is for "inception" only; got {what!r}.')
    if isinstance(what, Features):
        return what
    if isinstance(what, Judge):
        return _of_judge(what)
    if isinstance(what, keras.Model):
        return _of_model(what)
    if isinstance(what, str) and what in NAMES:
        return _named(what, *_file(weights))
    error = ValueError if isinstance(what, str) else TypeError
    raise error(
        f"features must be one of {list(NAMES)}, a keras.Model, a Judge or Features; got {what!r}."
    )


class Features:
    """Turns images into rows of features, and into probabilities where it knows classes.

    Attributes:
        name: what it is called, in every output.
        width: F, the number of features; None if the images decide.

    Args:
        name, width: as above.
        extract: function from uint8 `(n, H, W, C)` to `(n, F)`, which depends on each image alone.
        probabilities: function from uint8 `(n, H, W, C)` to `(n, classes)`; None: no classes.
        identity: function without arguments to a string that changes whenever features of the same
            images would; None: this object is like no other. Statistics of real images are kept
            under it.
        strangeness: function from features `(N, F)` to the share of them that what makes the
            features was not made for, as `Judge.strangeness`; None: unknown.
    """

    def __init__(self, name, width, extract, probabilities=None, identity=None, strangeness=None):
        self.name, self.width = name, width
        self._extract, self._probabilities = extract, probabilities
        self._strangeness = strangeness
        own = uuid.uuid4().hex
        self.identity = identity or (lambda: own)

    def __call__(self, images, name="images"):
        """Features of images.

        Args:
            images: whatever metrics take: an array, a dataset, batches.
            name: what messages call them.

        Returns:
            float32 `(N, F)`.

        Raises:
            TypeError, ValueError: if images or features are not as they should be.
        """
        found = [self._checked(self._extract(c), c) for c in watched_chunks(images, name)]
        return np.concatenate(found)

    def strangeness(self, rows):
        """Share of rows of features that what makes them was not made for; 0 if it is unknown."""
        return 0.0 if self._strangeness is None else self._strangeness(rows)

    def warn_if_strange(self, share, count, name="real"):
        """Warn where most images are not what a judge was trained on.

        Args:
            share: `strangeness` of their features.
            count: number of images.
            name: what the message calls them.
        """
        if share > STRANGE:
            warnings.warn(
                f"{share:.0%} of {count:,} {name} images are farther from what the judge "
                f"{self.name!r} was trained on than 95 % of its own training images are. Its "
                "features say little of such images: compare them by others, such as "
                'features="pixels", "inception" or a keras.Model that knows their kind.',
                stacklevel=3,
            )

    def name_for(self, image_shape):
        """What outputs call the features of images `(H, W, C)`."""
        return self.name

    def probabilities(self, images, name="images"):
        """Probabilities of the classes.

        Args:
            images, name: as when called.

        Returns:
            float32 `(N, classes)`.

        Raises:
            ValueError: if it knows no classes.
        """
        if self._probabilities is None:
            raise ValueError(
                f"{self.name} knows no classes, so it has no probabilities. Use a classifier, such "
                'as features="fashion", or pass probabilities (N, classes).'
            )
        return np.concatenate([self._probabilities(c) for c in watched_chunks(images, name)])

    def __repr__(self):
        return f"<Features {self.name!r}: {self.width or 'as many as pixels'}>"

    def _checked(self, found, images):
        found = rows(found, f"features of {self.name}", width=self.width)
        if len(found) != len(images):
            raise ValueError(
                f"{self.name} made {len(found)} rows of features from {len(images)} images."
            )
        return found.astype("float32")


def _file(path):
    """A file's whole path and what changes with its content, or None twice."""
    if path is None:
        return None, None
    path = pathlib.Path(str(path)).expanduser().absolute()
    stat = path.stat() if path.exists() else None
    return path, stat and (stat.st_ino, stat.st_size, stat.st_mtime_ns)


@functools.cache
def _named(name, weights, content):  # content: so that a file that has changed is read again
    if name == "pixels":
        return _Pixels()
    if name != "inception":
        return _of_judge(judge(name))
    name, network, prepare = inception(weights)
    run = _runner(network, prepare)
    known = "probabilities" in network.output
    return Features(
        name,
        2048,
        lambda images: run(images)["features"],
        (lambda images: run(images)["probabilities"]) if known else None,
        functools.cache(lambda: _digest(network)),
    )


class _Pixels(Features):
    """The pixels of images, of large ones those of a thumbnail."""

    def __init__(self):
        super().__init__("pixels", None, self._of, identity=lambda: f"pixels, {PIXELS} at most")

    def name_for(self, image_shape):
        """Also the size of the thumbnail."""
        height, width = _thumbnail(*image_shape)
        whole = (height, width) == tuple(image_shape[:2])
        return "pixels" if whole else f"pixels at {height}x{width}"

    def _of(self, images):
        size = _thumbnail(*images.shape[1:])
        images = images if size == images.shape[1:3] else resize(images, size)
        return to_model_range(images).reshape(len(images), -1)


def _thumbnail(height, width, channels):
    """Height and width at which pixels are compared: those of the image, if it is small."""
    height, width = int(height), int(width)
    area = min(PIXELS, max(CHANNELS * PIXELS // int(channels), 1))
    if height * width <= area:
        return height, width
    sides = (math.isqrt(area * a // b) for a, b in ((height, width), (width, height)))
    return tuple(min(max(side, 1), area) for side in sides)


def _of_judge(judge):
    width = judge._model.output["features"].shape[-1]
    several = isinstance(judge.class_names, dict)

    def probabilities(images):
        if several:
            raise ValueError(
                f"The judge {judge.name!r} has classes by factor {list(judge.class_names)}: pass "
                f"the probabilities of one, judge.probabilities(images)[factor]."
            )
        return judge.probabilities(images)

    identity = functools.cache(lambda: _digest(judge._model))
    return Features(judge.name, width, judge.features, probabilities, identity, judge.strangeness)


@functools.lru_cache(maxsize=4)  # so that the same model is not compiled again
def _of_model(model):
    inputs, outputs = (
        [tuple(t.shape) for t in tree.flatten(getattr(model, side, None) or [])]
        for side in ("inputs", "outputs")
    )
    if [len(shape) for shape in inputs] != [4] or [len(shape) for shape in outputs] != [2]:
        raise ValueError(
            f"A keras.Model that makes features must have one input (N, H, W, C) and one output "
            f"(N, F); {model.name!r} has inputs {inputs} and outputs {outputs}. Build one that "
            "has: keras.Model(inputs, outputs), with keras.layers.GlobalAveragePooling2D() after "
            "maps; of a generative model pass a network, such as vae.encoder."
        )
    (_, *size, channels), dtype = inputs[0], model.inputs[0].dtype

    def prepare(images):
        images = images if channels is None else with_channels(images, channels)
        images = images if None in size else resize(images, size)
        return images if dtype == "uint8" else to_model_range(images)

    entry = keras.Input(inputs[0][1:], dtype=dtype)
    run = _runner(keras.Model(entry, model(entry, training=False)), prepare)
    return Features(model.name, outputs[0][1], run, identity=lambda: _digest(model))


def _runner(network, prepare):
    """Function from uint8 images to what a network makes of them, in padded chunks of one size."""

    def call(x):
        return tree.map_structure(lambda y: ops.cast(y, "float32"), network(x, training=False))

    network.jit_compile = False  # convolutions on CPUs are slower with XLA
    run = backend.compiled(call, network)

    def outputs(images):
        sides = zip(network.input_shape[1:3], images.shape[1:3], strict=True)
        size = int(np.clip(CHUNK_PIXELS // math.prod(own or its for own, its in sides), 1, 256))
        starts = range(0, len(images), size)
        starts = progress(starts, len(starts), "Features")
        return in_chunks(run, ([prepare(images[i : i + size])] for i in starts), size)

    return outputs


def _digest(model):
    """Hexadecimal digest of a model's structure and weights."""
    try:
        structure = model.to_json().encode()
    except (TypeError, ValueError, NotImplementedError):  # a layer without a configuration
        structure = uuid.uuid4().bytes
    arrays = map(ops.convert_to_numpy, model.weights)
    parts = ((str(array.shape).encode(), array.tobytes()) for array in arrays)
    return digest_of_parts(itertools.chain([structure], *parts))
