r"""What a normalizing flow is, in a plane: a grid that is bent, layer by layer, into the data.

    python -m recipes.normalizing_flow_intuition
    python -m recipes.normalizing_flow_intuition --dataset toy2d/ring --variant realnvp

A flow is a bijection: it bends the plane, but tears nothing and lays nothing over anything else, so
the density of the data is that of N(0, I), divided by how far each place was stretched. Writes the
bent grid (animated, too), the density beside the true one, and the way back, which makes N(0, I) of
the data.
"""

from pathlib import Path

import keras
import numpy as np

import kgen
from kgen import plots
from kgen.callbacks import ProgressBar
from kgen.data import toy2d
from recipes import _command, _run

DEFAULTS = {
    "output": Path("outputs/normalizing_flow_intuition"),
    "dataset": {"default": "toy2d/moons", "help": "points in a plane: toy2d/ring, ..., or a file"},
    "batch_size": 256,
    "epochs": {"default": 60, "help": "passes over the points"},
    "variant": {"default": "glow", "choices": [*kgen.networks.FLOWS], "help": "which flow"},
    "flow_steps": {"default": 16, "help": "steps of the flow"},
    "filters": {"default": 64, "help": "width of the networks within"},
    "learning_rate": 2e-3,
}
ENDS, SHOWN = np.array([-3.0, 3.0]), 1_000
TICKS = np.linspace(-1.2, 1.2, 241)


def grid(reach=2.5, lines=15, places=801):
    """Lines of a grid over the plane, `(2 * lines, places, 2)`."""
    at, along = np.linspace(-reach, reach, lines), np.linspace(-reach, reach, places)
    rows = np.stack(np.broadcast_arrays(along[None], at[:, None]), axis=-1)
    return np.concatenate([rows, rows[..., ::-1]]).astype("float32")


def bent(model, lines, points):
    """Lines and points at each of the layers, from latents to data, in units of the points."""
    states = [np.concatenate([lines.reshape(-1, 2), points])]
    for bijection in reversed(model.flow.bijections):
        states.append(keras.ops.convert_to_numpy(bijection.inverse(states[-1])))
    found = []
    for state in states:
        of_points = state[lines.shape[0] * lines.shape[1] :]
        scaled = (state - of_points.mean(0)) / of_points.std(0)
        ways, dots = np.split(scaled, [len(state) - len(points)])
        found.append((ways.reshape(lines.shape), dots))
    return found


def draw_layers(run, model):
    """Write the grid on its way from N(0, I) to the data, and all of the way as an animation."""
    latents = np.random.default_rng(run.seed).standard_normal((SHOWN, 2)).astype("float32")
    last = len(model.flow.bijections)

    def panel(state, **options):
        ways, dots = state
        look = {"size": 2.5, "legend": None, **options}
        return plots.Plane({"generated points": dots}, ENDS, ways=ways, **look)

    states, some = bent(model, grid(), latents), np.linspace(0, last, 4).round().astype(int)
    heading = "after {i} of {n} layers"
    panels = [panel(states[i], heading=plots.say(heading, i=i, n=last)) for i in some]
    title = "A bijection bends N(0, I) into the data: nothing is torn, and no line crosses another"
    _run.slide(run, "layers", *panels, title=title, model=model)
    said = "From N(0, I) to the data: layer {i} of {n}"
    states = bent(model, grid(lines=11), latents[: SHOWN // 4])  # less to see, and more frames
    frames = [(plots.say(said, i=i, n=last), panel(s, size=4)) for i, s in enumerate(states)]
    _run.animate(run, "layers", frames)


def draw_density(run, model, points, truth):
    """Write real points, the true density, the flow's, and points drawn from it."""

    def density(places):
        return np.exp(model.log_likelihood(places, batch_size=10_000))

    options = {"legend": None, "size": 3}
    panels = [plots.Plane({"real points": points[:SHOWN]}, TICKS, heading="real points", **options)]
    if truth is not None:
        true = {"density": lambda places: np.exp(truth(places)), "shade": plots.REAL}
        panels.append(plots.Plane({}, TICKS, heading="the true density", **true, **options))
    flows = {"density": density, "shade": plots.GENERATED}
    panels.append(plots.Plane({}, TICKS, heading="the flow's density", **flows, **options))
    made = {"generated points": model.generate(SHOWN, seed=run.seed)}
    panels.append(plots.Plane(made, TICKS, heading="points drawn from it", **options))
    if truth is None:
        title, fields = "The flow tells the density of any place, and draws from it", {}
    else:
        fields = {"nats": gap(model, points, truth)}
        title = "The flow tells densities: on average {nats:.2f} nats below the true ones"
    _run.slide(run, "density", *panels, title=title, model=model, **fields)


def draw_latents(run, model, points, labels):
    """Write the data and the latents that they become, by class."""
    classes = np.unique(labels)
    colors = {str(c): plots.CLASSES[i % len(plots.CLASSES)] for i, c in enumerate(classes)}
    latents, panels = model.encode(points), []
    scaled = (points - points.mean(0)) / points.std(0)
    for heading, places in (("data", scaled), ("latents of the data", latents)):
        clouds = {str(c): places[labels == c] for c in classes}
        options = {"colors": colors, "size": 4, "legend": None, "heading": heading}
        panels.append(plots.Plane(clouds, ENDS, **options))
    title = "The way back: the data become N(0, I), and no two points become one"
    _run.slide(run, "latents", *panels, title=title, model=model)


def gap(model, points, truth):
    """KL divergence from the truth to the flow, in nats, by points of the truth."""
    return float((truth(points) - model.log_likelihood(points)).mean())


@_command.recipe(__doc__, ("image_size", "precision", "resume", "publish"), **DEFAULTS)
def main(run):
    """Train, draw, measure; returns the model."""
    data, test = _run.load(run)
    points, test = data.images(), test.images()
    if points.shape[1:] != (2,):
        raise ValueError(f"--dataset must hold points in a plane; {run.dataset!r} does not.")
    keras.utils.set_random_seed(run.seed)
    sizes = {"steps": run.flow_steps, "filters": run.filters}
    model = kgen.NormalizingFlow((2,), run.variant, seed=run.seed, **sizes)
    rate = kgen.schedules.warmup_cosine(run.learning_rate, _run.updates(run, len(points)))
    adam = keras.optimizers.Adam(rate, clipnorm=1.0)
    model.compile(adam, jit_compile=_run.XLA[run.jit])
    options = {"batch_size": run.batch_size, "epochs": run.epochs, "verbose": 0}
    history = model.fit(points, callbacks=[ProgressBar("in a plane")], **options)
    model.save(run.output / "normalizing_flow.keras")
    shape, truth = run.dataset.removeprefix("toy2d/"), None
    if run.dataset.startswith("toy2d/"):

        def truth(places):
            return toy2d.log_density(shape, places)

    classes = data.num_classes
    labels = np.asarray(data.labels) if classes else np.zeros(len(points), int)
    draw_layers(run, model)
    draw_density(run, model, test, truth)
    draw_latents(run, model, points[: 3 * SHOWN], labels[: 3 * SHOWN])
    results = {"loss": history.history["loss"][-1]}
    results["log-likelihood of test points, nats"] = model.log_likelihood(test).mean()
    if truth is not None:
        results["true log-likelihood, nats"] = truth(test).mean()
        results["divergence from the truth, nats"] = gap(model, test, truth)
    made = model.generate(2500, seed=run.seed)
    far = kgen.metrics.nearest(made, points)[1]
    results["samples within 0.05 of a point"] = np.mean(far < 0.05)
    _run.report(run, None, "", {name: float(value) for name, value in results.items()})
    return model


if __name__ == "__main__":
    main()
