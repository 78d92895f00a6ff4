"""Small objects that say how something is done: equal by value, hashable, in files by name."""

import dataclasses
import functools

import keras


class Settings:
    """What a setting needs to be in a model's configuration: see `setting`.

    A subclass that is no dataclass keeps what its constructor is given as attributes of the same
    names: it is equal by value, too, so that what is compiled with it is compiled anew when one of
    them changes.
    """

    def __eq__(self, other):
        return type(self) is type(other) and self.get_config() == other.get_config()

    def __hash__(self):
        return hash((type(self), *sorted(self.get_config().items())))

    def get_config(self):
        """The arguments."""
        if not dataclasses.is_dataclass(self):
            cached = functools.cached_property
            return {
                n: v
                for n, v in vars(self).items()
                if not isinstance(getattr(type(self), n, None), cached)
            }
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
        TypeError: for a setting that is not hashable, since what is compiled is kept by it.
    """
    if isinstance(value, base):
        try:
            hash(value)
        except TypeError as error:
            raise TypeError(
                f"{name} must be hashable, and {type(value).__name__} is not ({error}): decorate "
                "the class with kgen.settings.setting, and give it numbers, strings and tuples."
            ) from error
        return value
    if isinstance(value, str) and value in known:
        return known[value]()
    room = ".".join(base.__module__.split(".")[:2])  # as its users know it
    is_class = isinstance(value, type) and issubclass(value, base)
    instead = f" Write {value.__name__}()." if is_class else ""
    raise ValueError(
        f"{name} must be one of {[*known]} or a {room}.{base.__name__}; got {value!r}.{instead}"
    )
