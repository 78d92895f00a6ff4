"""What a model takes is read off its networks."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import kgen


def test_predict_says_what_call_takes():
    x = np.zeros((6, 8, 8), "uint8")
    for make, more in ((kgen.GAN, ""), (kgen.BiGAN, "encode, reconstruct, ")):
        gan = make((8, 8), 4, network="mlp")
        words = r"GAN.call takes .*: float32 \(N, 4\); got uint8 \(6, 8, 8\). Images are for "
        with pytest.raises(ValueError, match=f"{words}discriminate, {more}scores"):
            gan.predict(x)
        gan.predict(np.zeros((6, 4), "int64"), verbose=0)
    gan, z = kgen.ConditionalGAN((8, 8), 3, 4, network="mlp"), np.zeros((6, 4))
    with pytest.raises(TypeError, match=r"float32 \(N, 4\) and int32 \(N,\); got float64 \(6, 4\)"):
        gan.predict(z)
    for labels in (np.full(6, 3), np.full(6, -1)):
        with pytest.raises(ValueError, match="labels must be integers from 0 to 2"):
            gan.predict([z, labels])
    with pytest.raises(ValueError, match="as many rows"):
        gan.predict([z, np.arange(3)])
    with pytest.raises(ValueError, match=r"^x\[1\] must be .* got float64 \(6,\)"):
        gan.predict([z, np.zeros(6)])
    assert gan.predict((z, np.arange(6) % 3), verbose=0).shape == (6, 8, 8, 1)


def generator():
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(64, "tanh"), layers.Reshape((8, 8, 1))]
    )


def discriminator():
    return keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(1)])


class Still(kgen.GenerativeModel):
    """Players who do not move."""

    def update(self, batch):
        return {"loss": ops.mean(batch)}


def of_players(base=Still, **players):
    return type("Author", (base,), {"players": players})


@pytest.mark.parametrize("image_shape", [None, (8, 8)])
def test_a_generator_may_be_the_first_player(image_shape, tmp_path):
    author = of_players(generator=["generator"], discriminator=["discriminator"])
    model = author(image_shape, generator=generator(), discriminator=discriminator())
    assert model.image_shape == (8, 8, 1) and model.input_signature() == ((4,), "float32")
    model.compile()
    model.fit(np.zeros((8, 8, 8), "uint8"), batch_size=4, verbose=0)
    z = np.ones((3, 4), "float32")
    expected = ops.convert_to_numpy(model.generator(z))
    np.testing.assert_allclose(model.predict(z, verbose=0), expected, rtol=1e-5)


def test_a_network_may_have_two_inputs_or_take_images_of_any_size():
    a, b = keras.Input((8, 8, 1)), keras.Input((3,))
    network = keras.Model([a, b], layers.Dense(2)(layers.Concatenate()([layers.Flatten()(a), b])))
    after = keras.Sequential([keras.Input((2,)), layers.Dense(5)])
    model = of_players(net=["first", "after"])(first=network, after=after)
    assert model.input_signature() == [((8, 8, 1), "float32"), ((3,), "float32")]
    model.compile()
    model.fit(np.zeros((8, 8, 8), "uint8"), batch_size=4, verbose=0)
    images, b = np.full((6, 8, 8, 1), 255, "uint8"), np.zeros((6, 3), "float32")
    found = model.predict([images, b], verbose=0)
    assert found.shape == (6, 5)
    np.testing.assert_allclose(found, model.predict([images // 255 * 1.0, b], verbose=0), atol=1e-6)
    np.testing.assert_allclose(
        found, model.predict([([images, b],)].__iter__(), verbose=0), atol=1e-6
    )

    convolution = keras.Sequential([keras.Input((None, None, 1)), layers.Conv2D(1, 3)])
    with pytest.raises(ValueError, match="needs image_shape="):
        of_players(net=["network"])(network=convolution)
    model = of_players(net=["network"])((8, 8), network=convolution)
    model.compile()
    assert model.predict(np.zeros((2, 8, 8), "uint8"), verbose=0).shape == (2, 6, 6, 1)


def test_networks_that_form_no_chain_need_the_authors_two_methods():
    author = of_players(judges=["one", "two"], generator=["generator"])
    networks = {"one": discriminator(), "two": discriminator(), "generator": generator()}
    with pytest.raises(ValueError, match=r"Write what predict .*\n    def call.*\n    def input_s"):
        author((8, 8), **networks).compile()

    class Written(author):
        def call(self, inputs, training=False):
            return self.generator(inputs, training=training)

        def input_signature(self):
            return (4,), "float32"

    model = Written((8, 8), **networks)
    model.compile()
    model.fit(np.zeros((8, 8, 8), "uint8"), batch_size=4, verbose=0)
    assert model.predict(np.zeros((2, 4), "float32"), verbose=0).shape == (2, 8, 8, 1)
