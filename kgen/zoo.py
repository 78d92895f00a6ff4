"""Trained models: list them, load one by name, read its card, add one.

A model of the zoo is four files in a folder: `NAME.keras`; its card, `NAME.json` for programs and
`NAME.md` for people, the second made of the first; and `NAME.png`, images that it makes. The
`.keras` file is for inference: the networks that make images, encode and decode, in float32
whatever precision trained them, without optimizers and without what only training needs. (The
whole of a model, to train on, is `model.save(path)`.) It loads on every backend, here by name or
with `keras.saving.load_model(path)` after `import kgen`.

Models are looked for in the folder that is passed and nowhere else; otherwise in the folder that
the environment variable `KGEN_MODELS` names, then in the `saved_models/` of kgen's checkout.
"""

import builtins  # `list` is a function of this module
import difflib
import io
import json
import math
import os
import platform
import re
import shlex
import sys
import zipfile
import zlib
from pathlib import Path

import h5py
import keras
import numpy as np
from keras import ops

from kgen import plots
from kgen.data import license as data_license
from kgen.engine import backend
from kgen.engine.generative_model import GenerativeModel
from kgen.engine.left_out import LeftOut
from kgen.engine.moving_average import MovingAverage
from kgen.files import sha256_of_file, written_within

__all__ = [
    "SCHEMA",
    "card",
    "check_name",
    "list",
    "load",
    "load_model",
    "markdown",
    "save",
    "this_command",
    "this_device",
]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
DTYPES = ("float32", "float16")
FILES = (".keras", ".png", ".md", ".json")  # the card last: it vouches for the others


def _is_text(value):
    return isinstance(value, str) and bool(value.strip())


def _is_count(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_shape(value):
    return isinstance(value, builtins.list | tuple) and bool(value) and all(map(_is_count, value))


def _are_metrics(value):
    return isinstance(value, dict) and all(
        _is_text(name) and _is_number(number) for name, number in value.items()
    )


# What a card says: for each field what belongs there, and the test of it.
SCHEMA = {
    "name": ("the model's name", _is_text),
    "what": ("a sentence or two about the model", _is_text),
    "model": ("the class, as Keras registers it", _is_text),
    "image_shape": ("the shape of one image, a list of integers", _is_shape),
    "parameters": ("how many numbers the file holds, an integer", _is_count),
    "dtype": (f"how they are stored, one of {DTYPES}", lambda value: value in DTYPES),
    "command": ("the command that trained it", _is_text),
    "data": ("the images that it learned from", _is_text),
    "license": ("the licence of these images (kgen.data.license)", _is_text),
    "seed": ("the seed of the run, an integer", _is_count),
    "device": ("the device and software that trained it", _is_text),
    "seconds": ("how long the run took, a number", _is_number),
    "metrics": ("how good it is, a dictionary from names to finite numbers", _are_metrics),
    "samples": ("file name of images that it makes", _is_text),
    "sha256": ("checksum of the .keras file", _is_text),
}


def list(folder=None):
    """Names of the models that `load` finds, sorted.

    Args:
        folder: where to look; None for the places that the module names.

    Returns:
        List of names.
    """
    return sorted({name for _, place in _places(folder) for name in _names(place)})


def load(name, folder=None):
    """A trained model, ready to generate.

    Args:
        name: as in `list()`.
        folder: where to look; None for the places that the module names.

    Returns:
        A model of the class that was trained, float32.

    Raises:
        FileNotFoundError: if there is no such model; says what there is, and how to get one.
        ValueError: if its file or card is damaged, or they do not belong together.

    Example:

    ```python
    vae = kgen.zoo.load("vae_digits")
    kgen.plots.grid(vae.generate(16, seed=0))
    ```
    """
    stem = _find(name, folder)
    path = stem.with_suffix(".keras")
    if sha256_of_file(path) != _read(stem)["sha256"]:
        raise ValueError(
            f"{path} is not the file that its card {name}.json describes: one of the two is "
            "damaged or was replaced. Copy all of the model's files again, or train it anew with "
            "the card's command."
        )
    return keras.saving.load_model(path)


def load_model(name):
    """The model of a `.keras` file, or one of the zoo: what commands take as a model.

    Args:
        name: path that ends in `.keras`, or a name as in `list()`.

    Returns:
        The model.

    Raises:
        FileNotFoundError, ValueError: if there is no such file or model, or it is damaged.
    """
    if not str(name).endswith(".keras"):
        return load(name)
    path = Path(name).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")
    if not (path.is_file() and zipfile.is_zipfile(path)):  # Keras says: not found
        raise ValueError(f"{path} is no complete .keras file: was it cut off?")
    try:
        with zipfile.ZipFile(path) as parts:
            damaged = parts.testzip()
    except (zipfile.BadZipFile, OSError, EOFError, zlib.error, NotImplementedError) as error:
        damaged = f"its list of parts ({error})"
    if damaged:
        raise ValueError(f"{path} is damaged, in {damaged}: copy it again, or train it anew.")
    return keras.saving.load_model(path)


def card(name, folder=None):
    """What is known of a model: a dictionary with the fields of `SCHEMA`.

    Args:
        name: as in `list()`.
        folder: where to look; None for the places that the module names.

    Raises:
        FileNotFoundError: if there is no such model.
        ValueError: if the card lacks a field, has one too many, or a wrong value.
    """
    return _read(_find(name, folder))


def save(
    model,
    name,
    folder=None,
    *,
    what,
    data,
    seed,
    seconds,
    metrics,
    license=None,
    command=None,
    device=None,
    samples=None,
    dtype="float32",
):
    """Add a trained model to a folder: its file for inference, its card, its sample grid.

    A model of the same name is replaced. The file is loaded again before anything is in its place,
    and the sample grid shows what the loaded model generates, unless `samples` are passed.

    Args:
        model: a `kgen.GenerativeModel`; it stays as it is.
        name: letters, digits, `-` and `_`.
        folder: None for `$KGEN_MODELS`, or the checkout's `saved_models/`.
        what, data, seed, seconds, metrics: what the card says; see `SCHEMA`.
        license: of the data; by default `kgen.data.license(data)`.
        command: that trained it; by default the one that runs here (`this_command()`).
        device: that trained it; by default the one here (`this_device()`).
        samples: images for the grid, `(N, *image_shape)`, or rows of them by name, as the model's
            `preview` returns them; by default its preview of 64 with this seed.
        dtype: of the weights in the file: `"float32"`, or `"float16"` at half the size. They are
            float32 again when loaded.

    Returns:
        Path of the `.keras` file.

    Raises:
        TypeError, ValueError: if an argument is not as above, a weight is not finite or beyond
            float16, or the model could not be loaded again. Nothing is written.
        OSError: if the folder cannot be written; what stood there before stays.
    """
    check_name(name)
    if not isinstance(model, GenerativeModel):
        raise TypeError(f"kgen.zoo.save takes a kgen.GenerativeModel; got {type(model).__name__}.")
    folder = _folder_to_write(folder)
    content = {
        "name": name,
        "what": what,
        "model": keras.saving.get_registered_name(type(model)),
        "image_shape": [int(side) for side in model.image_shape],
        "dtype": dtype,
        "command": this_command() if command is None else command,
        "data": data,
        "license": data_license(data) if license is None else license,
        "seed": _plain(seed),
        "device": this_device() if device is None else device,
        "seconds": _plain(seconds),
        "metrics": {k: _plain(v) for k, v in metrics.items()}
        if isinstance(metrics, dict)
        else metrics,
        "samples": f"{name}.png",
    }
    _check(content, content, "kgen.zoo.save")
    copy = _for_inference(model)
    _refuse_values(copy, dtype)
    with written_within(folder) as temporary:
        stem = temporary / name
        path = stem.with_suffix(".keras")
        copy.save(path)
        _rewrite(path, dtype)
        loaded = keras.saving.load_model(path)
        _draw(loaded, samples, content["seed"], stem.with_suffix(".png"))
        networks = [getattr(loaded, network) for network in loaded.network_names]
        parameters = sum(network.count_params() for network in networks)
        own = [
            v for v in _own_variables(loaded) if "float" in keras.backend.standardize_dtype(v.dtype)
        ]
        parameters += sum(math.prod(variable.shape) for variable in own)
        content |= {"parameters": parameters, "sha256": sha256_of_file(path)}
        content = {field: content[field] for field in SCHEMA}
        stem.with_suffix(".md").write_text(markdown(content), encoding="utf-8")
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        stem.with_suffix(".json").write_text(text, encoding="utf-8")
        _put_in_place(stem, folder / name)
    return (folder / name).with_suffix(".keras")


def markdown(card):
    """The card as a page of Markdown.

    Args:
        card: dictionary with the fields of `SCHEMA`.
    """
    _check(card, SCHEMA, "card")
    shape = " x ".join(map(str, card["image_shape"]))
    rows = {
        "model": f"`{card['model'].replace('>', '.')}`, {shape}, {card['parameters']:,} parameters",
        "weights on disk": card["dtype"],
        "command": f"`{card['command']}`",
        "data": card["data"],
        "license of the data": card["license"],
        "seed": card["seed"],
        "device": card["device"],
        "time": f"{card['seconds']:,.0f} s",
        **{name: f"{value:.5g}" for name, value in card["metrics"].items()},
        "SHA-256": f"`{card['sha256']}`",
    }
    table = "\n".join(f"| {_cell(name)} | {_cell(value)} |" for name, value in rows.items())
    return (
        f"# {card['name']}\n\n{card['what']}\n\n"
        f"![Images by {card['name']}]({card['samples']})\n\n"
        f"| | |\n|---|---|\n{table}\n\n"
        f'```python\nkgen.zoo.load("{card["name"]}").{_first_call(card["model"])}\n```\n'
    )


def _first_call(registered_name):
    """What one does with a model of this class first."""
    of_images = hasattr(keras.saving.get_registered_object(registered_name), "translate")
    return "translate(images)" if of_images else "generate(16, seed=0)"


def this_command():
    """The command line that runs here, with Keras's backend, as a card names it."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    name = spec.name.removesuffix(".__main__") if spec else None
    program = ["-m", name] if name else [sys.argv[0] or "-"]
    line = shlex.join(["python", *program, *sys.argv[1:]])
    return f"KERAS_BACKEND={keras.backend.backend()} {line}"


def this_device():
    """Device, backend and versions of this process, as a card names them; one line of text."""
    names = backend.accelerators()
    device = f"{len(names)} x {names[0]}" if names else f"CPU, {os.cpu_count()} cores"
    versions = f"{keras.backend.backend()}, Keras {keras.__version__}"
    return f"{device}; {versions}, Python {platform.python_version()}"


def check_name(name):
    """Raise a ValueError for what is no name of a model."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(
            f"A model's name consists of letters, digits, - and _, such as 'vae_digits', without "
            f"folder or suffix; got {name!r}."
        )


# Where models are.


def _places(folder):
    """Where to look, in this order: what each place is called, and its path."""
    if folder is not None:
        return [(f"{folder}", Path(folder).expanduser())]
    places, chosen = [], os.environ.get("KGEN_MODELS")
    if chosen:
        places.append((f"$KGEN_MODELS ({chosen})", Path(chosen).expanduser()))
    checkout = Path(__file__).parents[1] / "saved_models"
    if checkout.is_dir():
        places.append((f"{checkout}", checkout))
    return places


def _folder_to_write(folder):
    places = _places(folder)
    if not places:
        raise ValueError(
            "kgen.zoo.save does not know where to: pass folder=, or set the environment variable "
            "KGEN_MODELS to a folder."
        )
    return places[0][1]


def _names(place):
    """Names of the models in a folder: those that have both a file and a card."""
    names = {path.stem for path in place.glob("*.json") if path.with_suffix(".keras").is_file()}
    return sorted(filter(NAME.fullmatch, names))


def _find(name, folder):
    """Path of a model's files without their suffix."""
    check_name(name)
    places = _places(folder)
    stems = [place / name for _, place in places]
    stems = [stem for stem in stems if stem.with_suffix(".keras").is_file()]
    for stem in stems:
        if stem.with_suffix(".json").is_file():
            return stem
    if stems:
        raise FileNotFoundError(
            f"{stems[0]}.keras has no card {name}.json beside it, so it is not a model of the zoo. "
            f"keras.saving.load_model({str(stems[0]) + '.keras'!r}) loads it."
        )
    near = difflib.get_close_matches(name, list(folder), n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    found = "; ".join(f"in {label}: {_shown(place)}" for label, place in places)
    raise FileNotFoundError(
        f"There is no trained model {name!r}.{hint} Found {found or 'no folder to look in'}. To "
        "get models, train one in a checkout of kgen (python -m recipes.vae --publish "
        f"{name}), or let the environment variable KGEN_MODELS name a folder that holds some, such "
        "as the saved_models of a checkout."
    )


def _shown(place):
    return ", ".join(_names(place)) or "no models" if place.is_dir() else "no such folder"


# The card.


def _read(stem):
    path = stem.with_suffix(".json")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not a card, it is not JSON: {error}.") from error
    _check(content, SCHEMA, str(path))
    if content["name"] != stem.name:
        raise ValueError(f"{path} is the card of {content['name']!r}: a file was renamed.")
    return content


def _check(content, fields, where):
    """Raise for a card that does not have exactly these fields, each as `SCHEMA` wants it."""
    if not isinstance(content, dict):
        raise ValueError(f"{where}: a card is a dictionary; got {type(content).__name__}.")
    if set(content) != set(fields):
        missing, unknown = sorted(set(fields) - set(content)), sorted(set(content) - set(fields))
        raise ValueError(
            f"{where}: a card has the fields {[*fields]}; missing are {missing}, unknown {unknown}."
        )
    for field in fields:
        expected, holds = SCHEMA[field]
        if not holds(content[field]):
            raise ValueError(f"{where}: {field} must be {expected}; got {content[field]!r}.")


def _plain(number):
    """NumPy's numbers and scalar arrays as Python's, which JSON knows."""
    if isinstance(number, np.generic | np.ndarray) and number.ndim == 0:
        return number.item()
    return number


def _cell(value):
    return re.sub(r"\s+", " ", str(value)).replace("|", "\\|")


# The file for inference.


def _for_inference(model):
    """A model of the same class with the networks that inference needs, in float32."""
    config = keras.saving.serialize_keras_object(model)
    config, kept = config["config"], model.inference_networks()
    unknown = sorted(set(kept) - set(model.network_names))
    if unknown:
        raise ValueError(
            f"{type(model).__name__}.inference_networks() names {unknown}, which are no networks "
            f"of its players: {model.network_names}."
        )
    for name in model.network_names:
        if kept.get(name) is getattr(model, name):
            continue
        if name not in config:
            raise ValueError(
                f"{type(model).__name__}.get_config() has no {name!r}, so a file cannot have "
                "another network in its place, nor leave it out."
            )
        network = kept[name] if name in kept else LeftOut(name)
        config[name] = keras.saving.serialize_keras_object(network)
    copy = type(model).from_config(_in_float32(config))
    for name, network in kept.items():
        getattr(copy, name).set_weights(network.get_weights())
    _copy_the_rest(model, copy)
    copy.ensure_built()
    return copy


def _copy_the_rest(model, copy):
    """What a model holds beside its networks: its own variables, averages, other layers."""
    own = zip(_own_variables(copy), _own_variables(model), strict=True)
    for target, source in own:
        target.assign(ops.convert_to_numpy(source))
    networks = {id(getattr(copy, name)) for name in copy.network_names}
    names = {**vars(copy), **vars(copy).get("_modules", {})}  # where PyTorch's modules keep theirs
    for name, layer in names.items():
        if not isinstance(layer, keras.Layer) or id(layer) in networks or not layer.weights:
            continue
        if isinstance(layer, MovingAverage) and id(layer.model) in networks:
            continue  # an average that stands in for its network, or follows one that is left out
        layer.set_weights(getattr(model, name).get_weights())


def _own_variables(model):
    return model._trainable_variables + model._non_trainable_variables


def _in_float32(config):
    """A configuration whose floating-point policies are all float32."""
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy":
            name = config["config"]["name"]
            return {**config, "config": {**config["config"], "name": _float32(name)}}
        return {
            key: _float32(value) if key == "dtype" and _is_text(value) else _in_float32(value)
            for key, value in config.items()
        }
    if isinstance(config, builtins.list | tuple):
        return type(config)(map(_in_float32, config))
    return config


def _float32(policy):
    return "float32" if re.fullmatch(r"(mixed_)?b?float(16|32|64)", policy) else policy


def _refuse_values(model, dtype):
    top = float(np.finfo(dtype).max)
    for variable in model.weights:
        if not keras.backend.is_float_dtype(variable.dtype):
            continue
        largest = float(np.abs(ops.convert_to_numpy(variable)).max(initial=0))
        if not math.isfinite(largest):
            raise ValueError(f"{variable.path} holds NaN or infinity: such a model is not saved.")
        if largest > top:
            raise ValueError(
                f"{variable.path} holds {largest:.4g}, beyond float16's largest {top:.5g}: save "
                'this model with dtype="float32".'
            )


def _rewrite(path, dtype):
    """Compress a .keras file, with its floats in another dtype."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    if dtype != "float32":
        stored = io.BytesIO()
        with (
            h5py.File(io.BytesIO(members["model.weights.h5"]), "r") as source,
            h5py.File(stored, "w") as target,
        ):
            _copy_group(source, target, dtype)
        members["model.weights.h5"] = stored.getvalue()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def _copy_group(source, target, dtype):
    target.attrs.update(source.attrs)
    for name, item in source.items():
        if isinstance(item, h5py.Group):
            _copy_group(item, target.create_group(name), dtype)
        else:
            floats = item.dtype.kind == "f"
            copy = target.create_dataset(name, data=item[()].astype(dtype) if floats else item[()])
            copy.attrs.update(item.attrs)


def _draw(model, samples, seed, path):
    if samples is None:
        try:
            rows = model.preview(64, seed=seed)
        except (NotImplementedError, ValueError) as error:
            raise ValueError(
                f"{type(model).__name__} does not generate by itself: pass samples=, the images "
                "for the card."
            ) from error
    else:
        rows = samples if isinstance(samples, dict) else {"samples": samples}
    if len(model.image_shape) == 3:
        plots.preview(rows, path=path)
        return
    (samples,) = rows.values()
    plots.slide(plots.Plane({"generated points": samples[:, [0, -1]]}, legend=None), path=path)


def _put_in_place(stem, target):
    """Rename a model's files; where one cannot be, what was there comes back."""
    aside = stem.parent / "before"
    aside.mkdir()
    files = [
        (stem.with_suffix(suffix), target.with_suffix(suffix), aside / f"{target.name}{suffix}")
        for suffix in FILES
    ]
    try:
        for _, path, before in files:
            if path.is_file():
                os.replace(path, before)
        for new, path, _ in files:
            os.replace(new, path)
    except BaseException:
        for new, path, before in files:
            if not new.exists():
                path.unlink()
            if before.exists():
                os.replace(before, path)
        raise
