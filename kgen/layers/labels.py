"""Labels as what networks can see."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("kgen")
class OneHot(keras.layers.Layer):
    """Integers `(N,)` to one-hot vectors `(N, num_classes)`.

    Args:
        num_classes: how many classes there are; other integers become zeros.
        **kwargs: as in Keras; the vectors have its compute dtype.
    """

    def __init__(self, num_classes, **kwargs):
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.built = True

    def call(self, labels):
        """See the class."""
        classes = ops.arange(self.num_classes, dtype="int32")
        return ops.cast(ops.cast(labels, "int32")[..., None] == classes, self.compute_dtype)

    def compute_output_spec(self, labels):
        """Vectors for each label."""
        return keras.KerasTensor((*labels.shape, self.num_classes), self.compute_dtype)

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "num_classes": self.num_classes}
