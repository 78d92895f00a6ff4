"""The causal transformer beside Keras's own layers, and place by place."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from kgen.layers import CausalTransformer

PLACES, NUMBERS, WIDTH, OUTPUTS = 5, 3, 8, 4


def transformer(**options):
    """Two blocks, with weights as training might leave them, and sequences."""
    keras.utils.set_random_seed(0)
    layer = CausalTransformer(OUTPUTS, width=WIDTH, blocks=2, heads=2, **options)
    random = np.random.default_rng(0)
    x = random.standard_normal((3, PLACES, NUMBERS)).astype("float32")
    layer.build([x.shape, (3,)] if layer.num_classes else x.shape)
    for v in layer.trainable_variables:
        v.assign(ops.convert_to_numpy(v) + 0.3 * random.standard_normal(v.shape))
    return layer, x


def by_keras(layer, x):
    """The same of `keras.layers.MultiHeadAttention` and other layers of Keras."""
    weights = {v.path.split("/", 1)[-1]: ops.convert_to_numpy(v) for v in layer.variables}

    def dense(name, x):
        return x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]

    def normalized(name, x):
        layer = layers.LayerNormalization()
        layer.build(x.shape)
        layer.set_weights([weights[f"{name}/gamma"], weights[f"{name}/beta"]])
        return ops.convert_to_numpy(layer(x))

    x = dense("first", x) + weights["positions"]
    for i in range(2):
        peer = layers.MultiHeadAttention(num_heads=2, key_dim=WIDTH // 2)
        peer(x, x)
        parts = [np.split(weights[f"query_key_value_{i}/{kind}"], 3, -1) for kind in KINDS]
        asked = [w.reshape(*w.shape[:-1], 2, 4) for pair in zip(*parts, strict=True) for w in pair]
        out = weights[f"seen_{i}/kernel"].reshape(2, 4, WIDTH), weights[f"seen_{i}/bias"]
        peer.set_weights([*asked, *out])
        before = normalized(f"before_{i}", x)
        x = x + ops.convert_to_numpy(peer(before, before, use_causal_mask=True))
        hidden = dense(f"wide_{i}", normalized(f"between_{i}", x))
        x = x + dense(f"narrow_{i}", ops.convert_to_numpy(ops.gelu(hidden)))
    return dense("last", normalized("after", x))


KINDS = "kernel", "bias"


def test_it_is_a_transformer_of_keras_layers():
    layer, x = transformer()
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), by_keras(layer, x), atol=1e-4)


def test_it_begins_at_zero():
    x = np.ones((2, PLACES, NUMBERS), "float32")
    outputs = ops.convert_to_numpy(CausalTransformer(OUTPUTS)(x))
    np.testing.assert_array_equal(outputs, np.zeros((2, PLACES, OUTPUTS)))


def test_no_place_sees_those_after_it():
    layer, x = transformer()
    expected = ops.convert_to_numpy(layer(x))
    for place in range(PLACES):
        other = x.copy()
        other[:, place] += 1
        found = ops.convert_to_numpy(layer(other))
        np.testing.assert_allclose(found[:, :place], expected[:, :place], atol=1e-6)
        assert (np.abs(found - expected)[:, place:].max((0, 2)) > 1e-3).all()


@pytest.mark.parametrize("classes", [None, 4])
def test_place_by_place_it_says_the_same(classes):
    layer, x = transformer(num_classes=classes)
    labels = np.array([0, 3, 1])
    expected = ops.convert_to_numpy(layer([x, labels] if classes else x))
    memory = layer.memory(3)
    for place in range(PLACES):
        here = x[:, place]
        found, memory = layer.step([here, labels] if classes else here, place, memory)
        np.testing.assert_allclose(ops.convert_to_numpy(found), expected[:, place], atol=1e-5)
    if classes:
        other = ops.convert_to_numpy(layer([x, labels[::-1].copy()]))
        assert np.abs(other - expected)[[0, 2]].min((1, 2)).min() > 1e-4


def test_labels_of_one_column():
    layer, x = transformer(num_classes=4)
    labels = np.array([0, 3, 1], "int32")
    found, expected = (ops.convert_to_numpy(layer([x, y])) for y in (labels[:, None], labels))
    np.testing.assert_array_equal(found, expected)


def test_labels_that_are_not_taken_or_missing():
    layer, x = transformer()
    with pytest.raises(ValueError, match="num_classes=None and takes sequences alone"):
        layer([x, np.zeros(3, "int32")])
    layer, x = transformer(num_classes=2)
    with pytest.raises(ValueError, match=r"num_classes=2 and takes \[sequences, labels\]"):
        layer(x)


def test_it_is_saved_with_its_arguments(tmp_path):
    layer, x = transformer(num_classes=3)
    inputs = keras.Input((PLACES, NUMBERS)), keras.Input((), dtype="int32")
    model = keras.Model(inputs, layer([*inputs]))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    labels = np.array([0, 2, 1])
    expected = ops.convert_to_numpy(layer([x, labels]))
    np.testing.assert_allclose(loaded.predict([x, labels], verbose=0), expected, atol=1e-5)
