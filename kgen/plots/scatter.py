"""Where a model puts images."""

import functools

import numpy as np

from kgen.arrays import to_numpy
from kgen.linear_algebra import stoppable
from kgen.plots.images import shown
from kgen.plots.slide import Chart, height_of, slide
from kgen.plots.style import (
    CLASSES,
    DARK,
    LABEL,
    MUTED,
    REAL,
    SERIES,
    TICK,
    WHITE,
    WRONG,
    as_texts,
)
from kgen.plots.texts import say


class Scatter(Chart):
    """Where a model puts images: a point for each, and the name of each class among its own.

    Latents of more than two dimensions are projected on their two first principal axes, and the
    axes say so, with the share of the variance that each carries.

    Args:
        latents: `(N, D)` floats, D of 2 or more.
        labels: None, or N labels: integers, booleans or strings are classes, whose names stand at
            their medians; floats are a quantity with a colour bar.
        class_names: names of the classes 0, 1, ... for integer labels.
        heading: a text over it.
        equal: whether a unit is as long on both axes.
        decode: None, or for two dimensions a function from float32 latents `(N, 2)` to as many
            images: what each place decodes to stands under the points, pale, and a dashed circle
            is N(0, I) at 2 sigma.
        line: None, or `(S, 2)` latents that a line joins, over the points.

    Raises:
        ValueError: if the latents are not as above, none, or not finite, if there is not one label
            per point, or if a class has no name.
    """

    def __init__(
        self,
        latents,
        labels=None,
        class_names=None,
        heading=None,
        equal=True,
        decode=None,
        line=None,
        **options,
    ):
        points = to_numpy(latents)
        if points.ndim != 2 or points.shape[1] < 2:
            raise ValueError(f"latents must have shape (N, D), D of 2 or more; got {points.shape}.")
        if len(points) == 0 or not np.isfinite(points).all():
            raise ValueError(
                "latents holds NaN or infinity." if len(points) else "latents is empty."
            )
        self.points, (xlabel, ylabel) = _two_axes(points.astype("float64"))
        self.labels, self.names = _labels(labels, len(points)), None
        if self.labels is not None and self.labels.dtype.kind != "f":
            classes, self.labels = np.unique(self.labels, return_inverse=True)
            self.names = _names(classes, class_names)
        super().__init__(heading, **{"xlabel": xlabel, "ylabel": ylabel, "shape": 1.0} | options)
        self.equal, self.decoded, self.line = equal, None, line
        if decode is not None:
            if points.shape[1] != 2:
                raise ValueError(f"decode serves two dimensions; got {points.shape[1]}.")
            self.decoded = _under(decode, self.points)

    def plot(self, axes):
        """Draw the points in a fixed random order, so that no class hides the others."""
        points = self.points
        order = np.random.default_rng(0).permutation(len(points))
        style = {"s": float(np.clip(36000 / len(points), 12, 90)), "alpha": 0.7, "linewidths": 0}
        if self.decoded is not None:  # may be seen between them
            style |= {"s": 30, "alpha": 1, "linewidths": 0.7, "edgecolors": WHITE}
        if self.labels is None:
            axes.scatter(*points[order].T, color=REAL, **style)
        elif self.names is None:
            dots = axes.scatter(*points[order].T, c=self.labels[order], **style)
            axes.figure.colorbar(dots, ax=axes, shrink=0.8).solids.set_alpha(1)
        else:
            colors = np.array([CLASSES[i % len(CLASSES)] for i in range(len(self.names))])
            axes.scatter(*points[order].T, c=colors[self.labels[order]], **style)
            at = [np.median(points[self.labels == i], axis=0) for i in range(len(self.names))]
            _names_at(axes, at, self.names, colors, points)
        if self.line is not None:
            axes.plot(*np.asarray(self.line).T, "-o", color=DARK, lw=4, ms=12, zorder=7)
        if self.decoded is not None:
            picture, extent = self.decoded
            axes.imshow(picture, extent=extent, aspect="equal", zorder=0)
            axes.grid(False)
            _prior(axes)
        elif self.equal:
            axes.set_aspect("equal", adjustable="datalim")


class Clouds(Chart):
    """What a VAE makes of images: for each an ellipse, q(z|x) at 2 sigma, with its name.

    A dashed circle is N(0, I) at 2 sigma.

    Args:
        means: `(N, 2)` floats, as `posterior` returns them.
        log_variances: `(N, 2)` floats.
        names: N texts.
        heading, options: as of `Chart`.

    Raises:
        ValueError: if means and log variances are not as above, or names are not N.
    """

    def __init__(self, means, log_variances, names, heading=None, **options):
        labels = {"xlabel": "$z_1$", "ylabel": "$z_2$", "shape": 1.0}
        super().__init__(heading, **labels | options)
        self.means = to_numpy(means)
        self.sizes = 4 * np.exp(to_numpy(log_variances) / 2)
        shapes = self.means.shape, self.sizes.shape
        if self.means.ndim != 2 or self.means.shape[1] != 2 or shapes[0] != shapes[1]:
            raise ValueError(f"means and log variances must both be (N, 2); got {shapes}.")
        self.names = as_texts(names, len(self.means), "names", "cloud")

    def plot(self, axes):
        """Draw the ellipses and their names."""
        from matplotlib.patches import Ellipse

        for i, (mean, size) in enumerate(zip(self.means, self.sizes, strict=True)):
            color = CLASSES[i % len(CLASSES)]
            axes.add_patch(Ellipse(mean, *size, color=color, alpha=0.4))
        _names_at(axes, self.means, self.names, CLASSES * len(self.names), self.means)
        _prior(axes)
        axes.autoscale_view()
        axes.set_aspect("equal", adjustable="datalim")


class Divergence(Chart):
    """The KL divergence from N(0, 1) over mu and sigma, and where the codes of models lie in it.

    The axes end with the codes, at the latest at 8 in mu and 0.0002 in sigma: those beyond are not
    seen. A cross marks where the divergence would be least if log sigma were written for log sigma
    squared.

    Args:
        codes: dictionary from names to `(means, log_variances)`, floats of one shape, as
            `posterior` returns them.
        paths: None, or `(means, log_variances)` of some codes at T moments of training, floats
            `(T, ...)`: a line for each.
        heading, options: as of `Chart`.
    """

    def __init__(self, codes, paths=None, heading=None, **options):
        labels = {"xlabel": r"$\mu$", "ylabel": r"$\sigma$", "shape": 0.5}
        super().__init__(heading, **labels | options)
        self.codes = {
            name: (np.ravel(to_numpy(mean)), np.exp(np.ravel(to_numpy(log_variance)) / 2))
            for name, (mean, log_variance) in codes.items()
        }
        self.paths = paths
        if not self.codes:
            raise ValueError("codes is empty: there is nothing to draw.")

    def plot(self, axes):
        """Draw lines of equal divergence, then the codes with their names."""
        means, sigmas = (np.concatenate(x) for x in zip(*self.codes.values(), strict=True))
        reach = np.clip(1.2 * np.abs(means).max(), 3, 8)
        least = np.clip(sigmas.min() / 2, 2e-4, 0.05)
        mu, sigma = np.linspace(-reach, reach, 201), np.geomspace(least, 3, 200)
        kl = (mu**2 + (sigma**2 - 1 - np.log(sigma**2))[:, None]) / 2
        style = {"colors": MUTED, "linewidths": 1.5}
        levels = [level for level in (0.1, 1, 2, 4, 8, 16) if level < reach**2 / 2]
        lines = axes.contour(mu, sigma, kl, levels, **style)
        axes.clabel(lines, fontsize=TICK, fmt="%g")
        for (name, (at, wide)), color in zip(self.codes.items(), SERIES * 9, strict=False):
            axes.plot(at, wide, "o", color=color, ms=6, mew=0, alpha=0.5)
            named(axes, 0.31 * reach, np.median(wide), name, color, ha="left")
        if self.paths is not None:
            means, log_variances = (np.stack(x).reshape(len(x), -1) for x in self.paths)
            axes.plot(means, np.exp(log_variances / 2), "-", color=DARK, lw=1.5, alpha=0.7)
        axes.plot(0, 0.5**0.5, "x", color=WRONG, ms=12, mew=3)
        named(axes, 0.07 * reach, 1.9, r"if $\log \sigma$ for $\log \sigma^2$", WRONG, ha="left")
        axes.set(xlim=(-reach, reach), ylim=(least, 3), yscale="log")
        axes.grid(False)


def _names_at(axes, places, names, colors, points):
    """Write names near their places among points, none on another one."""
    extent = axes.get_window_extent()
    apart = 1.5 * height_of(LABEL) / min(extent.width, extent.height)
    apart *= max(np.ptp(points, axis=0).max(), 1e-9)
    for name, place, color in zip(names, spread(places, apart), colors, strict=False):
        named(axes, *place, name, color)


def _prior(axes):
    """Draw N(0, I) at 2 sigma."""
    from matplotlib.patches import Circle

    axes.add_patch(Circle((0, 0), 2, fill=False, ec=DARK, ls="--", lw=2.5, zorder=5))


def spread(places, apart):
    """Places `(N, 2)`, moved until no two are nearer than this, as far as a few rounds do it."""
    places = np.array(places, "float64")
    for _ in range(100):
        away = places[:, None] - places
        distance = np.linalg.norm(away, axis=-1)
        near = (distance < apart) & ~np.eye(len(places), dtype=bool)
        if not near.any():
            break
        first = np.arange(len(places))[:, None] - np.arange(len(places))  # where two are one place
        away = np.where((distance > 0)[..., None], away, np.stack([first, 0 * first], axis=-1))
        away /= np.maximum(np.linalg.norm(away, axis=-1, keepdims=True), 1e-12)
        missing = np.where(near, apart - distance, 0)[..., None]
        places += 0.5 * (missing * away).sum(axis=1)
    return places


def named(axes, x, y, text, color=WHITE, **options):
    """Write a name into a plot, on a label of this colour that keeps it apart from the rest."""
    from matplotlib.colors import to_rgb

    light = np.dot(to_rgb(color), (0.299, 0.587, 0.114)) > 0.6
    style = {"size": LABEL, "ha": "center", "va": "center", "weight": "bold", "zorder": 6}
    label = {"boxstyle": "round,pad=0.25", "fc": color, "ec": WHITE, "lw": 1.5}
    style |= {"color": DARK if light else WHITE, "bbox": label}
    return axes.annotate(say(text), (x, y), **style | options)


def latent_scatter(latents, labels=None, class_names=None, *, title=None, path=None):
    """`Scatter` as a figure of its own.

    Args:
        latents: `(N, D)` floats, D of 2 or more.
        labels: None, or N labels: integers, booleans or strings are classes, whose names stand at
            their medians; floats are a quantity with a colour bar.
        class_names: names of the classes 0, 1, ... for integer labels.
        title: of the figure.
        path: file to write.

    Returns:
        The Figure.

    Raises:
        ValueError: if the latents are not as above, none, or not finite, if there is not one label
            per point, or if a class has no name.
        OSError: if `path` cannot be written.
    """
    return slide(Scatter(latents, labels, class_names), title=title, path=path)


def _under(decode, points, n=12, pale=0.45):
    """What a square around the points decodes to, n by n images with ink on paper; its ends."""
    low, high = np.quantile(points, [0.005, 0.995], axis=0)
    low, high = np.minimum(low, -2), np.maximum(high, 2)  # N(0, I), too
    middle, half = (low + high) / 2, 0.53 * max(high - low)
    ticks = half * ((2 * np.arange(n) + 1) / n - 1)
    z1, z2 = np.meshgrid(middle[0] + ticks, middle[1] + ticks[::-1])
    pixels, _ = shown(decode(np.stack([z1.ravel(), z2.ravel()], axis=1).astype("float32")))
    pixels = pixels[..., :3].reshape(n, n, *pixels.shape[1:3], 3).swapaxes(1, 2)
    pixels = pixels.reshape(n * pixels.shape[1], -1, 3)
    dark = 255 - pixels if (pixels[..., :1] == pixels).all() else pixels  # grey: ink on paper
    picture = (255 - pale * (255.0 - dark)).astype("uint8")
    (x, y), extent = middle, np.array([-half, half])
    return picture, (*(x + extent), *(y + extent))


def _two_axes(points):
    """Points in two dimensions, and what the two axes are called."""
    dimensions = points.shape[1]
    if dimensions == 2:
        return points, ("$z_1$", "$z_2$")
    if len(points) < 2:
        raise ValueError(f"One point of {dimensions} dimensions has no principal axes.")
    centered = points - points.mean(axis=0)
    svd = functools.partial(np.linalg.svd, full_matrices=False)
    _, scales, directions = stoppable(svd, centered, what="Principal axes")
    # The sign is arbitrary: the first of the largest coefficients is made positive, so that figures
    # are stable; what is as large within a thousandth is none the less, or rounding would decide.
    size = np.abs(directions[:2])
    largest = (size >= 0.999 * size.max(axis=1, keepdims=True)).argmax(axis=1)
    directions = directions[:2] * np.sign(directions[[0, 1], largest])[:, None]
    shares = 100 * scales[:2] ** 2 / max((scales**2).sum(), 1e-300)
    texts = [
        f"principal axis {i} of {dimensions} dimensions ({share:.0f} % of the variance)"
        for i, share in enumerate(shares, 1)
    ]
    return centered @ directions.T, texts


def _labels(labels, n):
    if labels is None:
        return None
    labels = to_numpy(labels) if not isinstance(labels, (list, tuple)) else np.asarray(labels)
    if labels.shape == (n, 1):  # as some datasets have them
        labels = labels[:, 0]
    if labels.shape != (n,):
        hint = " One-hot labels: pass labels.argmax(axis=-1)." if labels.ndim == 2 else ""
        raise ValueError(f"labels must be one per point: ({n},); got shape {labels.shape}.{hint}")
    return labels


def _names(classes, class_names):
    if class_names is None or classes.dtype.kind not in "iub":
        return [str(name) for name in classes]
    if classes[0] < 0 or int(classes[-1]) >= len(class_names):
        raise ValueError(
            f"class_names has {len(class_names)} names; the labels run from {classes[0]} to "
            f"{classes[-1]}."
        )
    return [str(class_names[int(i)]) for i in classes]
