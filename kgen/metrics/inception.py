"""The two Inception networks: Keras's InceptionV3, and the one that the FID was defined with.

The original network (Szegedy et al., 2016; the graph of 2015-12-05 that Salimans et al., 2016, and
Heusel et al., 2017, used) differs from later ones: its average pools leave padding out, the last
block pools by maxima, it has 1,008 classes, and it resizes by itself, as TensorFlow 1 did.
"""

import collections
import contextlib
import functools
import pickle
import warnings
import zipfile
from pathlib import Path

import keras
import numpy as np
from keras import layers

from kgen.data.pixels import resize, with_channels
from kgen.data.ranges import to_model_range

SIZE, LAST = (299, 299), "channels_last"
KERAS_NAME = "Keras InceptionV3 (not the original FID network)"
FID_NAME = "FID InceptionV3 (2015-12-05)"
KERAS_URL = (
    "https://storage.googleapis.com/tensorflow/keras-applications/inception_v3/"
    "inception_v3_weights_tf_dim_ordering_tf_kernels.h5"
)
FID_FILE = "pt_inception-2015-12-05-6726825d.pth"


def inception(weights=None):
    """Build one of the two networks, as its weights demand.

    Args:
        weights: None: Keras's InceptionV3 with its ImageNet weights, downloaded by Keras. A path:
            `.h5` or `.keras`, weights of Keras's InceptionV3, with or without its top; `.pth` or
            `.npz`, weights of the original FID network under the names of pytorch-fid.

    Returns:
        `(name, model, prepare)`: the model takes what `prepare` makes of uint8 `(N, H, W, C)` and
        returns a dictionary of `"features"`, `(N, 2048)`, and, unless the weights have no top,
        `"probabilities"`.

    Raises:
        ConnectionError: if the weights cannot be downloaded.
        FileNotFoundError, ValueError: if the file is missing or holds something else.
    """
    if weights is None:
        return KERAS_NAME, _downloaded(), _for_keras
    path = Path(weights).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"There is no file of weights {str(path)!r}.")
    if path.suffix in (".h5", ".keras"):
        return KERAS_NAME, _from_file(path), _for_keras
    if path.suffix in (".pth", ".npz"):
        model = fid_network()
        set_weights(model, read_state(path), str(path))
        return FID_NAME, model, _for_fid
    raise ValueError(
        f"weights={str(path)!r}: expected .h5 or .keras (Keras's InceptionV3), or .pth or .npz "
        f"(the original FID network under pytorch-fid's names, such as {FID_FILE}). A TorchScript "
        "archive (.pt) names its parameters in another way and cannot be read."
    )


# Keras's network.


def _for_keras(images):
    return to_model_range(resize(with_channels(images, 3), SIZE))


def _downloaded():
    try:
        with _float32():
            network = keras.applications.InceptionV3(weights="imagenet")
    except Exception as error:  # Keras raises nothing narrower
        raise ConnectionError(
            f"The weights of Keras's InceptionV3 could not be downloaded: {error}. Without "
            f"internet, fetch {KERAS_URL} elsewhere and pass "
            'kgen.metrics.features("inception", weights=PATH); for the original FID network, '
            f"PATH is pytorch-fid's {FID_FILE}."
        ) from error
    return _with_outputs(network)


def _from_file(path):
    failures = []
    for top in (True, False):
        with _float32():
            network = keras.applications.InceptionV3(
                include_top=top, weights=None, input_shape=(*SIZE, 3), pooling="avg"
            )
        try:
            with warnings.catch_warnings(action="ignore"):  # of what is missing, before it raises
                network.load_weights(path)
        except Exception as error:  # h5py and Keras raise many
            failures.append(str(error).strip().splitlines()[0])
        else:
            return _with_outputs(network)
    raise ValueError(
        f"{str(path)!r} does not hold the weights of Keras's InceptionV3: with its top, "
        f"{failures[0]} Without, {failures[1]}"
    )


def _with_outputs(network):
    if network.output.shape[-1] == 2048:
        return keras.Model(network.input, {"features": network.output})
    features = network.get_layer("avg_pool").output
    return keras.Model(network.input, {"features": features, "probabilities": network.output})


@contextlib.contextmanager
def _float32():
    """Context in which Keras's application is float32 and channels last, whatever is set."""
    policy, data_format = keras.config.dtype_policy(), keras.config.image_data_format()
    keras.config.set_dtype_policy("float32")
    keras.config.set_image_data_format(LAST)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
        keras.config.set_image_data_format(data_format)


# The original network.


def _for_fid(images):
    return (resize_as_tensorflow_1(with_channels(images, 3), SIZE) - 128) / np.float32(128)


def resize_as_tensorflow_1(images, size):
    """Bilinear as TensorFlow 1's `resize_bilinear`: pixel i of the result is at i * scale.

    It is neither centred nor antialiased: published FIDs stand on it, flaws included.

    Args:
        images: `(N, H, W, C)`.
        size: `(height, width)`.

    Returns:
        float32 `(N, *size, C)`.
    """
    images = images.astype("float32")
    for axis in (2, 1):
        before, after = images.shape[axis], size[axis - 1]
        at = np.arange(after, dtype="float32") * np.float32(before / after)
        low = np.minimum(at.astype("int64"), before - 1)
        weight = (at - low).reshape([-1 if i == axis else 1 for i in range(4)])
        low, high = (images.take(np.minimum(i, before - 1), axis) for i in (low, low + 1))
        images = low + (high - low) * weight
    return images


def fid_network():
    """The original network, before `set_weights`: float32 `(N, 299, 299, 3)` in [-1, 1] to outputs.

    Layers are named as in pytorch-fid's state dictionary, with `-` in place of `.`.

    Returns:
        `keras.Model` to a dictionary: `"features"`, `(N, 2048)`, and `"probabilities"`,
        `(N, 1008)`, from logits without their biases, as the Inception score was defined.
    """
    inputs = keras.Input((*SIZE, 3), dtype="float32")
    x = _convolution(inputs, "Conv2d_1a_3x3", 32, 3, 2, "valid")
    x = _convolution(x, "Conv2d_2a_3x3", 32, 3, 1, "valid")
    x = _pool_by_two(_convolution(x, "Conv2d_2b_3x3", 64, 3))
    x = _convolution(x, "Conv2d_3b_1x1", 80, 1)
    x = _pool_by_two(_convolution(x, "Conv2d_4a_3x3", 192, 3, 1, "valid"))
    for name, pooled in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
        x = _block_a(x, name, pooled)
    x = _block_b(x, "Mixed_6a")
    for name, width in (("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)):
        x = _block_c(x, name, width)
    x = _block_d(x, "Mixed_7a")
    x = _block_e(x, "Mixed_7b", layers.AveragePooling2D)
    x = _block_e(x, "Mixed_7c", layers.MaxPooling2D)
    features = layers.GlobalAveragePooling2D(dtype="float32", data_format=LAST)(x)
    logits = layers.Dense(1008, None, False, "zeros", dtype="float32", name="fc")(features)
    probabilities = layers.Softmax(dtype="float32")(logits)
    return keras.Model(inputs, {"features": features, "probabilities": probabilities})


def _chain(x, block, *convolutions):
    """Convolutions, each `(name, filters, kernel, strides=1, padding="same")`, in a row."""
    for name, *settings in convolutions:
        x = _convolution(x, f"{block}-{name}", *settings)
    return x


def _convolution(x, name, filters, kernel, strides=1, padding="same"):
    x = layers.Conv2D(
        filters,
        kernel,
        strides,
        padding,
        data_format=LAST,
        use_bias=False,
        kernel_initializer="zeros",
        dtype="float32",
        name=f"{name}-conv",
    )(x)
    x = layers.BatchNormalization(-1, epsilon=1e-3, dtype="float32", name=f"{name}-bn")(x)
    return layers.ReLU(dtype="float32")(x)


def _pool_by_two(x):
    return layers.MaxPooling2D(3, 2, data_format=LAST, dtype="float32")(x)


def _pool(x, pooling=layers.AveragePooling2D):
    """3x3 at stride 1; Keras's average leaves padding out on every backend."""
    return pooling(3, 1, "same", data_format=LAST, dtype="float32")(x)


def _join(*branches):
    return layers.Concatenate(-1, dtype="float32")(branches)


def _block_a(x, name, pooled):
    double = (("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3))
    return _join(
        _chain(x, name, ("branch1x1", 64, 1)),
        _chain(x, name, ("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)),
        _chain(x, name, *double),
        _chain(_pool(x), name, ("branch_pool", pooled, 1)),
    )


def _block_b(x, name):
    double = (("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3))
    return _join(
        _chain(x, name, ("branch3x3", 384, 3, 2, "valid")),
        _chain(x, name, *double, ("branch3x3dbl_3", 96, 3, 2, "valid")),
        _pool_by_two(x),
    )


def _block_c(x, name, width):
    row, column = (1, 7), (7, 1)
    single = ((1, width, 1), (2, width, row), (3, 192, column))
    double = ((1, width, 1), (2, width, column), (3, width, row), (4, width, column), (5, 192, row))
    return _join(
        _chain(x, name, ("branch1x1", 192, 1)),
        _chain(x, name, *((f"branch7x7_{i}", f, k) for i, f, k in single)),
        _chain(x, name, *((f"branch7x7dbl_{i}", f, k) for i, f, k in double)),
        _chain(_pool(x), name, ("branch_pool", 192, 1)),
    )


def _block_d(x, name):
    long = (
        ("branch7x7x3_1", 192, 1),
        ("branch7x7x3_2", 192, (1, 7)),
        ("branch7x7x3_3", 192, (7, 1)),
        ("branch7x7x3_4", 192, 3, 2, "valid"),
    )
    return _join(
        _chain(x, name, ("branch3x3_1", 192, 1), ("branch3x3_2", 320, 3, 2, "valid")),
        _chain(x, name, *long),
        _pool_by_two(x),
    )


def _block_e(x, name, pooling):
    def both(x, a, b):
        return _chain(x, name, (a, 384, (1, 3))), _chain(x, name, (b, 384, (3, 1)))

    single = _chain(x, name, ("branch3x3_1", 384, 1))
    double = _chain(x, name, ("branch3x3dbl_1", 448, 1), ("branch3x3dbl_2", 384, 3))
    return _join(
        _chain(x, name, ("branch1x1", 320, 1)),
        *both(single, "branch3x3_2a", "branch3x3_2b"),
        *both(double, "branch3x3dbl_3a", "branch3x3dbl_3b"),
        _chain(_pool(x, pooling), name, ("branch_pool", 192, 1)),
    )


def set_weights(model, state, source):
    """Give `fid_network()` the weights of a state dictionary of pytorch-fid's.

    Args:
        model: `fid_network()`.
        state: dictionary from names such as `"Mixed_5b.branch1x1.conv.weight"` to arrays in
            torch's layout. Counters of batches and the biases of the logits are not used.
        source: what messages call it.

    Raises:
        ValueError: if names or shapes are others.
    """
    wanted = {}
    for layer in model.layers:
        names = {"conv": ("weight",), "fc": ("weight",)}.get(layer.name.split("-")[-1])
        if isinstance(layer, layers.BatchNormalization):
            names = ("weight", "bias", "running_mean", "running_var")
        for name, variable in zip(names or (), layer.weights, strict=True):
            wanted[f"{layer.name.replace('-', '.')}.{name}"] = variable
    given = {k for k in state if k != "fc.bias" and not k.endswith(".num_batches_tracked")}
    if given != set(wanted):
        missing, unknown = sorted(set(wanted) - given), sorted(given - set(wanted))
        raise ValueError(
            f"{source} does not hold the original FID network under pytorch-fid's names: "
            f"{len(missing)} of {len(wanted)} arrays are missing {missing[:2]}, {len(unknown)} are "
            f"unknown {unknown[:2]}. Expected {FID_FILE}, or its arrays as .npz."
        )
    for name, variable in wanted.items():
        array = np.asarray(state[name])
        array = array.transpose({4: (2, 3, 1, 0), 2: (1, 0)}.get(array.ndim, range(array.ndim)))
        if array.shape != tuple(variable.shape) or not np.isfinite(array).all():
            raise ValueError(
                f"{source}: {name} must be finite, of shape {tuple(variable.shape)} with the "
                f"output channels last; got {array.shape}."
            )
        variable.assign(array.astype("float32"))


DTYPES = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "LongStorage": "<i8"}
MAGIC = 0x1950A86A20F9469CFC6C


def read_state(path):
    """Arrays by name, of an `.npz` or of what `torch.save` wrote; torch is not needed.

    Both of torch's formats are read: the archive, and the stream of pickles from before torch 1.6.
    Nothing in a file is run: of what pickles ask for, tensors are made, and nothing else.

    Raises:
        ValueError: if it is neither, damaged, or holds anything else.
    """
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                return dict(file)
        state = _read_archive(path) if zipfile.is_zipfile(path) else _read_stream(path)
        if not all(isinstance(k, str) and isinstance(v, np.ndarray) for k, v in state.items()):
            raise ValueError("it holds more than tensors by name")
    except Exception as error:  # a damaged pickle raises anything
        reason = str(error).rstrip(".")
        raise ValueError(f"{str(path)!r} holds no arrays by name: {reason}.") from error
    return state


def _read_archive(path):
    with zipfile.ZipFile(path) as archive:
        (pickled,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        folder = pickled.removesuffix("data.pkl")

        def storage(dtype, key, count):
            return np.frombuffer(archive.read(f"{folder}data/{key}"), dtype, count)

        with archive.open(pickled) as file:
            return _Unpickler(file, storage).load()


def _read_stream(path):
    storages = {}

    def storage(dtype, key, count):
        return storages.setdefault(key, np.zeros(count, dtype))  # filled in below

    with open(path, "rb") as file:
        load = functools.partial(_load, file, storage)
        if load() != MAGIC:
            raise ValueError("it does not begin as one")
        load(), load()  # version, and the machine's types
        state = load()
        for key in load():
            count = int.from_bytes(file.read(8), "little")
            array = storages[key]
            array[:] = np.frombuffer(file.read(count * array.itemsize), array.dtype)
    return state


def _load(file, storage):
    return _Unpickler(file, storage).load()


class _Unpickler(pickle.Unpickler):
    """Makes arrays of tensors, and nothing else."""

    def __init__(self, file, storage):
        super().__init__(file)
        self._storage = storage

    def find_class(self, module, name):
        known = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
        }
        known |= {("torch", storage): dtype for storage, dtype in DTYPES.items()}
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not read")
        return known[module, name]

    def persistent_load(self, reference):
        _, dtype, key, _, count, *_ = reference
        return self._storage(dtype, key, count)


def _tensor(storage, offset, shape, strides, *_):
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if min((offset, *shape, *strides)) < 0 or (0 not in shape and last >= storage.size):
        raise ValueError("a tensor reaches beyond its numbers")
    steps = [step * storage.itemsize for step in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps, writeable=False)
