import keras
import matplotlib
import numpy as np
import pytest
from sklearn.decomposition import PCA

from kgen import plots
from kgen.plots import scatter

# --- latent_scatter


def points_of(figure):
    scatter = figure.axes[0].collections[0]
    return np.asarray(scatter.get_offsets()), scatter


def names_of(figure):
    """Where the names of classes stand, and their colours."""
    return {
        t.get_text(): (t.get_position(), matplotlib.colors.to_hex(t.get_bbox_patch().get_fc()))
        for t in figure.axes[0].texts
    }


@pytest.mark.parametrize("classes", [3, 10, 15, 30])
def test_scatter_colors_every_point_by_its_class(classes):
    rng = np.random.default_rng(0)
    latents, labels = rng.normal(size=(300, 2)), np.arange(300) % classes
    names = [f"class {i}" for i in range(classes)]
    figure = plots.latent_scatter(latents, labels, names, title="Latents")
    offsets, scatter = points_of(figure)
    said = names_of(figure)
    assert list(said) == names
    label_of = {tuple(point): label for point, label in zip(latents, labels, strict=True)}
    for point, color in zip(offsets, scatter.get_facecolors(), strict=True):
        _, of_name = said[names[label_of[tuple(point)]]]
        assert matplotlib.colors.to_hex(color) == of_name.lower()
    for i, name in enumerate(names):  # the name stands among its own
        away = np.subtract(said[name][0], np.median(latents[labels == i], axis=0))
        assert np.abs(away).max() < (0.5 if classes <= 10 else 1.5)  # no two on each other
    assert len({tuple(point) for point in offsets}) == 300
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("$z_1$", "$z_2$")
    assert figure.get_suptitle() == "Latents"


def test_scatter_projects_on_the_principal_axes():
    latents = np.random.default_rng(0).normal(size=(200, 5)) * [1, 5, 2, 0.5, 3] + 7
    figure = plots.latent_scatter(latents)
    pca = PCA(2).fit(latents)
    wanted = pca.transform(latents)
    offsets, _ = points_of(figure)
    order = np.lexsort(offsets.T.round(6))
    signs = [
        s for s in np.array(np.meshgrid([1, -1], [1, -1])).T.reshape(-1, 2)
        if np.allclose((wanted * s)[np.lexsort((wanted * s).T.round(6))], offsets[order], atol=1e-6)
    ]  # fmt: skip
    assert len(signs) == 1  # the axes' signs are free
    for text, share, i in zip(
        (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()),
        pca.explained_variance_ratio_,
        (1, 2),
        strict=True,
    ):
        assert text == f"principal axis {i} of 5 dimensions ({100 * share:.0f} % of the variance)"
    np.testing.assert_array_equal(points_of(plots.latent_scatter(latents))[0], offsets)


def test_scatter_has_one_direction_where_two_coefficients_are_as_large():
    random = np.random.default_rng(0)
    points = random.normal(size=(50, 1)) * [1, -1, 0] + 0.01 * random.normal(size=(50, 3))
    points = np.concatenate([points, points[:, [1, 0, 2]]])  # the tie is exact but for rounding
    for scale in (1, 3, 7, 1e-3):
        axes = plots.latent_scatter(points * scale).axes[0]
        along = np.concatenate([c.get_offsets() for c in axes.collections])[:, 0] / scale
        np.testing.assert_allclose(np.sort(along), np.sort((points[:, 0] - points[:, 1]) / 2**0.5),
                                   atol=1e-3)  # fmt: skip


def test_scatter_of_constant_latents_and_few_points():
    assert "(0 % of the variance)" in plots.latent_scatter(np.ones((4, 3))).axes[0].get_xlabel()
    plots.latent_scatter(np.eye(2, 3))


def test_scatter_labels_of_other_kinds():
    latents = np.random.default_rng(0).normal(size=(6, 2))
    words = plots.latent_scatter(latents, ["b", "a", "b", "c", "a", "a"])
    assert list(names_of(words)) == ["a", "b", "c"]
    flags = plots.latent_scatter(latents, np.arange(6) > 2, ["no", "yes"])
    assert list(names_of(flags)) == ["no", "yes"]
    column = plots.latent_scatter(latents, np.array([[4], [2], [2], [2], [4], [4]]))
    assert list(names_of(column)) == ["2", "4"]
    quantity = plots.latent_scatter(latents, np.linspace(0, 1, 6))
    assert quantity.axes[0].get_legend() is None and len(quantity.axes) == 2  # a colour bar
    offsets, scatter = points_of(quantity)
    value_of = {tuple(p): v for p, v in zip(latents, np.linspace(0, 1, 6), strict=True)}
    np.testing.assert_allclose(scatter.get_array(), [value_of[tuple(p)] for p in offsets])


@pytest.mark.parametrize(
    ("latents", "options", "message"),
    [
        (np.zeros(4), {}, r"must have shape \(N, D\), D of 2 or more; got \(4,\)"),
        (np.zeros((4, 1)), {}, "D of 2 or more"),
        (np.zeros((0, 2)), {}, "latents is empty"),
        (np.full((4, 2), np.nan), {}, "holds NaN or infinity"),
        (np.zeros((1, 3)), {}, "One point of 3 dimensions has no principal axes"),
        (np.zeros((4, 2)), {"labels": [1, 2]}, r"one per point: \(4,\); got shape \(2,\)"),
        (np.zeros((4, 2)), {"labels": np.eye(4)}, r"One-hot labels: pass labels\.argmax"),
        (np.zeros((2, 2)), {"labels": [0, 5], "class_names": ["a"]}, "1 names; .* from 0 to 5"),
        (np.zeros((2, 2)), {"labels": [-1, 0], "class_names": ["a"]}, "run from -1 to 0"),
    ],
)
def test_bad_scatter(latents, options, message):
    with pytest.raises(ValueError, match=message):
        plots.latent_scatter(latents, **options)


# --- losses


def lines_of(figure):
    return {line.get_label(): line for line in figure.axes[0].get_lines()}


def test_losses_of_training_and_validation_share_a_color():
    history = {
        "loss": [3.0, 2, 1], "val_loss": [3.5, 2.5, 1.5], "kl_loss": [1, 2, 3.0],
        "learning_rate": [1e-3] * 3,
    }  # fmt: skip
    lines = lines_of(plots.losses(history))
    assert list(lines) == ["loss", "loss, validation", "kl loss"]
    colors = {name: line.get_color() for name, line in lines.items()}
    assert colors["loss"] == colors["loss, validation"] != colors["kl loss"]
    assert lines["loss"].get_linestyle() == "-"
    assert lines["loss, validation"].get_linestyle() == "--"
    np.testing.assert_array_equal(lines["loss"].get_xydata(), [[1, 3], [2, 2], [3, 1]])
    np.testing.assert_array_equal(lines["loss, validation"].get_ydata(), [3.5, 2.5, 1.5])
    assert list(lines_of(plots.losses(history, names=["learning_rate"]))) == ["learning rate"]


def test_losses_of_a_real_history_that_was_resumed():
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.ones((4, 2), "float32")
    options = {"validation_data": (x, x[:, :1]), "validation_freq": 2, "verbose": 0}
    history = model.fit(x, x[:, :1], initial_epoch=3, epochs=8, **options)
    lines = lines_of(plots.losses(history))
    np.testing.assert_array_equal(lines["loss"].get_xdata(), [4, 5, 6, 7, 8])
    np.testing.assert_array_equal(lines["loss, validation"].get_xdata(), [4, 6, 8])
    np.testing.assert_array_equal(lines["loss"].get_ydata(), history.history["loss"])


@pytest.mark.parametrize(
    ("values", "log", "scale"),
    [
        ([100.0, 10, 1], None, "log"),
        ([3.0, 2, 1], None, "linear"),
        ([100.0, 1, -1], None, "linear"),
        ([100.0, 1, 0], None, "linear"),
        ([100.0, np.nan, 1], None, "log"),
        ([np.nan, np.nan], None, "linear"),
        ([100.0, 10, 1], False, "linear"),
        ([3.0, 2, 1], True, "log"),
    ],
)
def test_losses_use_a_logarithm_when_it_helps(values, log, scale):
    assert plots.losses({"loss": values}, log=log).axes[0].get_yscale() == scale


@pytest.mark.parametrize(
    ("history", "options", "message"),
    [
        ({}, {}, "empty"),
        ({"loss": []}, {}, "empty"),
        ({"learning_rate": [1.0]}, {}, "empty"),
        ({"loss": [1.0]}, {"names": ["kl"]}, r"no \['kl'\]; it has \['loss'\]"),
        ({"loss": [1.0] * 5, "val_loss": [1.0] * 4}, {}, "'val_loss' has 4 values for 5 epochs"),
        ([1.0, 2.0], {}, "what fit returned or a dictionary"),
    ],
)
def test_bad_losses(history, options, message):
    with pytest.raises(ValueError, match=message):
        plots.losses(history, **options)


# --- bands


def bands(*args, **options):
    return plots.slide(plots.Bands(*args, **options))


def test_bands_without_repeats_speak_of_none():
    axes = bands([1, 2, 3], np.ones((2, 1, 3)), ["a", "b"]).axes[0]
    assert axes.get_legend().get_title().get_text() == ""


def test_bands_of_few_repeats_hold_all():
    curves = np.array([[[1.0, 2.0], [3.0, 8.0], [2.0, 5.0]]])
    axes = bands([1, 2], curves, ["a"]).axes[0]
    assert axes.get_legend().get_title().get_text() == "mean, and all 3 repeats"
    corners = {tuple(point) for point in axes.collections[0].get_paths()[0].vertices}
    assert corners == {(1, 1), (1, 3), (2, 2), (2, 8)}


def test_bands_show_the_mean_and_90_percent_of_the_repeats():
    x, curves = np.arange(5), np.random.default_rng(0).normal(size=(2, 50, 5))
    figure = bands(x, curves, ["a", "b"], 0.5, xlabel="step", ylabel="value")
    (axes,) = figure.axes
    lines = lines_of(figure)
    assert list(lines) == ["a", "b", "expected"]
    shown = [text.get_text() for text in axes.get_legend().get_texts()]
    assert shown == list(lines) and "90 %" in axes.get_legend().get_title().get_text()
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "value")
    for name, values, band in zip("ab", curves, axes.collections, strict=True):
        np.testing.assert_allclose(lines[name].get_xydata(), np.stack([x, values.mean(0)], 1))
        corners = {tuple(point) for point in band.get_paths()[0].vertices.round(6)}
        for share in (5, 95):
            edge = np.percentile(values, share, axis=0).round(6)
            assert corners >= set(zip(x.astype(float), edge, strict=True))
        color = matplotlib.colors.to_hex(band.get_facecolor()[0])
        assert color == matplotlib.colors.to_hex(lines[name].get_color())
    assert set(lines["expected"].get_ydata()) == {0.5}
    assert lines["expected"].get_linestyle() == "--"


def test_bands_of_tensors_and_of_many_points():
    curves = keras.ops.reshape(keras.ops.arange(60, dtype="float32"), (1, 2, 30))
    figure = bands(range(30), curves, ["a"])
    assert list(lines_of(figure)) == ["a"] and lines_of(figure)["a"].get_marker() == "None"
    np.testing.assert_allclose(lines_of(figure)["a"].get_ydata(), np.arange(30) + 15)


@pytest.mark.parametrize(
    ("x", "values", "options", "scales"),
    [
        ([1, 4, 32], [1, 2, 3], {}, ("log", "linear")),
        ([1, 4, 29], [1, 2, 30], {}, ("linear", "log")),
        ([0, 4, 64], [-1, 2, 30], {}, ("linear", "linear")),
        ([1, 4, 29], [1, np.nan, 30], {}, ("linear", "log")),
        ([1, 4, 29], [1, 2, 3], {"expected": 40}, ("linear", "log")),
        ([1, 4, 29], [1, 2, 30], {"expected": -1}, ("linear", "linear")),
        ([1, 4, 29], [1, 2, 30], {"log": False}, ("linear", "linear")),
        ([1, 4, 29], [1, 2, 3], {"log": True}, ("linear", "log")),
    ],
)
def test_bands_use_logarithms_where_they_help(x, values, options, scales):
    (axes,) = bands(x, [[values]], ["a"], **options).axes
    assert (axes.get_xscale(), axes.get_yscale()) == scales


def test_bands_tick_a_logarithmic_axis_where_was_measured():
    (axes,) = bands(2 ** np.arange(11), np.ones((1, 1, 11)), ["a"]).axes
    assert list(axes.get_xticks()) == list(2 ** np.arange(11))
    assert [tick.get_text() for tick in axes.get_xticklabels()][-2:] == ["512", "1024"]
    assert not len(axes.get_xticks(minor=True))


def test_bands_by_name():
    named = plots.Bands([1, 2], {"a": [[3, 4], [5, 6]], "b": np.ones((2, 2))})
    np.testing.assert_array_equal(named.curves, [[[3, 4], [5, 6]], [[1, 1], [1, 1]]])
    assert named.labels == ["a", "b"]
    alone = plots.Bands([1, 2], {"a": [3, 4]}, ["A"])
    assert alone.curves.shape == (1, 1, 2) and alone.labels == ["A"]


def test_bands_are_panels_of_a_slide():
    panels = [plots.Bands([1, 2], [[[3, 4]]], ["a"], heading="One", xlabel="x") for _ in range(4)]
    figure = plots.slide(*panels, columns=2)
    assert [each.get_title() for each in figure.axes] == ["One"] * 4
    assert not figure.get_suptitle()


@pytest.mark.parametrize(
    ("x", "shape", "labels", "message"),
    [
        ([[1, 2]], (1, 3, 2), "a", r"x must have shape \(N,\), N of 1 or more; got \(1, 2\)"),
        ([], (1, 3, 0), "a", r"x must have shape .* got \(0,\)"),
        ([1, 2], (1, 3, 3), "a", r"\(curves, repeats, 2\), as x has 2 values; got \(1, 3, 3\)\.$"),
        ([1, 2], (3, 2), "a", r"got \(3, 2\)\. Curves without repeats .* curves\[:, None\]"),
        ([1, 2], (1, 0, 2), "a", r"got \(1, 0, 2\)"),
        ([1, 2], (2, 3, 2), "a", "labels must be one for each curve: 2; got 1"),
        ([1, 2], (2, 3, 2), None, "labels must be one for each curve: 2; got 0"),
    ],
)
def test_bad_bands(x, shape, labels, message):
    with pytest.raises(ValueError, match=message):
        bands(x, np.zeros(shape), labels)


def test_names_that_would_lie_on_each_other_move_apart():
    places = scatter.spread([[0, 0], [0, 0], [0.1, 0], [5, 5]], 1)
    gaps = np.linalg.norm(places[:, None] - places, axis=-1)[np.triu_indices(4, 1)]
    assert gaps.min() > 0.99
    np.testing.assert_array_equal(places[3], [5, 5])


def test_names_of_levels_meet_no_curve_where_there_is_room():
    steps = np.arange(1, 101)
    falling, rising = 3 / steps**0.5, -2 / steps**0.5
    for curves, side in (({"a": falling, "b": rising}, 0), ({"a": falling[::-1]}, 1)):
        figure = plots.slide(plots.Curves(curves, levels={"level": 0.0}, log=False))
        (axes,) = figure.axes
        (name,) = axes.texts
        box = name.get_window_extent()
        for line in axes.lines[: len(curves)]:
            x, y = axes.transData.transform(line.get_xydata()).T
            assert not any(box.contains(*point) for point in zip(x, y, strict=True))
        assert name.xy[0] == side
