"""Small objects that say how something is done: equal by value, hashable, in files by name."""

import dataclasses

import keras


class Settings:
    """What a setting needs to be in a model's configuration: see `setting`."""

    def get_config(self):
        """The arguments."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    @classmethod
    def from_config(cls, config):
        """Build from `get_config()`."""
        return cls(**config)


def setting(cls):
    """Class decorator: a frozen dataclass, which is equal to others by value, known to Keras."""
    return keras.saving.register_keras_serializable("kgen")(dataclasses.dataclass(frozen=True)(cls))
