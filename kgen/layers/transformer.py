"""A transformer that sees no further than where it is."""

import keras
from keras import ops

from kgen.arguments import positive
from kgen.layers.attention import attention
from kgen.layers.labels import OneHot

WIDER = 4  # the hidden layer of a block


@keras.saving.register_keras_serializable("kgen")
class CausalTransformer(keras.layers.Layer):
    """Transformer of a sequence, in which each place sees itself and those before (GPT).

    Blocks of attention and two dense layers, each after a normalisation and added to what it saw
    (Vaswani et al., 2017; Radford et al., 2019, section 2.3), with positions that are learned. The
    last layer is zero at first.

    A sequence that is yet to be made goes through place by place: `step` sees one place, and
    remembers of those before what attention asks for, so that none is computed twice.

    Args:
        outputs: numbers at each place.
        width: of what blocks hand on; a multiple of `heads`.
        blocks: how many.
        heads: of the attention.
        num_classes: makes it conditional: all places are told a label.
        **kwargs: as in Keras.

    Call arguments:
        inputs: `(N, T, D)`, or a list of it and of labels, int32 `(N,)` or `(N, 1)`.

    Returns:
        `(N, T, outputs)`.

    Raises:
        ValueError: for a width that does not divide into heads; for sequences that are none, or of
            another length than the one it was built for.
    """

    def __init__(self, outputs, width=64, blocks=2, heads=4, num_classes=None, **kwargs):
        super().__init__(**kwargs)
        self.outputs, self.blocks = positive(outputs, "outputs"), positive(blocks, "blocks")
        self.width, self.heads = positive(width, "width"), positive(heads, "heads")
        self.num_classes = None if num_classes is None else positive(num_classes, "num_classes")
        if self.width % self.heads:
            raise ValueError(f"width={width} does not divide into heads={heads} heads.")

    def build(self, input_shape):
        """Make what the places share."""
        several = isinstance(input_shape[0], tuple | list)
        self._check(several, input_shape)
        shape = tuple(input_shape[0] if several else input_shape)
        if len(shape) != 3 or None in shape[1:]:
            raise ValueError(
                "CausalTransformer takes sequences (N, T, D) whose length is known; got shape "
                f"{shape}."
            )
        _, self.places, numbers = shape
        self.positions = self.add_weight(
            shape=(self.places, self.width),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
            name="positions",
        )
        self.first = self._dense(numbers, self.width, "first")
        self.told = None
        if several:
            self.one_hot = OneHot(self.num_classes, dtype=self.dtype_policy)
            self.told = self._dense(self.num_classes, self.width, "told", use_bias=False)
        self.stack = []
        for i in range(self.blocks):
            block = {
                "before": self._normalization(f"before_{i}"),
                "asked": self._dense(self.width, 3 * self.width, f"query_key_value_{i}"),
                "seen": self._dense(self.width, self.width, f"seen_{i}"),
                "between": self._normalization(f"between_{i}"),
                "wide": self._dense(self.width, WIDER * self.width, f"wide_{i}"),
                "narrow": self._dense(WIDER * self.width, self.width, f"narrow_{i}"),
            }
            self.stack.append(block)
        self.after = self._normalization("after")
        self.last = self._dense(self.width, self.outputs, "last", kernel_initializer="zeros")

    def _dense(self, numbers, width, name, **options):
        layer = keras.layers.Dense(width, dtype=self.dtype_policy, name=name, **options)
        layer.build((None, numbers))
        return layer

    def _normalization(self, name):
        layer = keras.layers.LayerNormalization(dtype=self.dtype_policy, name=name)
        layer.build((None, self.places, self.width))
        return layer

    def call(self, inputs):
        """See the class."""
        sequences, labels = self._told_apart(inputs)
        if sequences.shape[1] != self.places:
            raise ValueError(
                f"This CausalTransformer was built for {self.places} places; got shape "
                f"{tuple(sequences.shape)}."
            )
        before = ops.tril(ops.ones((self.places, self.places), dtype="bool"))

        def seen(i, query, key, value):
            return attention(query, key, value, before)

        return self._through(sequences, labels, self.positions, seen)

    def memory(self, n):
        """What is remembered before the first place: of each block, keys and values."""
        shape = n, self.heads, self.places, self.width // self.heads
        return tuple((ops.zeros(shape, self.compute_dtype),) * 2 for _ in range(self.blocks))

    def step(self, inputs, place, memory):
        """What `call` returns at one place.

        Args:
            inputs: `(N, D)`, what is at this place, or a list of it and of labels `(N,)`.
            place: its number, an integer or a scalar tensor; all before have been seen.
            memory: of them, what `step` returned, or `memory(N)`.

        Returns:
            `(outputs, memory)`, the first `(N, outputs)`.
        """
        inputs, labels = self._told_apart(inputs)
        numbers, remembered = ops.arange(self.places), list(memory)
        here = (numbers == place)[:, None]

        def seen(i, query, *new):
            pairs = zip(new, remembered[i], strict=True)
            remembered[i] = tuple(ops.where(here, new, old) for new, old in pairs)
            return attention(query, *remembered[i], numbers <= place)

        position = ops.take(self.positions, ops.reshape(place, (1,)), axis=0)
        outputs = self._through(inputs[:, None], labels, position, seen)
        return outputs[:, 0], tuple(remembered)

    def _told_apart(self, inputs):
        """Sequences, and labels; None: of a transformer that is told none."""
        several = isinstance(inputs, list | tuple)
        self._check(several, [tuple(x.shape) for x in inputs] if several else tuple(inputs.shape))
        return inputs if several else (inputs, None)

    def _check(self, several, shape):
        if several != (self.num_classes is not None):
            expected = "sequences alone" if self.num_classes is None else "[sequences, labels]"
            raise ValueError(
                f"This CausalTransformer has num_classes={self.num_classes} and takes {expected}; "
                f"got shape {shape}."
            )

    def _through(self, x, labels, positions, attend):
        """The layers; `attend(i, query, key, value)` is the attention of block i."""
        x = self.first(ops.cast(x, self.compute_dtype)) + ops.cast(positions, self.compute_dtype)
        if self.told is not None:
            x = x + self.told(self.one_hot(ops.reshape(labels, (-1,))))[:, None]
        heads = (-1, x.shape[1], 3, self.heads, self.width // self.heads)
        for i, block in enumerate(self.stack):
            asked = ops.reshape(block["asked"](block["before"](x)), heads)
            asked = ops.unstack(ops.transpose(asked, (2, 0, 3, 1, 4)), 3, axis=0)
            seen = ops.transpose(attend(i, *asked), (0, 2, 1, 3))
            x = x + block["seen"](ops.reshape(seen, (-1, x.shape[1], self.width)))
            hidden = ops.gelu(block["wide"](block["between"](x)), approximate=True)
            x = x + block["narrow"](hidden)
        return self.last(self.after(x))

    def compute_output_shape(self, input_shape):
        """As many places."""
        first = input_shape if self.num_classes is None else input_shape[0]
        return (*first[:-1], self.outputs)

    def get_config(self):
        """The arguments."""
        names = ("outputs", "width", "blocks", "heads", "num_classes")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
