"""The two Inception networks: Keras's InceptionV3, and the one that the FID was defined with.

The original network (Szegedy et al., 2016; the graph of 2015-12-05 that Salimans et al., 2016, and
Heusel et al., 2017, used) differs from later ones: its average pools leave padding out, the last
block pools by maxima, it has 1,008 classes, and it resizes by itself, as TensorFlow 1 did.
"""

import contextlib
import math
import socket
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
KERAS_MD5 = "9a0d58056eeedaa3f26cb7ebd46da564"
FID_FILE = "pt_inception-2015-12-05-6726825d.pth"
CONVERTED = (
    f"pytorch-fid's {FID_FILE}, which torch turns into an .npz: state = torch.load(PTH, "
    "weights_only=True); numpy.savez(NPZ, **{k: v.numpy() for k, v in state.items()})"
)
PATIENCE_SECONDS = 10  # seconds without an answer from the internet


def inception(weights=None):
    """Build one of the two networks, as its weights demand.

    Args:
        weights: None: Keras's InceptionV3 with its ImageNet weights, downloaded by Keras. A path:
            `.h5` or `.keras`, weights of Keras's InceptionV3, with or without its top; `.npz`,
            weights of the original FID network under the names of pytorch-fid.

    Returns:
        `(name, model, prepare)`: the model takes what `prepare` makes of uint8 `(N, H, W, C)` and
        returns a dictionary of `"features"`, `(N, 2048)`, and, unless the weights have no top,
        `"probabilities"`.

    Raises:
        ConnectionError: if the weights cannot be downloaded.
        FileNotFoundError, ValueError: if the file is missing or holds something else.
    """
    path = _downloaded() if weights is None else Path(weights).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"There is no file of weights {str(path)!r}.")
    if path.suffix in (".h5", ".keras"):
        return KERAS_NAME, _from_file(path), _for_keras
    if path.suffix == ".npz":
        model = fid_network()
        set_weights(model, path)
        return FID_NAME, model, _for_fid
    raise ValueError(
        f"weights={str(path)!r}: expected .h5 or .keras (Keras's InceptionV3), or .npz (the "
        f"original FID network). No file of torch is read, since it can hold more than numbers. "
        f"The original network's weights are {CONVERTED}."
    )


# Keras's network.


def _for_keras(images):
    return to_model_range(resize(with_channels(images, 3), SIZE))


def _downloaded():
    """The file that Keras's application would download, where Keras keeps it."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE_SECONDS)
    try:
        name = KERAS_URL.rpartition("/")[2]
        path = keras.utils.get_file(name, KERAS_URL, cache_subdir="models", file_hash=KERAS_MD5)
    except Exception as error:  # Keras raises nothing narrower
        raise ConnectionError(
            f"The weights of Keras's InceptionV3 could not be downloaded: {error}. Without "
            f"internet, fetch {KERAS_URL} elsewhere and pass "
            f'kgen.metrics.features("inception", weights=PATH); for the original FID network, '
            f"PATH is made from {CONVERTED}."
        ) from error
    finally:
        socket.setdefaulttimeout(before)
    return Path(path)


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


def set_weights(model, path):
    """Give `fid_network()` the weights of an `.npz` of pytorch-fid's state dictionary.

    An array is read once its name, its shape and its dtype are known to be right.

    Args:
        model: `fid_network()`.
        path: file of arrays by names such as `"Mixed_5b.branch1x1.conv.weight"`, in torch's layout.
            Counters of batches and the biases of the logits are not used.

    Raises:
        ValueError: if it is no such file, or names, shapes or dtypes are others, or numbers are not
            finite.
    """
    wanted = list(parameters(model))
    try:
        with zipfile.ZipFile(path) as archive:
            unused = ("fc.bias.npy", ".num_batches_tracked.npy")
            given = {name for name in archive.namelist() if not name.endswith(unused)}
            missing = sorted({f"{name}.npy" for name, *_ in wanted} - given)
            unknown = sorted(given - {f"{name}.npy" for name, *_ in wanted})
            if missing or unknown:
                raise ValueError(
                    f"{len(missing)} of {len(wanted)} arrays are missing {missing[:2]}, "
                    f"{len(unknown)} are unknown {unknown[:2]}"
                )
            for name, variable, axes in wanted:
                shape = tuple(variable.shape[axes.index(i)] for i in range(len(axes)))
                with archive.open(f"{name}.npy") as member:
                    variable.assign(_read_array(member, name, shape).transpose(axes))
    except Exception as error:  # a damaged file raises anything
        raise ValueError(
            f"{str(path)!r} does not hold the original FID network under pytorch-fid's names: "
            f"{str(error).rstrip('.')}. Expected {CONVERTED}."
        ) from error


def parameters(model):
    """What `fid_network()` learned: names in torch, variables, and the axes that lead to these."""
    for layer in model.layers:
        names = ("weight",) if layer.name.endswith("conv") or layer.name == "fc" else ()
        if isinstance(layer, layers.BatchNormalization):
            names = ("weight", "bias", "running_mean", "running_var")
        for name, variable in zip(names, layer.weights, strict=True):
            axes = {4: (2, 3, 1, 0), 2: (1, 0)}.get(len(variable.shape), (0,))
            yield f"{layer.name.replace('-', '.')}.{name}", variable, axes


def _read_array(member, name, shape):
    """The array of a member, float32, if its header says what it must."""
    version = np.lib.format.read_magic(member)
    if version != (1, 0):
        raise ValueError(f"{name} is of version {version} of the format; expected (1, 0)")
    found, fortran, dtype = np.lib.format.read_array_header_1_0(member)
    if found != shape or dtype.kind != "f":
        raise ValueError(f"{name} must be floats of shape {shape}; got {dtype} {found}")
    numbers = np.frombuffer(member.read(dtype.itemsize * math.prod(shape)), dtype)
    with np.errstate(over="ignore"):  # to infinity, which is refused
        array = numbers.reshape(shape, order="F" if fortran else "C").astype("float32")
    if bad := np.count_nonzero(~np.isfinite(array)):
        raise ValueError(f"{name} must be finite; {bad} of {array.size} values are not")
    return array
