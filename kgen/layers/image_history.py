"""A history of generated images, from which a discriminator is shown some again."""

import keras
from keras import ops

from kgen.arguments import positive


@keras.saving.register_keras_serializable("kgen")
class ImageHistory(keras.layers.Layer):
    """Keep generated images, and give half of a batch older ones in the place of its own.

    Shrivastava et al., "Learning from simulated and unsupervised images through adversarial
    training" (2017), section 2.3, as CycleGAN uses it (Zhu et al., 2017, section 4): a
    discriminator that also sees what the generator made some time ago lets it go back to nothing.

    While the history is not full, images are stored and returned. Once it is, each image is with
    probability 1/2 stored at a random place, and what lay there is returned; else it is returned
    and not stored. Each image of a batch has a place of its own, so nothing is returned twice and
    nothing of the same batch; images for which no place is left are returned as they are. (The
    authors' code goes image by image, so that a batch may hit one place more than once.)

    Of the replicas of a strategy, the first one's images are stored.

    Attributes:
        images: variable, float32 `(size, H, W, C)`; places that are not filled hold zeros.
        count: variable, int32, how many places are filled.

    Args:
        size: positive integer, how many images are kept.
        **kwargs: as in Keras.

    Call arguments:
        images: `(N, H, W, C)`; H, W and C are known, and the same at each call.
        seed: a `keras.random.SeedGenerator` to draw from.

    Returns:
        Images of the same shape, float32, through which no gradient passes.

    Raises:
        ValueError: for a size below 1, and for images of other or of unknown sides.

    Example:

    ```python
    history = kgen.layers.ImageHistory(50)
    score = discriminator(history(generator(images), seed=random))
    ```
    """

    def __init__(self, size=50, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.size = positive(size, "size")

    def build(self, images_shape):
        """Make the variables for images of this shape, `(N, H, W, C)`."""
        if len(images_shape) != 4 or None in images_shape[1:]:
            raise ValueError(
                "ImageHistory takes images (N, H, W, C) of known sides and channels; got shape "
                f"{tuple(images_shape)}."
            )
        kept = {"initializer": "zeros", "trainable": False, "aggregation": "only_first_replica"}
        self.images = self.add_weight(
            shape=(self.size, *images_shape[1:]),
            dtype="float32",
            autocast=False,
            name="images",
            **kept,
        )
        self.count = self.add_weight(shape=(), dtype="int32", name="count", **kept)

    def call(self, images, seed):
        """See the class."""
        if tuple(images.shape[1:]) != tuple(self.images.shape[1:]):
            raise ValueError(
                f"This ImageHistory holds images of shape {tuple(self.images.shape[1:])}; got "
                f"{tuple(images.shape[1:])}. Make another one for images of another size."
            )
        images = ops.stop_gradient(ops.cast(images, "float32"))
        count, history = (ops.convert_to_tensor(v) for v in (self.count, self.images))
        places = self._places(count, seed)[: ops.shape(images)[0]]
        drawn = keras.random.uniform((ops.shape(images)[0],), seed=seed)[: self.size]
        new = images[: self.size]  # those with a place
        old = ops.take(history, places, axis=0)
        empty = places >= count
        exchanged = ops.logical_and(drawn < 0.5, ops.logical_not(empty))
        stored = _where(ops.logical_or(empty, exchanged), new, old)
        self.images.assign(ops.scatter_update(history, places[:, None], stored))
        self.count.assign(ops.minimum(count + ops.shape(images)[0], self.size))
        return ops.concatenate([_where(exchanged, old, new), images[self.size :]])

    def _places(self, count, seed):
        """All places: those that are empty in their order, then the others in a random one."""
        place = ops.arange(self.size, dtype="int32")
        random = keras.random.uniform((self.size,), seed=seed)
        first = ops.cast(place - self.size, "float32")  # below 0
        return ops.cast(ops.argsort(ops.where(place >= count, first, random)), "int32")

    def compute_output_shape(self, images_shape):
        """That of the images."""
        return images_shape

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "size": self.size}


def _where(chosen, images, others):
    return ops.where(chosen[:, None, None, None], images, others)
