"""What every model does, on every backend. A model joins by being listed in `cases.py`."""

import collections
import zipfile

import h5py
import keras
import numpy as np
import pytest
from as_new import as_new
from cases import CASES
from keras import ops

import kgen
from kgen.engine import backend, state

BACKEND = keras.backend.backend()
every_case = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)


def ordinary(case, policy="mixed_float16"):
    """Whether a case passes everything outside the full tier, which leaves nothing out.

    On JAX and torch that is one model for each family; on TensorFlow all that are not brief.
    """
    return case.head or (BACKEND, case.brief, policy) == ("tensorflow", False, "mixed_float16")


def each(cases):
    """Every case, the ordinary ones outside the full tier."""
    cases = [pytest.param(c, marks=() if ordinary(c) else pytest.mark.full) for c in cases]
    return pytest.mark.parametrize("case", cases, ids=lambda c: c.name)


each_case = each(CASES)
each_case_of_steps = each([c for c in CASES if c.takes_steps])
heads = [c for c in CASES if c.head]
each_policy = pytest.mark.parametrize(  # one of the two for a case that is no head
    ("case", "policy"),
    [
        pytest.param(c, policy, marks=() if ordinary(c, policy) else pytest.mark.full)
        for c in CASES
        for policy in ("mixed_bfloat16", "mixed_float16")
        if c.takes_steps
    ],
    ids=lambda v: getattr(v, "name", v),
)


def compiled(case, dtype=None, seed=0, **options):
    keras.utils.clear_session(
        free_memory=False
    )  # without XLA, TensorFlow's last bits follow the layers' names
    keras.utils.set_random_seed(seed)
    model = case.make(dtype=dtype)
    model.compile(**options)
    return model


def ready(case, **options):
    """As `compiled`, one for all tests of a case, as it is when it is new."""
    if not case.takes_steps:  # what their `fit` found is more than variables, and found at once
        return compiled(case, **options)
    name = case.name, *options.items()
    return as_new(name, lambda: compiled(case, **options))


UPDATES_TRACED = collections.Counter()


def watched(case):
    """Another model than `ready`, shared as well; how often its update is traced is counted."""

    def make():
        model = compiled(case)
        update = model.update

        def counting_update(batch):
            UPDATES_TRACED[case.name] += 1
            return update(batch)

        model.update = counting_update
        return model

    return as_new((case.name, "watched"), make)


def fit(model, case, epochs=1, **options):
    return case.fit(model, epochs=epochs, **options).history


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def gap(a, b):
    return max(
        float(np.abs(a[name].astype("float64") - b[name]).max()) for name in a if a[name].size
    )


@every_case
def test_fit_reports_every_loss(case):
    model = ready(case)
    before = state.capture(model)
    history = fit(model, case, epochs=2, validation_data=case.first(50))
    names = set(model.logs)
    assert names <= history.keys()
    assert {f"val_{name}" for name in names} & history.keys()
    assert np.isfinite([history[name] for name in history]).all()
    if case.takes_steps:
        updates = 2 * (len(case.data) // (case.batch_size * model.minibatches_per_update))
        assert int(model.step) == updates > 0
    assert gap(before, state.capture(model)) > 0


@every_case
def test_losses_equal_a_computation_by_hand(case):
    model = ready(case)
    fit(model, case)
    expected = case.by_hand(model, *case.first(20))
    measured = model.evaluate(*case.first(20), batch_size=20, verbose=0)
    assert measured.keys() == expected.keys()
    for name, value in expected.items():
        assert measured[name] == pytest.approx(value, rel=2e-4, abs=2e-5), name


@every_case
def test_a_saved_model_gives_the_same_output_and_goes_on(case, tmp_path):
    model = ready(case)
    fit(model, case)
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.saving.load_model(path)
    np.testing.assert_allclose(*(case.images(m, 5, seed=3) for m in (loaded, model)), atol=1e-6)
    assert int(loaded.step) == int(model.step)
    assert state.differences(state.describe(loaded), state.describe(model)) == []
    a, b = state.capture(loaded), state.capture(model)
    for name in a:
        if not name.startswith("metrics"):
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    assert fit(loaded, case) == fit(model, case)
    assert same(state.capture(loaded), state.capture(model))


@each_case
def test_no_variable_is_stored_twice(case, tmp_path):
    for policy in (None, "mixed_float16"):
        model = compiled(case, dtype=policy)
        optimizer = model.optimizer.variables if case.takes_steps else []
        model.save(tmp_path / "model.keras")
        with zipfile.ZipFile(tmp_path / "model.keras") as archive:
            archive.extract("model.weights.h5", tmp_path)
        stored = []
        with h5py.File(tmp_path / "model.weights.h5") as file:
            file.visititems(lambda n, o, to=stored: to.append(n) if hasattr(o, "shape") else None)
        assert len(stored) == len(model.weights) + len(optimizer) + len(["seeds"]), stored


@each_case_of_steps
def test_n_and_n_epochs_equal_2n(case, tmp_path):
    whole_history = fit(model := ready(case), case, epochs=4)
    whole = state.capture(model)
    for epochs, make in ((2, ready), (4, watched)):
        checkpoint = kgen.callbacks.TrainingCheckpoint(tmp_path)
        parts = make(case)
        history = fit(parts, case, epochs=epochs, callbacks=[checkpoint])
    assert history == whole_history
    assert same(state.capture(parts), whole)


@each_case_of_steps
def test_validation_does_not_move_training(case, tmp_path):
    runs = []
    for options in (
        {},
        {
            "validation_data": case.first(50),
            "validation_batch_size": 20,
            "callbacks": [kgen.callbacks.SampleGrid(tmp_path, n=4, gif=False)]
            if len(case.data.shape) > 2
            else [],
        },
    ):
        model = ready(case)
        history = fit(model, case, epochs=2, **options)
        case.images(model, 3)
        captured = state.capture(model)
        evaluation = {n for n, v in state._variables(model).items() if "evaluation" in v.path}
        ignored = ("metrics",)
        runs.append(
            (
                {n: history[n] for n in model.logs},
                {n: a for n, a in captured.items() if n not in evaluation | set(ignored)},
            )
        )
    assert runs[0][0] == runs[1][0]
    kept = [{n: a for n, a in r[1].items() if not n.startswith("metrics")} for r in runs]
    assert same(*kept)


@each_case_of_steps
def test_evaluate_repeats_itself_and_weighs_images(case):
    model = ready(case)
    first = model.evaluate(*case.first(50), batch_size=50, verbose=0)
    assert model.evaluate(*case.first(50), batch_size=50, verbose=0) == first
    before = state.capture(model)
    model.evaluate(*case.first(50), batch_size=20, verbose=0)
    after = state.capture(model)
    moved = {n for n in before if not np.array_equal(before[n], after[n])}
    evaluation = {n for n, v in state._variables(model).items() if "evaluation" in v.path}
    assert {n for n in moved if not n.startswith(("metrics", "random"))} <= evaluation


@each_policy
def test_mixed_precision(case, policy, tmp_path):
    model = compiled(case, dtype=policy)
    history = fit(model, case, epochs=2)
    assert np.isfinite([history[name] for name in model.logs]).all()
    full = ready(case)
    fit(full, case, epochs=2)
    mixed, single = (m.evaluate(*case.first(32), verbose=0) for m in (model, full))
    assert mixed.keys() == single.keys()
    for name in mixed:
        assert mixed[name] == pytest.approx(single[name], rel=0.15, abs=0.3), name
    members = getattr(model.optimizer, "optimizers", [model.optimizer])
    scaled = [isinstance(m, keras.optimizers.LossScaleOptimizer) for m in members]
    assert all(scaled) if policy == "mixed_float16" else not any(scaled)
    assert case.images(model, 2, seed=0).dtype == "float32"
    assert {str(v.dtype) for v in model.trainable_variables} == {"float32"}
    computing = {
        layer.compute_dtype for layer in model._flatten_layers() if layer._trainable_variables
    }
    assert policy.removeprefix("mixed_") in computing
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.dtype_policy.name == policy
    np.testing.assert_allclose(*(case.images(m, 2, seed=0) for m in (loaded, model)), atol=1e-2)
    loaded.run_eagerly = not case.head  # compiling takes longest
    images = case.batch_size * model.minibatches_per_update
    case.fit(loaded, images, epochs=1)
    steps = len(case.data) // case.batch_size if case.has_stages else 1
    assert int(loaded.step) == int(model.step) + steps


@each_case_of_steps
def test_compiled_equals_eager(case):
    histories = []
    for options in ({"run_eagerly": True}, {}):
        model = (compiled if options else ready)(case, **options)
        histories.append(fit(model, case, epochs=1))
    for name in model.logs:
        np.testing.assert_allclose(*[h[name] for h in histories], rtol=2e-3, atol=1e-3)


@each_case_of_steps
def test_nothing_is_traced_twice(case, monkeypatch):
    model, make = watched(case), backend.compiled
    before, generated = UPDATES_TRACED[case.name], []

    def counting_compiled(fn, model):
        def counted(*tensors):
            generated.append(1)
            return fn(*tensors)

        return make(counted, model)

    fit(model, case, epochs=2)
    first = UPDATES_TRACED[case.name]
    model.optimizer.learning_rate = 1e-4
    fit(model, case, epochs=2)
    updates = UPDATES_TRACED[case.name]
    monkeypatch.setattr(backend, "compiled", counting_compiled)
    for n in (1, 3, 200):
        case.images(model, n, seed=0)
    if BACKEND == "torch":  # eager: every step and every chunk of at most 128
        assert updates - before == int(model.step) and len(generated) == 4
    else:
        assert updates == first <= 2  # TensorFlow traces once more to make variables
        assert len(generated) <= 2  # in a chunk of 16 rows, and in those of 128


@each_case
def test_the_same_seed_gives_the_same_images(case):
    model = ready(case)
    if not case.takes_steps:
        fit(model, case)
    eight, sixteen = case.images(model, 8, seed=5), case.images(model, 16, seed=5)
    np.testing.assert_allclose(sixteen[:8], eight, atol=1e-6)
    np.testing.assert_allclose(case.images(model, 16, seed=5, batch_size=3), sixteen, atol=1e-6)
    assert eight.shape == (8, *model.image_shape) and eight.dtype == "float32"
    if len(model.image_shape) == 3:
        assert eight.min() >= -1 and eight.max() <= 1
    if hasattr(model, "translate"):  # it draws nothing
        return
    assert np.abs(model.generate(8, seed=6) - eight).max() > 1e-5
    assert np.abs(model.generate(8) - model.generate(8)).max() > 1e-5
    for n in (0, -1, 2.5):
        with pytest.raises(ValueError, match="positive integer"):
            model.generate(n)


@each_case
def test_wrong_input_is_refused_before_anything_moves(case):
    model = ready(case)
    if not case.takes_steps:
        fit(model, case)
    before = state.capture(model)
    for wrong, words in case.wrong:
        with pytest.raises((TypeError, ValueError), match=words):
            fit(model, case.with_data(wrong))
        with pytest.raises((TypeError, ValueError)):
            model.evaluate(*case.with_data(wrong).first(), verbose=0)
    if case.takes_steps:
        with pytest.raises(ValueError, match="batch_size"):
            model.fit(*case.first(10), batch_size=64, verbose=0)
        with pytest.raises(ValueError, match="players"):
            model.compile({"nobody": "adam"})
    for options in ({"loss": "mse"}, {"metrics": ["mae"]}):
        with pytest.raises(ValueError, match="takes no"):
            model.compile(**options)
    assert same(state.capture(model), before)


@each_case_of_steps
def test_networks_of_another_policy_are_refused(case):
    model = case.make()
    names = [
        n
        for names in model.players.values()
        for n in names
        if len(getattr(model, n).trainable_variables) > 2
    ]
    other = case.make(dtype="mixed_bfloat16", **{names[0]: getattr(model, names[0])})
    with pytest.raises(ValueError, match=r"mixed_bfloat16.*float32"):
        other.compile()


@each_case
def test_export_serves_what_predict_returns(case, tmp_path):
    model = ready(case)
    fit(model, case)
    signature = model.input_signature()
    random = np.random.default_rng(0)
    draws = {"float32": lambda shape: random.uniform(-1, 1, shape)}
    draws["int32"] = lambda shape: random.integers(0, model.condition.num_classes, shape)
    inputs = [
        draws[dtype]((3, *shape)).astype(dtype)
        for shape, dtype in (signature if isinstance(signature, list) else [signature])
    ]
    inputs = inputs if isinstance(signature, list) else inputs[0]
    predicted = model.predict(inputs, verbose=0)
    np.testing.assert_allclose(predicted, ops.convert_to_numpy(model(inputs)), atol=1e-5, rtol=1e-4)
    if BACKEND == "torch":  # Keras exports SavedModels from TensorFlow and JAX
        return
    import tensorflow as tf

    model.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(str(tmp_path / "exported"))
    served = exported.serve(tf.nest.map_structure(tf.constant, inputs))
    np.testing.assert_allclose(served.numpy(), predicted, atol=1e-5, rtol=1e-4)


@each_case
def test_predict_refuses_what_call_does_not_take(case):
    model = ready(case)
    if not case.takes_steps:
        fit(model, case)
    signature = model.input_signature()
    many = isinstance(signature, list)
    shape, _ = signature[0] if many else signature
    for wrong, words in (
        (np.zeros((3, *shape, 2, 2), "float32"), "shape|takes"),
        (np.zeros((0, *shape), "float32"), "empty|takes"),
        (np.full((3, *shape), np.nan, "float32"), "NaN"),
        (np.full((3, *shape), "a"), "must be"),
        (np.zeros(shape, "float32"), "shape|takes"),
        ([np.zeros((3, *shape), "float32")] * 5, "takes .* got a list of 5"),
        ({"x": np.zeros((3, *shape), "float32")}, "takes"),
    ):
        if many and isinstance(wrong, np.ndarray):
            wrong = [wrong, *(np.zeros((3, *shape), dtype) for shape, dtype in signature[1:])]
        with pytest.raises((TypeError, ValueError), match=rf"^x\b.*({words})"):
            model.predict(wrong)
        if not isinstance(wrong, dict):
            with pytest.raises((TypeError, ValueError), match=rf"^The first batch.*({words})"):
                model.predict((wrong,) for _ in range(2))


@pytest.mark.parametrize("case", [c for c in heads if c.takes_steps], ids=lambda c: c.name)
def test_xla(case, tmp_path):
    if BACKEND == "torch":  # where steps are eager unless torch.compile is asked for
        assert not compiled(case).jit_compile
        return
    fit(model := ready(case, jit_compile=True), case, epochs=2)
    whole = state.capture(model)
    for epochs, make in ((1, ready), (2, compiled)):
        parts = make(case, jit_compile=True)
        checkpoint = kgen.callbacks.TrainingCheckpoint(tmp_path)
        history = fit(parts, case, epochs=epochs, callbacks=[checkpoint])
    assert same(state.capture(parts), whole)
    assert np.isfinite([history[name] for name in parts.logs]).all()


@pytest.mark.full
@pytest.mark.parametrize(
    "case",
    [c for c in heads if c.takes_steps and BACKEND == "torch"],
    ids=lambda c: c.name,
)
def test_torch_compile(case):
    """It gives the losses of eager steps; it cannot differentiate twice, as a penalty needs."""
    model = compiled(case, jit_compile=True)
    if case.name == "toy":
        with pytest.raises(RuntimeError, match="double backward"):
            fit(model, case)
        return
    history, eager = fit(model, case, epochs=2), fit(compiled(case), case, epochs=2)
    for name in model.logs:
        np.testing.assert_allclose(history[name], eager[name], rtol=1e-4)
