"""`LeftOut`: stands where a file for inference has no network."""

import keras


@keras.saving.register_keras_serializable("kgen")
class LeftOut(keras.layers.Layer):
    """Takes the place of a network that generating does not need; has no weights, computes nothing.

    A constructor that looks at the shapes of its networks passes over those of this class.

    Args:
        name: of the network that was left out.

    Attributes:
        reason: what calling it, or compiling a model that holds it, says.
    """

    def __init__(self, name=None, **kwargs):
        super().__init__(name=name, **kwargs)
        self.reason = (
            f"There is no {self.name} here: this model was saved for inference, without the "
            "networks that only training needs. Generate with it; to train, use the file that "
            "model.save wrote, or the command on the model's card."
        )
        self.built = True

    def call(self, *args, **kwargs):
        """Refuse."""
        raise ValueError(self.reason)
