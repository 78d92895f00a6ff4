"""Images as one multivariate Gaussian, and as a mixture of them."""

import math

import keras
import numpy as np
from keras import ops, saving
from scipy import special

from kgen import distributions
from kgen.arguments import below, positive
from kgen.arrays import to_numpy
from kgen.data.dataset import ImageDataset
from kgen.data.ranges import normalize_image_shape, to_model_range, with_channel
from kgen.engine import feed
from kgen.engine.checks import as_callbacks
from kgen.engine.random import Draws, host_generator
from kgen.models.latent_model import EncodingModel
from kgen.models.likelihood import bits_per_dim, dequantized
from kgen.models.principal_axes import PrincipalAxes, principal_axes
from kgen.progress import progress

ROWS = 256  # images in one product


@saving.register_keras_serializable("kgen")
class Gaussian(EncodingModel):
    r"""Images as one multivariate Gaussian: the simplest generative model.

    $p(x) = N(x; \mu, C)$, $C = U \Lambda U^T + \sigma^2 (I - U U^T)$: the variance along the
    `components` principal axes U is what it is in the data; along all other axes it is their mean
    $\sigma^2 = (\mathrm{tr} - \sum_i \lambda_i) / (d - q)$. This is the maximum-likelihood
    probabilistic PCA (Tipping and Bishop, 1999, equations 7 and 8).

    `fit` takes no steps: it computes mean and axes in a few passes over the images, exactly, so it
    needs no `compile`. `encode` and `decode` are the linear autoencoder with the least squared
    error: latents are coordinates along the axes, scaled to unit variance, so that `decode` makes
    of z from N(0, I) a sample of the Gaussian within the axes.

    Args:
        image_shape: `(H, W)`, `(H, W, C)`, or `(D,)` for points.
        components: number of axes q; None: chosen by the first `fit`, as many as there are where
            images or their values are at most 2,000, otherwise 256.
        min_variance: the least variance along any axis, as a share of the largest: images with
            pixels that never change have a density, too.
        **kwargs: `seed`, `check_range`, `name`, `dtype`, as in `GenerativeModel`.

    Attributes:
        components: number of axes, `latent_dim` by another name.
        count: number of images it was fitted to; 0 before.

    Example:

    ```python
    gaussian = kgen.Gaussian((64, 64, 3), components=100)
    gaussian.fit(kgen.data.load("faces"))
    kgen.plots.grid(gaussian.generate(16))
    ```
    """

    logs = ("log_likelihood",)

    def __init__(self, image_shape, components=None, min_variance=1e-6, **kwargs):
        super().__init__(normalize_image_shape(image_shape), **kwargs)
        self.min_variance = below(min_variance, 1, "min_variance")
        if not self.min_variance:
            raise ValueError("min_variance must be more than 0: pixels may never change.")
        self.components = None
        self._exact = None
        if components is not None:
            self._make_variables(positive(components, "components"))

    def _make_variables(self, q):
        self.components, d = q, math.prod(self.image_shape)

        def variable(name, *shape, dtype="float32"):
            return self.add_weight(
                name=name,
                shape=shape,
                dtype=dtype,
                trainable=False,
                autocast=False,
                initializer="zeros",
            )

        self._mean, self._axes = variable("mean", d), variable("axes", q, d)
        self._eigenvalues, self._noise = variable("eigenvalues", q), variable("noise")
        self._count = variable("count", dtype="int32")

    def get_config(self):
        """Everything that the constructor needs."""
        config = {"components": self.components, "min_variance": self.min_variance}
        return {**super().get_config(), **config}

    def ensure_built(self):
        """Build, once the number of axes is known."""
        if self.components is None:
            self._assert_fitted()
        super().ensure_built()

    def build(self, input_shape):
        """Nothing to make, once the number of axes is known."""
        if self.components is None:
            self._assert_fitted()
        super().build(input_shape)

    # What it consists of.

    @property
    def latent_dim(self):
        """Number of axes."""
        self._assert_fitted()
        return self.components

    @property
    def count(self):
        """Number of images it was fitted to."""
        return 0 if self.components is None else int(ops.convert_to_numpy(self._count))

    @property
    def mean_image(self):
        """The mean, float32 `image_shape`."""
        return self._principal().mean.reshape(self.image_shape).astype("float32")

    @property
    def axes(self):
        """The principal axes as images, float32 `(q, *image_shape)`, each of norm 1."""
        return self._principal().axes.reshape(-1, *self.image_shape).astype("float32")

    @property
    def eigenvalues(self):
        """Variances along the axes, float64 `(q,)`, in descending order."""
        return self._principal().eigenvalues

    @property
    def noise(self):
        """The variance sigma^2 along every other axis; 0 if there is none."""
        return self._left_over(self._principal())

    def _left_over(self, p):
        rest = len(p.mean) - len(p.axes)
        return max(p.total - p.eigenvalues.sum(), 0.0) / rest if rest else 0.0

    def _principal(self):
        """What `fit` found in float64, or, in a model that was loaded, in float32."""
        self._assert_fitted()
        values = [self._mean, self._axes, self._eigenvalues, self._noise]
        mean, axes, eigenvalues, noise = map(ops.convert_to_numpy, values)
        p = self._exact
        if (
            p is None
            or not np.array_equal(eigenvalues, p.eigenvalues.astype("float32"))
            or not np.array_equal(axes, p.axes.astype("float32"))
            or not np.array_equal(mean, p.mean.astype("float32"))
        ):
            mean, axes, eigenvalues = (a.astype("float64") for a in (mean, axes, eigenvalues))
            total = eigenvalues.sum() + float(noise) * (len(mean) - len(axes))
            self.__dict__["_exact"] = PrincipalAxes(mean, axes, eigenvalues, total, self.count)
        return self._exact

    def _variances(self):
        """Variances along the axes and along all others, none less than `min_variance` allows."""
        p = self._principal()
        least = self.min_variance * p.eigenvalues[0]
        return np.maximum(p.eigenvalues, least), max(self._left_over(p), least)

    def _assert_fitted(self):
        if self.count == 0:
            raise ValueError(f"This {type(self).__name__} knows no images yet: call fit first.")

    # fit, evaluate.

    def compile(self, optimizer=None, **options):
        """There is nothing to choose: `fit` takes no steps.

        Raises:
            ValueError: for an optimizer, loss or metrics.
        """
        given = {"optimizer": optimizer, **options}
        if given := [k for k in ("optimizer", "loss", "metrics") if given.get(k) is not None]:
            raise ValueError(
                f"{type(self).__name__}.compile() takes no {given[0]}: the model is fitted "
                "exactly, without steps. fit needs no compile."
            )

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        **kwargs,
    ):
        """Fit to images, exactly, in a few passes over them; a second call fits anew.

        Args:
            x: images, uint8 in [0, 255] or floats in [-1, 1], shape `(N, H, W, C)` or `(N, H, W)`;
                an `ImageDataset`, which may stream from disk; a `tf.data.Dataset` or `PyDataset`.
            y: ignored.
            batch_size: images read at once.
            verbose: 0: silent.
            callbacks: each is told of one epoch.
            validation_split, validation_data: as in Keras.
            epochs, **kwargs: what `keras.Model.fit` takes; one epoch is all there is.

        Returns:
            Keras's `History`: `log_likelihood`, the mean over images, in nats.

        Raises:
            ValueError: for fewer than two images, images that are all the same, more components
                than they have axes, or a generator, which can be read but once.
        """
        self._assert_can_fit(kwargs)
        validation_split = below(validation_split, 1, "validation_split")
        callbacks = as_callbacks(callbacks)
        if validation_split and validation_data is None:
            (x, y), validation_data = feed.split(x, y, validation_split)
        source = self._rereadable(feed.evaluation_source(self, x, y, batch_size))
        if validation_data is not None:
            validation_data = feed.validation_source(self, validation_data, batch_size)
        listeners = keras.callbacks.CallbackList(
            callbacks, add_history=True, model=self, verbose=0, epochs=1, steps=1
        )
        if any(getattr(c, "resumes_runs", False) for c in listeners.callbacks):
            raise ValueError(
                f"{type(self).__name__}.fit takes no steps, so there is no run that a "
                "TrainingCheckpoint could resume. Save the model when it is fitted."
            )
        listeners.on_train_begin()
        listeners.on_epoch_begin(0)
        with feed.own_errors(source, validation_data):
            logs = {"log_likelihood": self._fit(lambda: self._rows(source, verbose))}
            if validation_data is not None:
                logs["val_log_likelihood"] = self._mean_log_density(validation_data)
        if verbose:
            print(" - ".join(f"{name}: {value:.4f}" for name, value in logs.items()))
        listeners.on_epoch_end(0, logs)
        listeners.on_train_end(logs)
        return self.history

    def _fit(self, rows):
        """Fit to rows of pixels; returns the mean log-likelihood."""
        p, (variances, noise) = self._fit_axes(rows), self._variances()
        # Closed form: the sample covariance has the variances p.eigenvalues along the axes.
        rest = len(p.mean) - len(p.axes)
        distance = (p.eigenvalues / variances).sum() + rest * self._left_over(p) / noise
        return float(self._log_density(p.mean[None])[0] - 0.5 * distance)

    def _fit_axes(self, rows):
        p = principal_axes(rows, self.components, self.seed)
        if self.components is None:
            self._make_variables(len(p.axes))
        values = [p.mean, p.axes, p.eigenvalues, self._left_over(p), p.count]
        variables = [self._mean, self._axes, self._eigenvalues, self._noise, self._count]
        for variable, value in zip(variables, values, strict=True):
            variable.assign(np.asarray(value, variable.dtype))
        self.__dict__["_exact"] = p
        return p

    def _assert_can_fit(self, options):
        known = {"shuffle", "class_weight", "sample_weight", "initial_epoch", "steps_per_epoch"}
        known |= {"validation_steps", "validation_batch_size", "validation_freq"}
        if unknown := sorted(set(options) - known):
            raise TypeError(f"fit got unknown arguments {unknown}.")
        if any(options.get(name) is not None for name in ("class_weight", "sample_weight")):
            raise ValueError(f"fit got class_weight or sample_weight. {feed.NO_WEIGHTS}")

    def _rereadable(self, source):
        if getattr(source, "is_generator", False):
            raise ValueError(
                f"{type(self).__name__} reads its images more than once, and a generator can be "
                "read but once: pass an array, a kgen.data.ImageDataset, a tf.data.Dataset or a "
                "keras.utils.PyDataset."
            )
        return source

    def _rows(self, source, verbose=0):
        """Batches of a source as rows of float32 values in [-1, 1]."""
        if isinstance(source, feed.Batches):
            source = source.checked()
        indexed = isinstance(source, keras.utils.PyDataset)
        batches = (source[i] for i in range(source.num_batches)) if indexed else iter(source)
        if verbose and isinstance(source, ImageDataset):
            batches = progress(batches, len(source), "fit")
        for batch in batches:
            images = to_numpy(keras.utils.unpack_x_y_sample_weight(batch)[0])
            images = to_model_range(with_channel(images, self.image_shape))
            yield images.reshape(len(images), -1)

    def evaluate(self, x=None, y=None, batch_size=None, verbose="auto", **kwargs):
        """Mean log-likelihood of images in nats: `{"log_likelihood": ...}`.

        Takes the data of `fit`.
        """
        source = feed.evaluation_source(self, x, y, batch_size)
        with feed.own_errors(source):
            return {"log_likelihood": self._mean_log_density(source)}

    def _mean_log_density(self, source):
        parts = [self._log_density(rows) for rows in self._rows(source)]
        return float(np.concatenate(parts).mean())

    # The linear network.

    def call(self, inputs, training=False):
        """Project images on the mean and the axes."""
        return self._decode(self._encode(inputs))

    def encode(self, images, labels=None, batch_size=None):
        """Coordinates along the axes, scaled to unit variance: float32 `(N, components)`."""
        return super().encode(images, labels, batch_size)

    def generate(self, n, labels=None, seed=None, batch_size=None):
        """Draw `n` images from the Gaussian: float32 `(n, *image_shape)`, clipped to [-1, 1].

        The same seed gives the same images on every backend; the first 8 of 16 are the 8.
        """
        self.condition.of_images(n, labels)
        n, q, d = self.how_many(n), self.latent_dim, math.prod(self.image_shape)
        random = host_generator(seed)

        def draw(count):
            normal = random.standard_normal((count, 1 + q + d), dtype="float32")
            return np.concatenate([self._drawn(normal[:, : 1 + q]), normal[:, 1 + q :]], axis=1)

        images = self.infer(self._sample, Draws((n, q + d), draw), batch_size=batch_size)
        return self._in_range(images)

    def _drawn(self, normal):
        """Latents from draws from N(0, I), `(N, components + 1)`."""
        return normal[:, 1:]

    def _floor(self):
        return self.min_variance * self._eigenvalues[0]

    def _scales(self):
        return ops.sqrt(ops.maximum(ops.convert_to_tensor(self._eigenvalues), self._floor()))

    def _latents_of(self, *args):
        self._assert_fitted()
        return super()._latents_of(*args)

    def _encode(self, images):
        rows = ops.reshape(ops.cast(images, "float32"), (-1, math.prod(self.image_shape)))
        return ops.matmul(rows - self._mean, ops.transpose(self._axes)) / self._scales()

    def _decode(self, latents):
        rows = self._mean + ops.matmul(latents * self._scales(), ops.convert_to_tensor(self._axes))
        return ops.reshape(rows, (-1, *self.image_shape))

    def _sample(self, normal):
        """Images of latents and, after them, of noise outside of the axes."""
        latents, noise = normal[:, : self.components], normal[:, self.components :]
        images = self._decode(latents)
        if self.components == noise.shape[1]:
            return images
        axes = ops.convert_to_tensor(self._axes)
        noise = noise - ops.matmul(ops.matmul(noise, ops.transpose(axes)), axes)
        sigma = ops.sqrt(ops.maximum(ops.convert_to_tensor(self._noise), self._floor()))
        return images + sigma * ops.reshape(noise, (-1, *self.image_shape))

    # Likelihood, in float64 on the host.

    def log_likelihood(self, images, batch_size=None):
        """Exact log p(x) of each image in nats, a density on [-1, 1]: float64 `(N,)`."""
        return self._log_likelihood(self.images_in(images), batch_size)

    def _log_likelihood(self, images, batch_size):
        rows = images.reshape(len(images), -1)
        size = positive(ROWS if batch_size is None else batch_size, "batch_size")
        parts = [self._log_density(rows[i : i + size]) for i in range(0, len(rows), size)]
        return np.concatenate(parts)

    def bits_per_dim(self, images, seed=0, batch_size=None):
        """Upper bound on the bits that each dimension of the 8-bit image costs, float64 `(N,)`.

        Of images with uniform dequantisation noise (`kgen.models.likelihood`).

        Args:
            images: uint8, or floats on the 256 levels.
            seed: of the noise.

        Raises:
            ValueError: for points; for floats between the levels.
        """
        images = dequantized(self.images_in(images), host_generator(seed))
        nats = self._log_likelihood(images, batch_size)
        return bits_per_dim(nats, self.image_shape)

    def anomaly_score(self, images, batch_size=None):
        """How unlikely each image is: its negative log-likelihood in nats, float64 `(N,)`."""
        return -self.log_likelihood(images, batch_size)

    def _log_density(self, rows):
        coordinates, outside = self._coordinates(rows)
        return self._prior().log_density(coordinates) + self._log_density_outside(outside)

    def _prior(self):
        """Distribution of the coordinates."""
        return distributions.StandardNormal(self.components)

    def _coordinates(self, rows):
        """Scaled coordinates of rows, and their squared distance from the axes by that variance."""
        p, (variances, noise) = self._principal(), self._variances()
        rows = rows - p.mean
        along = rows @ p.axes.T
        outside = np.square(rows).sum(axis=1) - np.square(along).sum(axis=1)
        return along / np.sqrt(variances), np.maximum(outside, 0) / noise

    def _log_density_outside(self, outside):
        """What the other axes and the scales of all add to the log-density of coordinates."""
        p, (variances, noise) = self._principal(), self._variances()
        rest = len(p.mean) - len(p.axes)
        log_determinant = np.log(variances).sum() + rest * math.log(2 * math.pi * noise)
        return -0.5 * (outside + log_determinant)


@saving.register_keras_serializable("kgen")
class GaussianMixture(Gaussian):
    r"""Images as a mixture of Gaussians within their principal axes.

    $p(x) = N(r; 0, \sigma^2 I) \sum_k \pi_k N(z; m_k, S_k) |\Lambda|^{-1/2}$, with z the
    coordinates along the principal axes, scaled to unit variance, and r what is left of the image
    outside them. Axes and $\sigma^2$ are those of `Gaussian`; the mixture is fitted to the
    coordinates by scikit-learn's expectation maximisation.

    Args:
        image_shape: `(H, W)`, `(H, W, C)`, or `(D,)` for points.
        clusters: number of Gaussians in the mixture.
        components: number of principal axes.
        **kwargs: as in `Gaussian`.
    """

    def __init__(self, image_shape, clusters=10, components=50, **kwargs):
        self.clusters = positive(clusters, "clusters")
        super().__init__(image_shape, components, **kwargs)

    def _make_variables(self, q):
        super()._make_variables(q)
        k = self.clusters
        shapes = {"weights": (k,), "means": (k, q), "factors": (k, q, q)}
        self._shares, self._centers, self._factors = (
            self.add_weight(
                name=name, shape=shape, trainable=False, autocast=False, initializer="zeros"
            )
            for name, shape in shapes.items()
        )

    def get_config(self):
        """Everything that the constructor needs."""
        return {**super().get_config(), "clusters": self.clusters}

    def _fit(self, rows):
        self._fit_axes(rows)
        parts = [self._coordinates(part) for part in rows()]
        coordinates, outside = (np.concatenate(part) for part in zip(*parts, strict=True))
        mixture = distributions.GaussianMixture.fit(
            coordinates, self.clusters, self.seed, min_variance=1e-4
        )
        self._shares.assign(mixture.weights)
        self._centers.assign([part.mean for part in mixture.parts])
        self._factors.assign([part.factor for part in mixture.parts])
        density = self._prior().log_density(coordinates) + self._log_density_outside(outside)
        return float(density.mean())

    def _prior(self):
        values = (self._shares, self._centers, self._factors)
        weights, means, factors = (ops.convert_to_numpy(v).astype("float64") for v in values)
        parts = [distributions.Gaussian(m, f @ f.T) for m, f in zip(means, factors, strict=True)]
        return distributions.GaussianMixture(weights, parts)

    def _drawn(self, normal):
        """Latents from draws from N(0, I): the first of each row chooses its cluster."""
        return self._prior().place(special.ndtr(normal[:, 0].astype("float64")), normal[:, 1:])
