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


def setting_of(value, known, base, name):
    """A setting, or the one of this name, as it is by default.

    Args:
        value: an instance of `base`, or a name.
        known: classes by name.
        base: their base class.
        name: of the argument, for the message.

    Raises:
        ValueError: for anything else; the message has the names, and what else there may be.
    """
    if isinstance(value, base):
        return value
    if isinstance(value, str) and value in known:
        return known[value]()
    room = ".".join(base.__module__.split(".")[:2])  # as its users know it
    is_class = isinstance(value, type) and issubclass(value, base)
    instead = f" Write {value.__name__}()." if is_class else ""
    raise ValueError(
        f"{name} must be one of {[*known]} or a {room}.{base.__name__}; got {value!r}.{instead}"
    )
