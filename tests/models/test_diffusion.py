"""Diffusion: what it generates, what it knows of densities, and what it refuses."""

import functools

import keras
import numpy as np
import pytest
from diffusion_by_hand import each
from keras import ops
from scipy import stats

import kgen
from kgen.conditions import ClassLabels, Target
from kgen.engine import backend
from kgen.samplers import Heun, Sampler

MEAN = np.array([0.3, -0.2])
COVARIANCE = np.array([[0.5, 0.2], [0.2, 0.3]])
TRUTH = stats.multivariate_normal(MEAN, COVARIANCE)
POINTS = TRUTH.rvs(100, random_state=0).astype("float32")


@keras.saving.register_keras_serializable("test_diffusion")
class Perfect(keras.layers.Layer):
    """The mean of Gaussian data given a noisy point, from what networks are given."""

    def __init__(self, noise, **kwargs):
        super().__init__(**kwargs)
        self.noise = noise

    def call(self, inputs):
        scaled, times = inputs
        mean, variances, axes = (
            ops.convert_to_tensor(v.astype("float32")) for v in (MEAN, *np.linalg.eigh(COVARIANCE))
        )
        alpha, sigma = self.noise.levels(times[:, None])
        noisy = scaled * ops.sqrt((alpha * self.noise.data_std) ** 2 + sigma**2)
        kept = alpha * variances / (alpha**2 * variances + sigma**2)
        return mean + ops.matmul(ops.matmul(noisy - alpha * mean, axes) * kept, ops.transpose(axes))

    def compute_output_shape(self, input_shape):
        return input_shape[0]


@functools.cache  # nothing trains it
def perfect(name):
    noise = kgen.noise.get(name)
    inputs = [keras.Input((2,)), keras.Input(())]
    network = keras.Model(inputs, Perfect(noise, dtype="float32")(inputs))
    model = kgen.Diffusion((2,), noise=noise, prediction="image", denoiser=network)
    model.compile()
    return model


NOISES = ["linear", "cosine", "sigmoid", "edm", "flow"]
each_noise = pytest.mark.parametrize("name", each(NOISES, {"cosine", "flow"}.__contains__))
each_kind = pytest.mark.parametrize("name", ["cosine", "flow"])  # in steps, and without


@each_noise
def test_the_ode_tells_the_density(name):
    found = perfect(name).log_likelihood(POINTS)
    np.testing.assert_allclose(found, TRUTH.logpdf(POINTS), rtol=0.01)


@each_kind
def test_signs_estimate_the_density(name):
    points = POINTS.repeat(2, axis=0)  # four probes for each, two of them at once
    estimated = perfect(name).log_likelihood(points, probes=2, seed=1, batch_size=len(points))
    error = estimated.reshape(-1, 2).mean(1) - TRUTH.logpdf(POINTS)
    assert 0 < np.abs(error).mean() < 0.5 and np.abs(error.mean()) < 0.15


def bound(model, times, **options):
    """The mean of several bounds of each point, drawn at once."""
    points = POINTS.repeat(times, axis=0)
    return model.elbo(points, batch_size=len(points), **options).reshape(-1, times).mean(1)


@each_noise
def test_the_bound_lies_below_the_density(name):
    gap = TRUTH.logpdf(POINTS) - bound(perfect(name), 10)
    assert gap.mean() > 3 * gap.std() / np.sqrt(len(gap)) > 0
    assert gap.mean() < 1.5


@each_kind
def test_few_steps_estimate_the_bound(name):
    few = bound(perfect(name), 4, evaluations=100, seed=1)
    assert few.mean() == pytest.approx(bound(perfect(name), 10).mean(), abs=0.4)


@each_noise
def test_latents_are_normal_and_lead_back(name):
    model = perfect(name)
    points = TRUTH.rvs(2000, random_state=1).astype("float32")
    latents = model.encode(points, batch_size=2000)
    assert stats.kstest(latents.ravel(), "norm").pvalue > 0.01
    np.testing.assert_allclose(model.decode(latents, batch_size=2000), points, atol=2e-3)
    variances, axes = np.linalg.eigh(COVARIANCE)
    exact = (points - MEAN) @ axes / np.sqrt(variances) @ axes.T
    np.testing.assert_allclose(latents, exact, atol=0.05)


def small(condition=None, **options):
    """A small model of 8x8 images, whose network was shaken: it begins at zero."""
    keras.utils.set_random_seed(0)
    told = {"num_classes": condition.num_classes} if isinstance(condition, ClassLabels) else {}
    network = kgen.networks.denoising_mlp((8, 8, 1), hidden=(16,), **told)
    model = kgen.Diffusion((8, 8), denoiser=network, condition=condition, **options)
    random = np.random.default_rng(0)
    for variables in (model.denoiser, model.denoiser_average.model):
        weights = [w + 0.2 * random.standard_normal(w.shape) for w in variables.get_weights()]
        variables.set_weights(weights)
    model.compile()
    return model


@pytest.fixture(scope="module")
def plain():
    return small()


@pytest.fixture(scope="module")
def labeled():
    model = small(ClassLabels(3))
    # A few steps take less than compiling them; samplers are compiled in their own tests.
    model.compile(run_eagerly=keras.backend.backend() == "tensorflow")
    return model


@pytest.mark.parametrize("sampler", ["ddpm", Heun(churn=4.0), "heun", "dpmpp_2m"], ids=str)
def test_images_belong_to_seed_and_number(labeled, sampler):
    options = {"sampler": sampler, "num_steps": 2, "seed": 3, "labels": 1}
    sixteen = labeled.generate(16, **options)
    np.testing.assert_allclose(labeled.generate(8, **options), sixteen[:8], atol=1e-4)
    np.testing.assert_allclose(labeled.generate(16, batch_size=5, **options), sixteen, atol=1e-4)
    assert np.abs(labeled.generate(16, **{**options, "seed": 4}) - sixteen).max() > 0.01
    assert np.abs(sixteen[0] - sixteen[1]).max() > 0.01


@pytest.mark.parametrize("sampler", ["ddpm", "dpmpp_2m", "heun", Heun(churn=4.0)], ids=str)
def test_ways_from_noise_end_in_the_images(labeled, sampler):
    options = {"sampler": sampler, "num_steps": 4, "seed": 3}
    states, times = labeled.trajectory(5, **options, batch_size=3)
    assert states.shape == (5, 5, 8, 8, 1) and times.shape == (5,) and times[-1] == 0
    images = labeled.generate(5, **options)
    np.testing.assert_allclose(np.clip(states[:, -1], -1, 1), images, atol=1e-4)
    latents = np.random.default_rng(3).standard_normal((5, 8, 8, 1), "f4")
    sigma = float(labeled.noise.sigma(times[0]))
    np.testing.assert_allclose(states[:, 0], sigma * latents, atol=1e-4)
    assert np.abs(np.diff(states, axis=1)).reshape(5, 4, -1).max(2).min() > 1e-3


def test_every_number_of_steps_is_its_own_answer_and_guidance_compiles_once(labeled, monkeypatch):
    compiled, made = [], backend.compiled

    def counting(fn, model):
        compiled.append(fn)
        return made(fn, model)

    monkeypatch.setattr(backend, "compiled", counting)
    options = {"sampler": "ddim", "seed": 0}
    by_steps = [labeled.generate(4, num_steps=n, **options) for n in (2, 5, 2)]
    np.testing.assert_array_equal(by_steps[0], by_steps[2])
    assert np.abs(by_steps[0] - by_steps[1]).max() > 1e-3 and len(compiled) == 2
    options |= {"num_steps": 2}
    by_scale = [labeled.generate(4, guidance_scale=w, **options) for w in (2, 3.5, 0, 2)]
    np.testing.assert_array_equal(by_scale[0], by_scale[3])
    assert len(compiled) == 3
    assert len({images.tobytes() for images in by_scale}) == 3
    np.testing.assert_array_equal(labeled.generate(4, guidance_scale=1, **options), by_steps[0])
    assert len(compiled) == 3


def test_guidance_is_equation_6(labeled):
    """One step from noise: the answer, of predictions with and without the label."""
    model, labels = labeled, np.array([0, 1, 2, 0], "int32")
    latents = model.how_many(4) and np.random.default_rng(7).standard_normal((4, 8, 8, 1), "f4")
    alpha, sigma = (float(of(1.0)) for of in (model.noise.alpha, model.noise.sigma))
    noisy, t = sigma * latents, np.ones(4, "float32")

    def predicted(labels):
        network = model.denoiser_average.model
        inputs = [noisy / np.hypot(alpha, sigma), t, labels]
        return ops.convert_to_numpy(network([ops.convert_to_tensor(x) for x in inputs]))

    asked, free = predicted(labels), predicted(np.full(4, -1, "int32"))
    assert np.abs(asked - free).max() > 1e-3
    w = 1.5  # the paper's, one less than the scale
    velocity = (1 + w) * asked - w * free
    expected = np.clip(alpha * noisy - sigma * velocity, -1, 1)
    options = {"sampler": "ddim", "num_steps": 1, "seed": 7}
    found = model.generate(4, labels, guidance_scale=2.5, **options)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    without = model.generate(4, labels, guidance_scale=0, **options)
    np.testing.assert_allclose(without, np.clip(alpha * noisy - sigma * free, -1, 1), atol=1e-4)


def test_some_conditions_are_left_out_in_training_alone(monkeypatch):
    model, ones = small(ClassLabels(3), drop_condition=0.3), np.ones(1000, "int32")
    model.compile(run_eagerly=True)  # faster than compiling
    drawn = [model._some_left_out([ops.convert_to_tensor(ones)])[0] for _ in range(2)]
    drawn = [ops.convert_to_numpy(labels) for labels in drawn]
    assert all(0.24 < (labels == -1).mean() < 0.36 for labels in drawn)
    assert all(set(labels) == {-1, 1} for labels in drawn) and (drawn[0] != drawn[1]).any()
    calls, left_out = [], kgen.Diffusion._some_left_out
    monkeypatch.setattr(
        kgen.Diffusion, "_some_left_out", lambda self, told: calls.append(1) or left_out(self, told)
    )
    images = np.zeros((40, 8, 8), "uint8")
    model.evaluate(images, ones[:40], batch_size=40, verbose=0)
    assert not calls
    model.fit(images, ones[:40], batch_size=40, verbose=0)
    assert calls


def test_times_of_a_batch_are_spread(plain):
    times = ops.convert_to_numpy(plain.training_times(ops.zeros((50, 8, 8, 1))))
    assert times.shape == (50, 1, 1, 1)
    places = np.ceil(times.ravel() * 1000 - 1e-3) / 20
    assert (np.ceil(places) == np.arange(1, 51)).all()


def test_the_average_generates_and_what_it_was_is_in_files(tmp_path):
    model = small(noise="flow", weighting=kgen.losses.MinSNR(3.0))
    before = model.generate(3, num_steps=3, seed=0)
    model.denoiser.set_weights([0 * w for w in model.denoiser.get_weights()])
    np.testing.assert_array_equal(model.generate(3, num_steps=3, seed=0), before)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.noise == model.noise and loaded.weighting == kgen.losses.MinSNR(3.0)
    assert loaded.prediction == "flow"
    np.testing.assert_allclose(loaded.generate(3, num_steps=3, seed=0), before, atol=1e-6)


def test_what_is_known_stays_and_the_rest_is_painted(plain):
    images = np.random.default_rng(0).uniform(-1, 1, (3, 8, 8, 1)).astype("float32")
    mask = np.zeros((8, 8), bool)
    mask[2:6, 3:] = True
    painted = plain.inpaint(images, mask, num_steps=4, seed=0)
    np.testing.assert_array_equal(painted[:, ~mask], images[:, ~mask])
    assert np.abs(painted[:, mask] - images[:, mask]).max() > 0.1
    for same in (mask[None].repeat(3, 0), mask[..., None].astype("float32"), mask.astype(int)):
        again = plain.inpaint(images, same, num_steps=4, seed=0, batch_size=2)
        np.testing.assert_allclose(again, painted, atol=1e-3)
    assert np.abs(plain.inpaint(images, mask, num_steps=4, seed=1) - painted).max() > 0.01
    options = {"sampler": "heun", "num_steps": 4, "seed": 0}
    everything = plain.inpaint(images, np.ones((8, 8), bool), **options)
    np.testing.assert_allclose(everything, plain.generate(3, **options), atol=1e-4)


def test_inpainting_follows_what_is_known():
    """Of Gaussian points, the second number given the first."""
    model = perfect("cosine")
    points = np.repeat(np.array([[1.0, 0.0]], "float32"), 2000, axis=0)
    found = model.inpaint(points, np.array([False, True]), num_steps=50, seed=0)
    np.testing.assert_array_equal(found[:, 0], 1)
    expected = MEAN[1] + COVARIANCE[0, 1] / COVARIANCE[0, 0] * (1 - MEAN[0])
    assert found[:, 1].mean() == pytest.approx(expected, abs=0.06)  # without the first: -0.2


def test_ways_between_images():
    model = perfect("flow")
    a, b = POINTS[:5], POINTS[5:10]
    line = model.interpolate(a, b, steps=5)
    assert line.shape == (5, 5, 2)
    np.testing.assert_allclose(line[:, 0], a, atol=2e-3)
    np.testing.assert_allclose(line[:, -1], b, atol=2e-3)
    latents = [model.encode(x) for x in (a, b)]
    middle = model.encode(line[:, 2])
    expected = sum(latents) / np.linalg.norm(sum(latents), axis=1, keepdims=True)
    direction = middle / np.linalg.norm(middle, axis=1, keepdims=True)
    np.testing.assert_allclose(direction, expected, atol=0.02)


def test_bits_of_eight_bit_images(plain):
    """Of a model of one grey level: a code that knows it, and the likelihood of what it is not."""
    images = np.full((4, 8, 8, 1), 100, "uint8")
    images[1::2] = 160
    bound = plain.bits_per_dim(images, method="bound", evaluations=10)
    ode = plain.bits_per_dim(images, num_steps=5)
    assert bound.shape == ode.shape == (4,) and np.isfinite(bound).all() and np.isfinite(ode).all()
    assert bound.min() > 0
    few = plain.bits_per_dim(images[:3], num_steps=5, batch_size=1)
    np.testing.assert_allclose(few, ode[:3], rtol=1e-5)
    for wrong, words in ((images / 255.0 - 0.4999, "8-bit"),):
        with pytest.raises(ValueError, match=words):
            plain.bits_per_dim(wrong.astype("float32"), method="bound")
    with pytest.raises(ValueError, match="method must be one of"):
        plain.bits_per_dim(images, method="elbo")
    for method, option, known in (("bound", "num_steps", "evaluations"), ("ode", "n", "probes")):
        with pytest.raises(TypeError, match=f"method='{method}' takes .*{known}.*got .*{option}"):
            plain.bits_per_dim(images, method=method, **{option: 3})


def test_densities_of_images_are_of_few_at_once(plain, monkeypatch):
    """Their derivatives need memory."""
    asked, infer = [], lambda self, *_, batch_size, **__: asked.append(batch_size) or np.zeros(1)
    monkeypatch.setattr(kgen.Diffusion, "infer", infer)
    for n, batch_size in ((100, None), (8, None), (100, 7)):
        plain.log_likelihood(np.zeros((n, 8, 8), "uint8"), batch_size=batch_size)
    perfect("flow").log_likelihood(POINTS)
    assert asked == [32, 16, 7, None]


@pytest.mark.parametrize("name", each(["linear", "cosine", "edm"], {"edm"}.__contains__))
def test_what_is_known_costs_what_the_least_noise_leaves_open(name):
    """Of a network that knows every pixel: normal densities of the first time's noise."""
    inputs = [keras.Input((8, 8, 1)), keras.Input(())]
    network = keras.Model(inputs, keras.layers.Rescaling(0.0, -1.0, dtype="float32")(inputs[0]))
    model = kgen.Diffusion((8, 8), noise=name, prediction="image", denoiser=network)
    images = np.zeros((3, 8, 8), "uint8")
    levels = 127.5 * float(model.noise.ratio(model.noise.least))  # of the noise
    if model.noise.least == 0:
        assert levels == pytest.approx(0.255)
    # The darkest level reaches down without end, and half a level up.
    bound = model.bits_per_dim(images, method="bound", evaluations=20)
    np.testing.assert_allclose(bound, -stats.norm(0, levels).logcdf(0.5) / np.log(2), atol=2e-3)
    # The mean of a normal's logarithm over a level.
    ode = model.bits_per_dim(images, probes=1)
    mean = (np.log(levels * np.sqrt(2 * np.pi)) + 1 / (24 * levels**2)) / np.log(2)
    np.testing.assert_allclose(ode, mean, atol=0.2 / levels**2 / 8)


def test_points_on_a_ring_are_learned():
    keras.utils.set_random_seed(0)
    points, _ = kgen.data.toy2d.draw("ring", 4000, seed=0)
    network = kgen.networks.denoising_mlp((2,), hidden=(64,))
    model = kgen.Diffusion((2,), noise="flow", denoiser=network, average_decay=0.99)
    model.compile(keras.optimizers.Adam(3e-3))
    history = model.fit(points, batch_size=400, epochs=40, verbose=0).history["loss"]
    assert history[-1] < 0.8 * history[0]
    found = kgen.metrics.mode_coverage(model.generate(1000, num_steps=40, seed=0), "ring", 0.05)
    assert found.covered == 8 and found.good > 0.7, found


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: kgen.Diffusion((8, 8), noise="quadratic"), "noise must be one of"),
        (lambda: kgen.Diffusion((8, 8), prediction="score"), "prediction must be one of"),
        (lambda: kgen.Diffusion((8, 8), weighting="sigma"), "weighting must be one of"),
        (lambda: kgen.Diffusion((8, 8), noise="flow", prediction="noise"), "noise alone"),
        (lambda: kgen.Diffusion((8, 8), drop_condition=1.0), "drop_condition must lie"),
        (lambda: kgen.Diffusion((8, 8), average_decay=1.0), "average_decay must lie"),
        (lambda: kgen.Diffusion((4, 4)), "at least 8 pixels"),
        (lambda: kgen.Diffusion((8, 8), condition=kgen.conditions.Tokens(5, 3)), "pass denoiser="),
        (
            lambda: kgen.Diffusion((8, 8), denoiser=kgen.networks.denoising_mlp((7, 7, 1))),
            "does not take",
        ),
        (
            lambda: kgen.Diffusion(
                (8, 8),
                denoiser=kgen.networks.denoising_mlp((8, 8, 1)),
                condition=ClassLabels(3),
            ),
            "labels",
        ),
    ],
)
def test_models_that_cannot_be(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_steps": 1001}, "at most 1000.*got 1001"),
        ({"num_steps": 0}, "num_steps must be a positive integer"),
        ({"sampler": "plms"}, "sampler must be one of .*'heun'"),
        ({"labels": 3}, "labels must be integers from 0 to 2"),
        ({"labels": [0, 1]}, "one for each"),
        ({"guidance_scale": -1}, "guidance_scale must be"),
        ({"guidance_scale": "high"}, "guidance_scale must be"),
        ({"guidance_scale": np.nan}, "guidance_scale must be"),
        ({"seed": -1}, "seed must be"),
        ({"seed": True}, "seed must be"),
    ],
    ids=str,
)
def test_bad_arguments_of_generate(labeled, options, words):
    with pytest.raises(ValueError, match=words):
        labeled.generate(3, **options)


def test_what_a_model_cannot_do_says_so(plain, labeled):
    images = np.zeros((3, 8, 8), "uint8")
    with pytest.raises(ValueError, match=r"guidance_scale=2 .*has none.*condition="):
        plain.generate(3, guidance_scale=2)
    with pytest.raises(ValueError, match="takes no labels"):
        plain.generate(3, labels=1)
    certain = small(ClassLabels(3), drop_condition=0.0)
    with pytest.raises(ValueError, match="drop_condition=0"):
        certain.generate(3, guidance_scale=2)
    with pytest.raises(ValueError, match="labels are needed"):
        labeled.encode(images)
    for mask, words in (
        (np.ones((7, 8), bool), r"mask must have the shape \(8, 8\).*got \(7, 8\)"),
        (np.ones((2, 8, 8), bool), "one for each"),
        (np.full((8, 8), 0.5), "True, or 1, where to paint.*got .*0.5"),
    ):
        with pytest.raises(ValueError, match=words):
            plain.inpaint(images, mask)
    for latents, words in (
        (np.zeros((3, 8, 8)), r"must have shape \(N, 8, 8, 1\); got \(3, 8, 8\)"),
        (np.full((3, 8, 8, 1), np.nan), "must be finite"),
        ("noise", "must be numbers"),
    ):
        with pytest.raises(ValueError, match=words):
            plain.decode(latents)
    with pytest.raises(ValueError, match="pair up"):
        plain.interpolate(images, images[:2])
    with pytest.raises(ValueError, match="at least 2"):
        plain.interpolate(images, images, steps=1)


def test_what_memory_does_not_hold_is_refused(plain):
    with pytest.raises(ValueError, match=r"n=10000000000 images .* GiB.*fewer at a time"):
        plain.generate(10**10)
    with pytest.raises(ValueError, match=r"n=10000000 ways of 1001 states .* GiB.*fewer steps"):
        plain.trajectory(10**7, num_steps=1000)


class Half(Sampler):
    """A user's, which loses half of the image."""

    def __call__(self, denoise, x, noise, num_steps, normal=None, keep=False):
        return x[:, :4]


def test_a_sampler_has_to_return_images(plain):
    with pytest.raises(ValueError, match=r"Half must return \(None, 8, 8, 1\).*\(None, 4, 8, 1\)"):
        plain.generate(2, sampler=Half())
    with pytest.raises(ValueError, match=r"Half must return \(None, 4, 8, 8, 1\), all states"):
        plain.trajectory(2, sampler=Half(), num_steps=3)


def test_a_second_image_is_what_is_begun_from():
    condition = Target((8, 8))
    keras.utils.set_random_seed(0)
    network = kgen.networks.denoising_unet((8, 8, 1), beside=1, filters=8, blocks=1, widths=(1,))
    model = kgen.Diffusion((8, 8), condition=condition, denoiser=network)
    model.run_eagerly = True  # faster than compiling
    assert [tuple(t.shape[1:]) for t in network.inputs] == [(8, 8, 1), (), (8, 8, 1)]
    assert model.generate(2, labels=np.zeros((1, 8, 8), "uint8"), num_steps=1).shape == (2, 8, 8, 1)
    with pytest.raises(ValueError, match="are needed"):
        model.generate(2)
