"""Judges: small classifiers that come with kgen, to measure images by what they show.

`python -m recipes.feature_net` trains them. All are float32, whatever the dtype policy, and give
the same answers on every backend, up to rounding.
"""

import functools
from pathlib import Path

import keras
import numpy as np
from keras import ops, tree

from kgen.arguments import positive
from kgen.arrays import to_numpy
from kgen.data import faces
from kgen.data.pixels import resize, with_channels
from kgen.data.ranges import check_images, to_uint8
from kgen.engine import backend
from kgen.engine.inference import in_chunks

WEIGHTS = Path(__file__).with_name("weights")
RIDGE = 0.01  # added to variances of features, which are 1 over all classes

CLASS_NAMES = {
    "digits": tuple("0123456789"),
    "faces": {name: kind for name, kind in faces.FACTORS.items() if isinstance(kind[0], str)},
    "fashion": (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
}
"""The judges, and the classes that each tells apart; of faces by factor."""

SETS = {"digits": "digits", "mnist": "digits", "faces": "faces", "fashion_mnist": "fashion"}
"""The judges by the names of the sets whose images they tell apart; variants of faces included.

Of MNIST the judge of digits has seen 4,000 training images, and no test image.
"""


def judge_for(dataset):
    """Name of the judge that suits a dataset's images, such as `"faces/glasses"`; None: none."""
    dataset = str(dataset)
    return SETS.get("faces" if dataset.startswith("faces/") else dataset)


@functools.cache
def judge(name):
    """Load a judge; a second call returns the same one.

    Args:
        name: `"digits"` (handwritten digits, grey, 28x28), `"fashion"` (Fashion-MNIST, grey,
            28x28) or `"faces"` (the factors of `kgen.data.faces`, colour, 32x32).

    Returns:
        A `Judge`.

    Raises:
        ValueError: for an unknown name.
    """
    if name not in CLASS_NAMES:
        raise ValueError(f"There is no judge {name!r}; the judges are {list(CLASS_NAMES)}.")
    model = keras.saving.load_model(WEIGHTS / f"{name}.keras", compile=False)
    with np.load(WEIGHTS / f"{name}.npz", allow_pickle=False) as known:
        return Judge(model, CLASS_NAMES[name], name, dict(known))


def known_of(judge, images):
    """What a judge keeps of the images that it was trained on, to tell others from them.

    Where it answers by one class, the mean features of each; and the inverse of their covariance
    around these (Lee et al., 2018), and the squared distance within which 95 % of the images are.

    Args:
        judge: a `Judge`.
        images: some thousands of those, as it takes them.

    Returns:
        Dictionary of float32 arrays: `Judge(known=)`, and what stands in `weights/NAME.npz`.
    """
    rows = judge.features(images).astype("float64")
    labels = np.zeros(len(rows), "int64")
    if not isinstance(judge.class_names, dict):
        labels = np.unique(judge.labels(images), return_inverse=True)[1]
    centers = np.stack([rows[labels == i].mean(axis=0) for i in range(labels.max() + 1)])
    spread = rows - centers[labels]
    inverse = np.linalg.inv(spread.T @ spread / len(rows) + RIDGE * np.eye(rows.shape[1]))
    known = {"centers": centers, "inverse": inverse}
    known["usual"] = np.percentile(_squares(rows, known), 95)
    return {name: np.asarray(array, "float32") for name, array in known.items()}


def _squares(rows, known):
    """Squared Mahalanobis distance of each row of features to the nearest centre."""
    found = np.full(len(rows), np.inf)
    for center in known["centers"]:
        away = rows - center
        np.minimum(found, np.einsum("nf,fg,ng->n", away, known["inverse"], away), out=found)
    return found


class Judge:
    """A classifier that looks at images of any size, grey or colour.

    Images are uint8 in [0, 255] or floats in [-1, 1], `(N, H, W, C)` or `(N, H, W)`. Floats are
    rounded to the 256 levels, so both give the same; then they are converted to the classifier's
    channels and resized to its size (bicubic and antialiased, on the host). They are judged in
    padded chunks of `batch_size`, so a new N compiles nothing anew.

    Attributes:
        name: what messages call it.
        class_names: names of the classes 0, 1, ...; a dictionary of these by factor, if there are
            several.
        image_shape: `(H, W, C)` of the images that the classifier sees.
        image_size: `(H, W)`.

    Args:
        model: functional `keras.Model` from uint8 `(H, W, C)` to logits `(classes,)`, or to a
            dictionary of outputs by factor: logits for those that `class_names` has, `(1,)` for
            continuous ones. Its layer `"features"` has the features.
        class_names: as above.
        name: as above.
        known: what `known_of` found of the images that it was trained on; None: it cannot tell
            others from them.

    Example:

    ```python
    judge = kgen.metrics.judge("fashion")
    judge.labels(vae.generate(64, seed=0))
    ```
    """

    def __init__(self, model, class_names, name="judge", known=None):
        self.name, self.class_names, self._known = name, class_names, known
        self.image_shape = tuple(model.input_shape[1:])
        self.image_size = self.image_shape[:2]
        features = model.get_layer("features").output
        self._model = keras.Model(model.input, {"features": features, "answers": model.output})
        self._model.jit_compile = False  # convolutions on CPUs are slower with XLA
        self._compiled = backend.compiled(self._judge, self._model)

    def features(self, images, batch_size=256):
        """Features of the last layer but one, of mean 0 and variance 1 on the training images.

        Args:
            images: as the class takes them.
            batch_size: images that are judged at once.

        Returns:
            float32 `(N, F)`.

        Raises:
            TypeError, ValueError: if the images are not as above (the message says what to do).
        """
        return self._run(images, batch_size)["features"]

    def strangeness(self, features):
        """Share of rows of features that are far from those of the images that it was trained on.

        Far is beyond 95 % of those, so of their own kind it is about 0.05.

        Args:
            features: what `features` made of images, `(N, F)`.

        Returns:
            float; 0 if it does not know what it was trained on.
        """
        if self._known is None:
            return 0.0
        return float((_squares(features, self._known) > self._known["usual"]).mean())

    def probabilities(self, images, batch_size=256):
        """Probabilities of the classes.

        Args:
            images, batch_size: as in `features`.

        Returns:
            float32 `(N, classes)`, or a dictionary of these by factor.
        """
        found = self._run(images, batch_size)["probabilities"]
        if isinstance(found, dict):  # compiled by JAX, it comes back sorted by key
            found = {name: found[name] for name in self.class_names}
        return found

    def probability(self, images, batch_size=256, **classes):
        """How sure it is that images show these classes, all of them: of each factor one.

        The product over the factors, of which the classifier answers each by itself.

        Args:
            images, batch_size: as in `features`.
            classes: by factor, the name of a class, or a list of names of which any will do.

        Returns:
            float32 `(N,)`.

        Raises:
            ValueError: for a judge without factors, unknown factors or classes, or none.

        Example:

        ```python
        judge = kgen.metrics.judge("faces")
        judge.probability(images, presentation="woman", glasses=["round", "square"])
        ```
        """
        wanted = {name: [c] if isinstance(c, str) else [*c] for name, c in classes.items()}
        known = self.class_names if isinstance(self.class_names, dict) else {}
        if not wanted or any(name not in known for name in wanted):
            raise ValueError(
                f"probability takes factors of the judge {self.name!r}, which are {[*known]}; got "
                f"{[*wanted]}."
            )
        for name, names in wanted.items():
            if not names or any(each not in known[name] for each in names):
                raise ValueError(f"{name} must be of {[*known[name]]}; got {classes[name]!r}.")
        found = self.probabilities(images, batch_size)
        columns = {name: [known[name].index(each) for each in wanted[name]] for name in wanted}
        return np.prod([found[name][:, at].sum(axis=1) for name, at in columns.items()], axis=0)

    def labels(self, images, batch_size=256):
        """The most probable classes.

        Args:
            images, batch_size: as in `features`.

        Returns:
            int32 `(N,)`, or a dictionary of these by factor.
        """
        probabilities = self.probabilities(images, batch_size)
        return tree.map_structure(lambda p: p.argmax(axis=-1).astype("int32"), probabilities)

    def values(self, images, batch_size=256):
        """Continuous factors.

        Args:
            images, batch_size: as in `features`.

        Returns:
            Dictionary from factor to float32 `(N,)`; empty if the judge knows classes only.
        """
        return self._run(images, batch_size)["values"]

    def __repr__(self):
        return f"<Judge {self.name!r}: {self.image_shape}, classes {self.class_names}>"

    def _judge(self, pixels):
        outputs = self._model(pixels, training=False)
        answers, values = outputs["answers"], {}
        if isinstance(answers, dict):
            names = sorted(answers)
            values = {n: answers[n][:, 0] for n in names if n not in self.class_names}
            answers = {n: answers[n] for n in self.class_names}
        probabilities = tree.map_structure(lambda logits: ops.softmax(logits, axis=-1), answers)
        return {
            "features": outputs["features"],
            "probabilities": probabilities,
            "values": values,
        }

    def _run(self, images, batch_size):
        images, size = self._checked(images), positive(batch_size, "batch_size")

        def pixels(start):
            pixels = to_uint8(images[start : start + size])
            return resize(with_channels(pixels, self.image_shape[-1]), self.image_size)

        chunks = ([pixels(start)] for start in range(0, len(images), size))
        return in_chunks(self._compiled, chunks, size)

    def _checked(self, images):
        images = to_numpy(images)
        shape, hint = images.shape, ""
        single = images.ndim == 2 or (images.ndim == 3 and shape[-1] in (1, 3))
        wanted = images.ndim == 3 or (images.ndim == 4 and shape[-1] in (1, 3))
        if single or not wanted or 0 in shape:
            if single:
                hint = " A single image needs a batch axis: images[None]."
            elif images.ndim == 4 and shape[1] in (1, 3):
                hint = " These look channels first: use numpy.moveaxis(images, 1, -1)."
            raise ValueError(
                f"The judge {self.name!r} takes one or more images, (N, height, width), (N, height,"
                f" width, 1) or (N, height, width, 3); got shape {shape}.{hint}"
            )
        check_images(images, check_range=False)  # dtype, and what is not finite
        if images.dtype == np.uint8:
            return images
        low, high = float(images.min()), float(images.max())
        if low < -1.001 or high > 1.001:
            raise ValueError(
                f"images has floats in [{low:.4g}, {high:.4g}]; the judge {self.name!r} expects "
                "floats in [-1, 1] or uint8 in [0, 255]. Pixels of 0 to 255: pass "
                "images.astype('uint8'). Otherwise scale or clip to [-1, 1]."
            )
        if low >= 0:
            raise ValueError(
                f"images has floats in [{low:.4g}, {high:.4g}], none negative: divided by 255? The "
                f"judge {self.name!r} expects floats in [-1, 1]. Pass the uint8 images as they "
                "are, or 2 * images - 1. If they really have no value below 0, pass "
                "kgen.data.to_uint8(images)."
            )
        return images
