"""What models share that translate images of one domain into another."""

import math

import keras
import numpy as np
from keras import ops

from kgen.arguments import below, check_room, free_bytes, one_of
from kgen.arrays import as_list, one_or_all, to_numpy
from kgen.conditions import Target
from kgen.data.pairs import ImagePairs
from kgen.data.ranges import normalize_image_shape
from kgen.engine.generative_model import GenerativeModel
from kgen.engine.inference import CHUNK_PIXELS, CHUNK_ROWS
from kgen.engine.left_out import LeftOut
from kgen.engine.moving_average import MovingAverage
from kgen.losses import AdversarialObjective
from kgen.models.network_checks import (
    check_outputs,
    output_shapes,
    refuse_probabilities,
    refuse_sigmoid,
    sees_images_alone,
)

serialize = keras.saving.serialize_keras_object

DIRECTIONS = ("a_to_b", "b_to_a")
FLOATS_AT_ONCE = 6  # of what the widest layer makes, while images are translated
SCORES = {"scores of patches (logits) of shape": (None, None, 1)}


class Translator(GenerativeModel):
    """A model that translates images of domain A into domain B.

    Batches are `(a, b)`: a second image goes with each one, its answer (`aligned`) or any image of
    the other domain. The networks that translate are fully convolutional by default: what they
    learnt at one size they do at others.

    Attributes:
        aligned: whether b must be the answer to a.
        translators: name of the network that translates in each direction that the model learns.
        discriminators: name of the discriminator that sees what each direction makes.
        rows: names in pictures of what goes in, what comes out, and images of domain B.

    Args:
        image_shape: of domain A, `(H, W)` or `(H, W, C)`.
        target_shape: of domain B; by default as A.
        loss: adversarial, a name of `kgen.losses.ADVERSARIAL_LOSSES`.
        penalty: of the discriminators, as in `kgen.GAN`.
        average_decay: of the moving averages of what translates, in [0, 1); 0 for none.
    """

    conditions, aligned = (Target,), False
    translators, discriminators = {"a_to_b": "generator"}, {"a_to_b": "discriminator"}
    rows = ("a", "a to b", "b")

    def __init__(self, image_shape, target_shape=None, *, loss, penalty, average_decay, **kwargs):
        image_shape = normalize_image_shape(image_shape)
        target_shape = normalize_image_shape(target_shape or image_shape)
        if (len(image_shape), len(target_shape)) != (3, 3):
            raise ValueError(
                f"{type(self).__name__} translates images, (H, W) or (H, W, C); got "
                f"{image_shape} and {target_shape}."
            )
        super().__init__(image_shape, condition=Target(target_shape, self.aligned), **kwargs)
        objective = AdversarialObjective(loss, penalty)
        self.adversarial_loss, self.penalty = objective.loss, objective.penalty
        self.average_decay = below(average_decay, 1, "average_decay")

    @property
    def target_shape(self):
        """Shape of the images of domain B."""
        return self.condition.image_shape

    @property
    def adversarial_objective(self):
        """Loss and penalty in one."""
        return AdversarialObjective(self.adversarial_loss, self.penalty)

    def get_config(self):
        """Everything that the constructor needs, networks included."""
        config = super().get_config()
        del config["condition"]
        return {
            **config,
            "target_shape": self.target_shape,
            "loss": self.adversarial_loss,
            "penalty": "none" if self.penalty is None else serialize(self.penalty),
            "average_decay": self.average_decay,
        }

    def default_optimizers(self):
        """Adam 2e-4, 0.5 for each player: Isola et al. (2017), Zhu et al. (2017)."""
        return {player: keras.optimizers.Adam(2e-4, 0.5) for player in self.players}

    # What translates.

    def make_averages(self):
        """Set the moving average of each network that translates, `NAME_average`, or None."""
        for name in self.translators.values():
            network = getattr(self, name)
            inference = any(
                isinstance(getattr(self, d), LeftOut) for d in self.discriminators.values()
            )
            moves = self.average_decay and not inference
            average = MovingAverage(network, self.average_decay) if moves else None
            setattr(self, f"{name}_average", average)

    def update_averages(self):
        """Move the averages, at the end of an update."""
        for name in self.translators.values():
            if (average := getattr(self, f"{name}_average")) is not None:
                average.update(self.step)

    def translator(self, direction="a_to_b"):
        """The network that translates in a direction: its moving average, where there is one."""
        name = self.translators[direction]
        average = getattr(self, f"{name}_average")
        return getattr(self, name) if average is None else average.model

    def inference_networks(self):
        """What translates, each by its average."""
        return {name: self.translator(direction) for direction, name in self.translators.items()}

    def call(self, inputs, training=False):
        """Images of A as images of B."""
        return self.translator()(inputs, training=training)

    def input_signature(self):
        """An image of domain A."""
        return self.image_shape, "float32"

    # The adversarial part.

    def adversarial_generator_loss(self, discriminator, real, fake, training):
        """What a generator minimizes to pass for real; lists of inputs, images first.

        Args:
            discriminator: name of the network.
            real, fake: what it is given; the real ones matter to relativistic losses alone.
        """
        loss, _ = self.adversarial_objective.generator_loss(
            lambda inputs: self.run(discriminator, inputs, training=training),
            real,
            fake,
            self.random,
        )
        return self._as_printed() * loss

    def adversarial_discriminator_loss(self, discriminator, real, fake, training):
        """What a discriminator minimizes, penalty included: half of what the papers' loss is.

        "We divide the objective by 2 while optimizing D": Isola et al. (2017), section 3.3.
        """
        network = getattr(self, discriminator)
        loss, _, _ = self.adversarial_objective.discriminator_loss(
            lambda inputs: self.run(discriminator, inputs, training=training),
            real,
            fake,
            self.random,
            step=self.step if training else None,
            preserving=lambda: self.preserving(network),
            discriminate_both=lambda *sides: [
                [scores] for scores in self.run(discriminator, *sides, training=training)
            ],
        )
        return 0.5 * self._as_printed() * loss

    def run(self, name, *batches, training):
        """What a network makes of each of some batches, which are as large as each other.

        In one call, where the network sees each image alone.

        Args:
            name: of the network.
            *batches: lists of what it takes.
        """
        network = getattr(self, name)
        if len(batches) == 1 or not sees_images_alone(network):
            return [network(one_or_all(batch), training=training) for batch in batches]
        joined = [ops.concatenate(inputs) for inputs in zip(*batches, strict=True)]
        return ops.split(network(one_or_all(joined), training=training), len(batches))

    def _as_printed(self):
        """Factor from kgen's loss to that of these papers, whose squares have no factor 1/2."""
        return 2.0 if self.adversarial_loss == "least_squares" else 1.0

    # What a user asks for.

    def translate(self, images, direction="a_to_b", batch_size=None):
        """Images of one domain, translated into the other: float32 in [-1, 1].

        Args:
            images: `(N, H, W, C)`, uint8 or floats in [-1, 1], of any size that the network gives
                back.
            direction: `"a_to_b"`, or `"b_to_a"` of a model that learns both.
            batch_size: images at a time; by default as many as suit their size.

        Returns:
            `(N, H, W, C)` of the other domain.

        Raises:
            ValueError: for a direction that the model does not learn, sizes that the network does
                not give back (the message names one that it does), and images that memory does not
                hold (it names the size that it does).
        """
        images = self._to_translate(images, direction)
        rows = self._rows_at_once(images, direction) if batch_size is None else batch_size
        static = {"direction": direction}
        translated = self.infer(self._translate, images, static=static, batch_size=rows)
        return np.clip(translated, -1, 1)

    def _translate(self, images, direction):
        return self.translator(direction)(images, training=False)

    def _to_translate(self, images, direction):
        """Images to translate, float32 in [-1, 1], of a size that the network gives back."""
        one_of(direction, DIRECTIONS, "direction")
        if direction not in self.translators:
            raise ValueError(
                f"{type(self).__name__} learns one direction, 'a_to_b'; got {direction!r}. For "
                "the other one train a model of the pairs the other way round: pairs.swapped()."
            )
        if isinstance(images, ImagePairs):
            raise TypeError(
                "images must be an array; of pairs pass those of one domain, such as "
                "pairs.pairs()[0]."
            )
        shape = self.image_shape if direction == "a_to_b" else self.target_shape
        array = to_numpy(images)
        of_one_channel = array.ndim == 3 and shape[-1] == 1
        if (array.ndim == 4 or of_one_channel) and 0 not in array.shape:
            shape = (*array.shape[1:3], shape[-1])
        found = self.images_in(array if array.ndim else images, image_shape=shape)
        self._check_size(direction, *shape[:2])
        return found

    def preview(self, n, seed=None, inputs=None):
        """Rows of images: those of domain A, what they become, and domain B, where it is given.

        Where the inputs are aligned, the last row is the truth.
        """
        if inputs is None:
            raise self.no_inputs()
        a, *b = as_list(inputs)
        a = self._to_translate(a[:n], "a_to_b")
        shown = [a, self.translate(a)]
        shown += [self.images_in(images[:n], image_shape=self.target_shape) for images in b]
        return dict(zip(self.rows, shown, strict=False))

    def divisor(self, direction="a_to_b"):
        """What both sides of images must be divisible by, so that they come back in their size.

        Raises:
            ValueError: for a network that takes images of one size alone.
        """
        name = self.translators[direction]
        network, (taken, made) = getattr(self, name), self._channels(direction)
        divisor = _reduction(network)
        if not _same_size(network, 5 * divisor, 7 * divisor, taken, made):
            raise ValueError(f"The {name} takes images of one size, {self.image_shape[:2]}.")
        return divisor

    def _check_size(self, direction, height, width):
        """Raise a `ValueError` unless a network makes images of the size that it is given."""
        if (height, width) == self.image_shape[:2]:
            return
        divisor = self.divisor(direction)
        if height % divisor or width % divisor:
            near = [max(divisor, round(side / divisor) * divisor) for side in (height, width)]
            raise ValueError(
                f"The {self.translators[direction]} does not give images of {height}x{width} "
                f"pixels back in their size: both sides must be divisible by {divisor}. Resize or "
                f"crop them, for example to {near[0]}x{near[1]}."
            )

    def _channels(self, direction):
        """Channels of what a direction takes and makes."""
        channels = self.image_shape[-1], self.target_shape[-1]
        return channels if direction == "a_to_b" else channels[::-1]

    def _rows_at_once(self, images, direction):
        """How many images to translate at a time; refused where memory does not hold one."""
        height, width = images.shape[1:3]
        of_pixel = 4 * FLOATS_AT_ONCE * _widest(getattr(self, self.translators[direction]))
        free, of_image = free_bytes(), height * width * of_pixel
        side = int((free / of_pixel) ** 0.5) // 64 * 64
        what = f"Translating one image of {height}x{width} pixels"
        check_room(of_image, what, f"pass images of at most {side}x{side}")
        return int(np.clip(CHUNK_PIXELS // (height * width), 1, min(CHUNK_ROWS, free // of_image)))

    # Checks.

    def check_networks(self):
        """Raise a `ValueError` unless the networks fit each other and the images."""
        shapes = {"a_to_b": (self.image_shape, self.target_shape)}
        shapes["b_to_a"] = shapes["a_to_b"][::-1]
        for direction, name in self.translators.items():
            taken, made = shapes[direction]
            network = getattr(self, name)
            signature = {"images": (taken, "float32")}
            check_outputs(network, signature, {"images of shape": made}, name)
            refuse_sigmoid(network, made, name)
        for direction, name in self.discriminators.items():
            network = getattr(self, name)
            if isinstance(network, LeftOut):
                continue
            check_outputs(network, self.discriminator_signature(direction), SCORES, name)
            refuse_probabilities(network, SCORES)

    def discriminator_signature(self, direction):
        """Shapes and dtypes of what a direction's discriminator is given, by what it is."""
        made = self.target_shape if direction == "a_to_b" else self.image_shape
        return {"images": (made, "float32")}


def _same_size(network, height, width, channels, made):
    """Whether a network makes images of `made` channels of the size that it is given."""
    try:
        shapes = output_shapes(network, (height, width, channels), "network", "")
    except ValueError:
        return False
    return shapes == [(None, height, width, made)]


def _reduction(network):
    """By how much a network reduces the sides of images before it restores them."""
    kinds = keras.layers.Conv2D | keras.layers.AveragePooling2D | keras.layers.MaxPooling2D
    reducing = [layer for layer in network._flatten_layers() if isinstance(layer, kinds)]
    return math.prod(max(layer.strides) for layer in reducing)


def _widest(network):
    """Floats for each pixel of an image that a network's first convolution makes."""
    for layer in network._flatten_layers():
        if isinstance(layer, keras.layers.Conv2D):
            return max(1, layer.filters // math.prod(layer.strides))
    return 1
