"""The VAE against closed forms: linear Gaussian models, whose likelihood is known."""

import re
import warnings

import keras
import numpy as np
import pytest
from keras import layers, ops
from scipy import stats

import kgen

GRAY = (8, 8, 1)


def constant(values):
    return keras.initializers.Constant(np.asarray(values, "float32"))


def linear_gaussian(d=4, reconstruction="mse", factor=1.0, seed=0):
    """`x = W z + b + noise` with orthogonal columns, so that the true posterior is diagonal.

    The encoder returns that posterior, its log-variance times `factor`.
    """
    random = np.random.default_rng(seed)
    variance = 0.5 if reconstruction == "mse" else 1.0  # sigma is 1 before training
    w = np.linalg.qr(random.normal(size=(d, 2)))[0] * [1.5, 0.7]
    b = random.normal(size=d)
    precision = 1 + (w**2).sum(0) / variance
    to_mean = w / variance / precision
    inputs = keras.Input((d,))
    biases = -b @ to_mean, -factor * np.log(precision)
    mean, log_variance = (
        layers.Dense(2, kernel_initializer=constant(kernel), bias_initializer=constant(bias))(
            inputs
        )
        for kernel, bias in zip((to_mean, 0 * to_mean), biases, strict=True)
    )
    encoder = keras.Model(inputs, [mean, log_variance])
    decoder = keras.Sequential(
        [
            keras.Input((2,)),
            layers.Dense(d, kernel_initializer=constant(w.T), bias_initializer=constant(b)),
        ]
    )
    vae = kgen.VAE((d,), 2, reconstruction=reconstruction, encoder=encoder, decoder=decoder)
    truth = stats.multivariate_normal(b, w @ w.T + variance * np.eye(d))
    return vae, truth


@pytest.mark.parametrize("reconstruction", ["mse", "gaussian"])
def test_log_likelihood_is_exact_where_the_posterior_is(reconstruction):
    """With the true posterior every importance weight is p(x): one sample is enough."""
    vae, truth = linear_gaussian(reconstruction=reconstruction)
    x = truth.rvs(50, random_state=1).astype("float32")
    expected = truth.logpdf(x)
    np.testing.assert_allclose(vae.log_likelihood(x, samples=1), expected, atol=1e-4)
    np.testing.assert_allclose(vae.log_likelihood(x, samples=7, seed=3), expected, atol=1e-4)
    bound = vae.elbo(x, samples=4000)
    np.testing.assert_allclose(bound, expected, atol=0.12)
    assert abs((bound - expected).mean()) < 0.01


def test_log_likelihood_rises_from_the_bound_to_the_truth():
    vae, truth = linear_gaussian(factor=0.3)  # a posterior too wide
    x = truth.rvs(300, random_state=1).astype("float32")
    estimates = [vae.elbo(x, samples=500).mean()]
    estimates += [vae.log_likelihood(x, samples=k).mean() for k in (10, 1000)]
    expected = truth.logpdf(x).mean()
    assert estimates[0] < estimates[1] - 0.05 < estimates[2] < expected + 0.02
    assert estimates[2] == pytest.approx(expected, abs=0.02)


def test_no_batch_size_changes_a_likelihood():
    vae, truth = linear_gaussian(factor=0.5)
    x = truth.rvs(30, random_state=1).astype("float32")
    whole = vae.log_likelihood(x, samples=50)
    for batch_size in (1, 7, 64, 100_000):
        part = vae.log_likelihood(x, samples=50, batch_size=batch_size)
        np.testing.assert_allclose(part, whole, atol=1e-5)
    np.testing.assert_allclose(vae.log_likelihood(x[:9], samples=50), whole[:9], atol=1e-5)
    assert np.abs(vae.log_likelihood(x, samples=50, seed=1) - whole).max() > 1e-4


def blind(sigma=None, shape=GRAY, level=0.1, **arguments):
    """A model that knows nothing: every pixel is N(level, sigma^2), the posterior the prior."""
    vae = kgen.VAE(shape, reconstruction="gaussian", network="dense", **arguments)
    for weight in vae.encoder.weights + vae.decoder.weights:
        weight.assign(np.zeros(weight.shape))
    vae.decoder.weights[-1].assign(np.full(vae.decoder.weights[-1].shape, np.arctanh(level)))
    vae.likelihood.log_sigma.assign(np.log(sigma))
    return vae


def test_bits_per_dim_is_the_code_length_of_gray_levels():
    """The probability of a level is the mass of its bin, 2/255 wide around it."""
    vae = blind(sigma=0.4)
    x = np.random.default_rng(0).integers(0, 256, (400, *GRAY), "uint8")
    center = x.astype("float64") / 127.5 - 1
    edges = [stats.norm.cdf(center + side / 255, 0.1, 0.4) for side in (1, -1)]
    expected = -np.log2(edges[0] - edges[1]).mean(axis=(1, 2, 3))
    bits = vae.bits_per_dim(x, samples=2)
    assert bits.shape == (400,)
    assert bits.mean() == pytest.approx(expected.mean(), abs=2e-3)
    floats = kgen.data.to_model_range(x)
    np.testing.assert_allclose(vae.bits_per_dim(floats, samples=2), bits, atol=1e-5)


def test_bits_per_dim_of_a_wide_gaussian_is_eight_bits_and_its_width():
    """Nearly flat on [-1, 1], the density is 1/(sigma sqrt(2 pi)): a level costs its -log2."""
    vae = blind(sigma=50.0, level=0.0)
    x = np.random.default_rng(0).integers(0, 256, (20, *GRAY), "uint8")
    expected = np.log2(127.5 * 50 * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(vae.bits_per_dim(x, samples=1), expected, atol=1e-3)


def test_bits_per_dim_says_for_what_it_is():
    x = np.zeros((2, 8, 8), "uint8")
    with pytest.raises(ValueError, match="probabilities"):
        kgen.VAE(GRAY, reconstruction="bernoulli").bits_per_dim(x)
    with pytest.raises(ValueError, match="grey levels"):
        kgen.VAE((2,)).bits_per_dim(np.zeros((2, 2), "float32"))
    with pytest.raises(ValueError, match="between levels"):
        kgen.VAE(GRAY).bits_per_dim(np.linspace(-1, 1, 64, dtype="float32").reshape(1, 8, 8))
    for samples in (0, 1.5, -3):
        with pytest.raises(ValueError, match="samples must be a positive integer"):
            kgen.VAE(GRAY).log_likelihood(x, samples=samples)


def test_encode_decode_reconstruct_predict_agree():
    vae = kgen.VAE(GRAY, latent_dim=3)
    x = np.random.default_rng(0).integers(0, 256, (10, *GRAY), "uint8")
    z = vae.encode(x)
    mean, log_variance = vae.posterior(x)
    assert z.shape == log_variance.shape == (10, 3) and z.dtype == "float32"
    np.testing.assert_array_equal(z, mean)
    images = vae.reconstruct(x)
    assert images.shape == (10, *GRAY) and images.dtype == "float32"
    np.testing.assert_allclose(images, vae.decode(z), atol=1e-6)
    np.testing.assert_allclose(images, vae.predict(x, verbose=0), atol=1e-5)
    np.testing.assert_allclose(vae.encode(kgen.data.to_model_range(x)), z, atol=1e-6)
    np.testing.assert_allclose(vae.encode(x[..., 0]), z, atol=1e-6)
    with pytest.raises(ValueError, match=r"latents must have shape \(N, 3\); got \(4, 2\)"):
        vae.decode(np.zeros((4, 2)))


def test_interpolations_are_lines_in_latent_space():
    vae = kgen.VAE(GRAY, latent_dim=3)
    a, b = np.random.default_rng(0).integers(0, 256, (2, 4, *GRAY), "uint8")
    strips = vae.interpolate(a, b, steps=5)
    assert strips.shape == (4, 5, *GRAY)
    np.testing.assert_allclose(strips[:, 0], vae.reconstruct(a), atol=1e-5)
    np.testing.assert_allclose(strips[:, -1], vae.reconstruct(b), atol=1e-5)
    middle = vae.decode(0.75 * vae.encode(a) + 0.25 * vae.encode(b))
    np.testing.assert_allclose(strips[:, 1], middle, atol=1e-5)
    with pytest.raises(ValueError, match="at least 2"):
        vae.interpolate(a, b, steps=1)
    with pytest.raises(ValueError, match="pair up"):
        vae.interpolate(a, b[:2])
    for wrong, words in ((a[:, :5], "has shape"), (a / 1.0, "has floats"), (a[:0], "is empty")):
        with pytest.raises(ValueError, match=f"^a {words}"):
            vae.interpolate(wrong, b)
        with pytest.raises(ValueError, match=f"^b {words}"):
            vae.interpolate(a, wrong)
    with pytest.warns(UserWarning, match="^b has floats .*divided by 255"):
        vae.interpolate(a, b / 255)


def test_generate_decodes_the_prior():
    vae = kgen.VAE((28, 20, 3), latent_dim=5)
    images = vae.generate(3, seed=4)
    z = np.random.default_rng(4).standard_normal((3, 5), dtype="float32")
    np.testing.assert_allclose(images, vae.decode(z), atol=1e-6)
    with pytest.raises(ValueError, match="no labels"):
        vae.generate(3, labels=[1, 2, 3])


@pytest.mark.parametrize("shape", [(8, 8), (45, 37, 3), (9, 64, 4)], ids=str)
@pytest.mark.parametrize("network", ["dense", "convolutional"])
def test_any_shape_trains(shape, network):
    vae = kgen.VAE(shape, latent_dim=4, network=network)
    vae.compile()
    x = np.random.default_rng(0).integers(0, 256, (8, *shape), "uint8")
    history = vae.fit(x, batch_size=4, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert vae.reconstruct(x).shape == (8, *vae.image_shape)


def test_a_wide_log_variance_stays_finite():
    vae = blind(sigma=1.0)
    vae.compile()
    x = np.zeros((2, *GRAY), "uint8")
    for bias, kept in ((500.0, 20.0), (-500.0, -30.0)):
        vae.encoder.get_layer("log_variance").bias.assign([bias, bias])
        _, log_variance = vae.posterior(x)
        np.testing.assert_array_equal(log_variance, np.full((2, 2), kept))
        assert np.isfinite(vae.evaluate(x, verbose=0)["loss"])
        assert np.isfinite(vae.elbo(x)).all()


def heads(*widths, shape=GRAY):
    x = inputs = keras.Input(shape)
    x = layers.Flatten()(x)
    outputs = [layers.Dense(width)(x) for width in widths]
    return keras.Model(inputs, outputs if len(outputs) > 1 else outputs[0])


def decoder(width=2, shape=GRAY, activation="tanh"):
    last = layers.Dense(int(np.prod(shape)), activation)
    return keras.Sequential([keras.Input((width,)), last, layers.Reshape(shape)])


def test_one_head_of_twice_the_width_is_mean_and_log_variance():
    two, one, shared = heads(2, 2), heads(4), decoder()
    kernels = [ops.convert_to_numpy(w) for w in two.weights]
    one.layers[-1].set_weights(
        [np.concatenate(kernels[0::2], axis=1), np.concatenate(kernels[1::2])]
    )
    x = np.random.default_rng(0).integers(0, 256, (6, *GRAY), "uint8")
    first, second = (kgen.VAE(GRAY, encoder=e, decoder=shared).posterior(x) for e in (two, one))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@keras.saving.register_keras_serializable("kgen_tests")
class Subclassed(keras.Model):
    """An encoder without symbolic inputs."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.flatten, self.head = layers.Flatten(), layers.Dense(4)

    def build(self, input_shape):
        self.head.build((None, int(np.prod(input_shape[1:]))))

    def call(self, x):
        return self.head(self.flatten(x))


def test_a_subclassed_encoder(tmp_path):
    vae = kgen.VAE(GRAY, encoder=Subclassed())
    vae.compile()
    x = np.random.default_rng(0).integers(0, 256, (32, *GRAY), "uint8")
    vae.fit(x, batch_size=16, verbose=0)
    vae.save(tmp_path / "vae.keras")
    loaded = keras.saving.load_model(tmp_path / "vae.keras")
    np.testing.assert_allclose(loaded.encode(x), vae.encode(x), atol=1e-6)


@pytest.mark.parametrize(
    "networks, words",
    [
        ({"encoder": heads(2)}, r"mean and log-variance.*\(N, 2\).*\(N, 4\).*\[\(None, 2\)\]"),
        ({"encoder": heads(3, 3)}, "mean and log-variance"),
        ({"encoder": heads(2, 2, 2)}, "mean and log-variance"),
        ({"encoder": heads(2, 2, shape=(9, 8, 1))}, r"encoder does not take.*\(N, 8, 8, 1\)"),
        ({"decoder": decoder(3)}, "latent_dim is 2"),
        ({"decoder": decoder(shape=(8, 9, 1))}, r"image_shape \(8, 8, 1\).*\(None, 8, 9, 1\)"),
        ({"decoder": decoder(activation="sigmoid")}, "tanh"),
        ({"encoder": "convolutional"}, "must be a keras.Model; got str"),
        ({"network": "unet"}, r"'unet'.*\['auto', 'convolutional', 'deep', 'dense', 'shallow'\]"),
        ({"reconstruction": "ssim"}, "'ssim'"),
        ({"latent_dim": 0}, "latent_dim"),
        ({"latent_dim": 2.5}, "latent_dim"),
        ({"kl_weight": "warm"}, "kl_weight"),
        ({"kl_weight": -1.0}, "kl_weight"),
        ({"encodr": None}, "encodr"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_does_not_fit_is_refused(networks, words):
    with pytest.raises((TypeError, ValueError), match=words):
        kgen.VAE(GRAY, **networks)


def test_a_dictionary_of_outputs_is_refused():
    inputs = keras.Input(GRAY)
    x = layers.Flatten()(inputs)
    outputs = {"mean": layers.Dense(2)(x), "log_variance": layers.Dense(2)(x)}
    with pytest.raises(ValueError, match="two outputs"):
        kgen.VAE(GRAY, encoder=keras.Model(inputs, outputs))


def test_shapes_too_small_for_convolutions():
    with pytest.raises(ValueError, match='network="dense"'):
        kgen.VAE((3, 8), network="convolutional")
    assert kgen.VAE((3, 8), network="dense").image_shape == (3, 8, 1)


def test_an_own_likelihood_survives_a_file(tmp_path):
    @keras.saving.register_keras_serializable("kgen_tests")
    class Cauchy(kgen.layers.Likelihood):
        def call(self, images, decoded):
            terms = ops.log1p(ops.square(images - decoded))
            return ops.sum(terms, axis=(1, 2, 3))

    vae = kgen.VAE(GRAY, reconstruction=Cauchy())
    vae.compile()
    vae.save(tmp_path / "vae.keras")
    loaded = keras.saving.load_model(tmp_path / "vae.keras")
    assert isinstance(loaded.likelihood, Cauchy)
    x = np.random.default_rng(0).integers(0, 256, (8, *GRAY), "uint8")
    assert loaded.evaluate(x, verbose=0) == pytest.approx(vae.evaluate(x, verbose=0), rel=1e-5)


def test_the_weight_of_the_divergence_follows_the_step():
    vae = kgen.VAE(GRAY, kl_weight=kgen.schedules.LinearWarmup(1.0, 10))
    vae.compile(keras.optimizers.SGD(0.0))
    x = np.random.default_rng(0).integers(0, 256, GRAY, "uint8")
    x = np.repeat(x[None], 16, axis=0)  # one image, so one divergence
    logs = vae.fit(x, batch_size=8, epochs=3, verbose=0).history
    weights = (np.array(logs["loss"]) - logs["reconstruction"]) / logs["kl"]
    np.testing.assert_allclose(weights, [0.05, 0.25, 0.45], atol=2e-4)  # mean of two steps


@pytest.mark.full
@pytest.mark.parametrize("reconstruction", ["mse", "bernoulli", "gaussian", "l1"])
def test_digits_are_learned(reconstruction):
    """Trained for real, with the bound itself as objective.

    Most of the pixels' variance is explained, the latents hold the classes, and samples are nearer
    to digits than images with the same pixels but without their relations, without being all one.
    """
    from sklearn.neighbors import KNeighborsClassifier

    train, test = kgen.data.load("digits/8x8"), kgen.data.load("digits/8x8", split="test")
    vae = kgen.VAE((8, 8), latent_dim=8, reconstruction=reconstruction)
    vae.compile(keras.optimizers.Adam(2e-3))
    vae.fit(train, batch_size=64, epochs=60, verbose=0)
    pixels, images = train.images().reshape(-1, 64), test.images()
    variance = images.var(axis=0).mean()
    assert ((vae.reconstruct(images) - images) ** 2).mean() < 0.4 * variance
    neighbors = KNeighborsClassifier(5).fit(vae.encode(train.images()), train.labels)
    assert neighbors.score(vae.encode(images), test.labels) > 0.9

    def distance(a):
        return np.median(((a[:, None] - pixels[None]) ** 2).sum(-1).min(axis=1))

    samples = vae.generate(300, seed=0).reshape(300, 64)
    unrelated = np.random.default_rng(0).permuted(pixels, axis=0)[:300]
    assert distance(samples) < 0.4 * distance(unrelated)
    assert samples.var(axis=0).mean() > 0.35 * variance


def test_images_divided_by_255_are_one_warning():
    x = np.random.default_rng(0).integers(0, 256, (6, 8, 8), "uint8")
    vae = kgen.VAE((8, 8), network="shallow")
    gan = kgen.GAN((8, 8), 4, network="mlp")
    methods = [vae.encode, vae.predict, vae.reconstruct, vae.elbo, vae.anomaly_score]
    methods += [vae.log_likelihood, gan.scores, gan.discriminate]
    methods += [lambda a: vae.interpolate(x, a), lambda a: vae.interpolate(a, x)]
    for method in methods:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            method(x), method(x / 127.5 - 1)
            assert "divided" not in str([w.message for w in caught])
            method(x / 255)
        (said,) = [str(w.message) for w in caught if "divided by 255" in str(w.message)]
        assert re.search(r"none negative: divided by 255\? .*2 \* ", said)
    vae.compile()
    with pytest.raises(ValueError, match="divided by 255"):
        vae.fit(x / 255)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*divided by 255")
        kgen.VAE((8, 8), network="shallow", check_range=False).encode(x / 255)
        kgen.GAN((2,)).scores(np.ones((3, 2)))


def test_weights_that_are_not_finite_make_nothing(tmp_path):
    vae, x = kgen.VAE((8, 8), network="shallow"), np.zeros((2, 8, 8), "uint8")
    vae.compile()
    weight = vae.decoder.trainable_weights[0]
    vae.save_weights(tmp_path / "good.weights.h5")
    weight.assign(weight * np.nan)
    vae.save(tmp_path / "broken.keras"), vae.save_weights(tmp_path / "broken.weights.h5")
    loaded = keras.saving.load_model(tmp_path / "broken.keras")
    words = "The decoder of this VAE is broken: .* are finite.*Load a file"
    for method in (lambda x: loaded.generate(2), loaded.predict, loaded.reconstruct):
        with pytest.raises(ValueError, match=words):
            method(x)
    values = np.zeros(weight.shape, "float32")
    values.flat[0] = np.nan  # one alone, which a ReLU hides
    weight.assign(values)
    vae.save(tmp_path / "broken.keras")
    for method in ("fit", "evaluate", "encode"):
        loaded = keras.saving.load_model(tmp_path / "broken.keras")
        with pytest.raises(ValueError, match=words):
            getattr(loaded, method)(x)
    other = kgen.VAE((8, 8), network="shallow")
    with pytest.raises(ValueError, match=words):
        other.load_weights(tmp_path / "broken.weights.h5")
    other.load_weights(tmp_path / "good.weights.h5")
    assert np.isfinite(other.generate(2)).all()
