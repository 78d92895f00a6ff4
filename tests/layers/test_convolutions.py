import keras
import numpy as np
import pytest
from keras import ops

import kgen
from kgen.layers import convolutions

BACKEND = keras.config.backend()
PACKAGES = (kgen.layers, keras.layers)

every_kind = pytest.mark.parametrize("kind", ["Conv2D", "Conv2DTranspose"])


@pytest.fixture(autouse=True)
def written_out_on_tensorflow(monkeypatch):
    """There XLA has to compile what is written out; these tests are of values."""
    monkeypatch.setattr(convolutions, "_is_traced_for_xla", lambda: True)


def gradients(layer, x, weight):
    """Output of a layer, and gradients of `sum(weight * output)` by input and weights."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        x = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            loss = tf.reduce_sum(tf.cast(y, "float32") * weight)
        found = tape.gradient(loss, [x, *[v.value for v in layer.trainable_variables]])
    elif BACKEND == "jax":
        import jax

        def loss(x, values):
            y, _ = layer.stateless_call(values, [], x)
            return ops.sum(ops.cast(y, "float32") * weight), y

        values = [v.value for v in layer.trainable_variables]
        of_input, of_weights = jax.grad(loss, (0, 1), has_aux=True)(x, values)[0]
        y, found = layer(x), [of_input, *of_weights]
    else:
        import torch

        x = torch.from_numpy(x).requires_grad_(True)
        y = layer(x)
        loss = (y.float() * torch.from_numpy(weight)).sum()
        found = torch.autograd.grad(loss, [x, *[v.value for v in layer.trainable_variables]])
    return [ops.convert_to_numpy(ops.cast(t, "float32")) for t in (y, *found)]


def both(kind, x, *arguments, **settings):
    """Results of kgen's layer and of Keras's with the same weights."""
    random = np.random.default_rng(1)
    layers = [getattr(package, kind)(*arguments, **settings) for package in PACKAGES]
    for layer in layers:
        layer.build(x.shape)
    values = [random.normal(size=w.shape).astype("float32") for w in layers[0].weights]
    for layer in layers:
        layer.set_weights(values)
    weight = random.normal(size=layers[0].compute_output_shape(x.shape)).astype("float32")
    return [gradients(layer, x, weight) for layer in layers]


def images(height, width, channels):
    random = np.random.default_rng(0)
    return random.normal(size=(3, height, width, channels)).astype("float32")


@every_kind
@pytest.mark.parametrize(
    "devices, backends",
    [
        (["cpu:0"], ("tensorflow", "jax")),
        (["gpu:0", "gpu:1"], ("jax",)),
        (["tpu:0"], ()),
    ],
)
def test_what_is_slow_on_a_device_is_written_out(kind, devices, backends, monkeypatch):
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: devices)
    layer = getattr(kgen.layers, kind)(4, 4, 2, "same")
    x = images(8, 8, 3)
    assert convolutions._is_written_out(layer, x) == (BACKEND in backends)
    plain = getattr(kgen.layers, kind)(4, 4, 1, "same")
    assert not convolutions._is_written_out(plain, x)


@pytest.mark.parametrize("xla", [True, False])
@every_kind
def test_on_tensorflow_xla_decides(kind, xla, monkeypatch):
    monkeypatch.undo()
    asked, decide = [], convolutions._is_written_out
    monkeypatch.setattr(
        convolutions, "_is_written_out", lambda *given: asked.append(decide(*given)) or asked[-1]
    )
    inputs = keras.Input((4, 4, 1))
    model = keras.Model(inputs, getattr(kgen.layers, kind)(2, 4, 2, "same")(inputs))
    model.compile("sgd", "mse", jit_compile=xla and BACKEND != "torch")  # torch.compile is slow
    asked.clear()
    size = model.output_shape[1]
    model.fit(images(4, 4, 1), np.zeros((3, size, size, 2), "float32"), verbose=0)
    assert set(asked) == {{"tensorflow": xla, "jax": True, "torch": False}[BACKEND]}


@pytest.mark.parametrize(
    ("kernel", "strides", "size"),
    [
        *[(4, 2, size) for size in ((6, 6), (5, 5), (1, 1))],
        *[(kernel, 2, (7, 4)) for kernel in (2, 3, 5)],
        ((4, 3), (2, 1), (7, 4)),
        (3, 1, (7, 4)),
    ],
)
@every_kind
def test_outputs_and_gradients_are_those_of_keras(kind, kernel, strides, size):
    own, its = both(kind, images(*size, 3), 5, kernel, strides, "same")
    for a, b in zip(own, its, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5 * max(1, np.abs(b).max()))


@pytest.mark.parametrize(
    "settings",
    [
        {"padding": "valid"},
        {"padding": "same", "activation": "tanh"},
        {"padding": "same", "use_bias": False},
        {"padding": "same", "output_padding": 1},
        {"padding": "same", "groups": 2},
    ],
    ids=str,
)
@every_kind
def test_every_setting_is_that_of_keras(kind, settings):
    if {"output_padding": "Conv2D", "groups": "Conv2DTranspose"}.get([*settings][-1]) == kind:
        with pytest.raises(ValueError, match="Unrecognized keyword"):
            both(kind, images(5, 6, 4), 4, 4, 2, **settings)
        return
    own, its = both(kind, images(5, 6, 4), 4, 4, 2, **settings)
    for a, b in zip(own, its, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5 * max(1, np.abs(b).max()))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@every_kind
def test_mixed_precision(kind, policy):
    own, its = both(kind, images(7, 6, 3), 5, 4, 2, "same", dtype=policy)
    layer = getattr(kgen.layers, kind)(5, 4, 2, "same", dtype=policy)
    assert policy.endswith(keras.backend.standardize_dtype(layer(images(4, 4, 3)).dtype))
    for a, b in zip(own, its, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-2 * np.abs(b).max())


@every_kind
def test_in_a_file_and_in_place_of_keras(kind, tmp_path):
    def network(package):
        layer = getattr(package, kind)
        inputs = keras.Input((5, 7, 2))
        return keras.Model(inputs, layer(3, 4, 2, "same", activation="relu", name="up")(inputs))

    ours, theirs = map(network, PACKAGES)
    theirs.save_weights(tmp_path / "a.weights.h5")
    ours.load_weights(tmp_path / "a.weights.h5")  # files of networks with Keras's layer
    ours.save(tmp_path / "a.keras")
    loaded = keras.saving.load_model(tmp_path / "a.keras")
    assert type(loaded.get_layer("up")) is getattr(kgen.layers, kind)
    assert loaded.output_shape == theirs.output_shape
    x = images(5, 7, 2)
    expected = theirs.predict(x, verbose=0)
    np.testing.assert_allclose(loaded.predict(x, verbose=0), expected, atol=1e-5)


@every_kind
def test_sides_may_be_unknown(kind):
    inputs = keras.Input((None, None, 2))
    model = keras.Model(inputs, getattr(kgen.layers, kind)(3, 4, 2, "same")(inputs))
    for size in (4, 7):
        side = 2 * size if kind == "Conv2DTranspose" else (size + 1) // 2
        assert model(images(size, size, 2)).shape == (3, side, side, 3)


def derivatives(fn, values):
    """Derivatives of a scalar function of a list of tensors, which can be differentiated again."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(values)
            result = fn(values)
        return tape.gradient(result, values)
    if BACKEND == "jax":
        import jax

        return jax.grad(fn)(values)
    import torch

    values = [v if v.requires_grad else v.detach().requires_grad_(True) for v in values]
    return torch.autograd.grad(fn(values), values, create_graph=True)


@every_kind
def test_the_gradients_can_be_differentiated(kind):
    layers = [getattr(package, kind)(4, 4, 2, "same") for package in PACKAGES]
    x, results = ops.convert_to_tensor(images(5, 6, 3)), []
    for layer in layers:
        layer.build(x.shape)
        layer.set_weights(layers[0].get_weights())

        weights = [ops.reshape(w, w.shape) for w in layer.weights]

        def score(x, values, layer=layer):
            return ops.sum(ops.tanh(layer.stateless_call(values, [], x)[0]))

        def penalty(values):
            (of_input,) = derivatives(lambda given: score(given[0], values), [x])
            return ops.sum(ops.square(of_input))

        def of_weights(given, weights=weights):
            of_kernel, _ = derivatives(lambda values: score(given[0], values), weights)
            return ops.sum(ops.square(of_kernel))

        found = [*derivatives(penalty, weights), *derivatives(of_weights, [x])]
        results.append([ops.convert_to_numpy(t) for t in found])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4 * np.abs(b).max())
