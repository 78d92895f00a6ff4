"""The house's rules of imports: one way, in no circle, nothing heavy at the door."""

import ast
import graphlib
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
GROUND = {"arguments", "arrays", "files", "progress", "settings"}  # what every room may import
ROOMS = {  # room -> the others that its files may import
    "arguments": set(),
    "arrays": set(),
    "files": set(),
    "progress": set(),
    "bayes": set(),
    "quiet": set(),
    "schedules": set(),
    "settings": set(),
    "noise": set(),
    "samplers": {"noise"},
    "layers": set(),
    "data": set(),
    "command_line": {"data"},
    "networks": {"layers"},
    "plots": {"data", "linear_algebra"},
    "conditions": {"data"},
    "linear_algebra": set(),
    "engine": {"data", "schedules", "conditions"},
    "losses": {"engine", "layers", "schedules", "noise"},
    "metrics": {"data", "engine", "linear_algebra"},
    "distributions": {"engine", "linear_algebra"},
    "latent": {"engine", "metrics"},
    "models": {
        "networks",
        "engine",
        "losses",
        "schedules",
        "layers",
        "data",
        "conditions",
        "distributions",
        "linear_algebra",
        "noise",
        "samplers",
    },
    "callbacks": {"plots", "engine", "data", "metrics"},
    "zoo": {"engine", "data", "plots"},
}


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    module_of(path): path
    for top in ("kgen", "recipes", "benchmarks")
    for path in (ROOT / top).rglob("*.py")
}


def imports(code, module, package=False):
    """The modules that a file's code imports, anywhere in it, each by its full name."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: len(module.split(".")) - node.level + package]
            origin = ".".join([*(above if node.level else []), *filter(None, [node.module])])
            for alias in node.names:
                whole = f"{origin}.{alias.name}"
                yield whole if whole in MODULES else origin


def imports_of(module):
    path = MODULES[module]
    return set(imports(path.read_text(), module, path.name == "__init__.py"))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("import kgen.zoo", ["kgen.zoo"]),
        ("import kgen.zoo as z, numpy", ["kgen.zoo", "numpy"]),
        ("from kgen import zoo, plots as p", ["kgen.zoo", "kgen.plots"]),
        ("from kgen import GAN", ["kgen"]),
        ("from kgen.plots import style, grid", ["kgen.plots.style", "kgen.plots"]),
        ("from kgen.plots.style import save", ["kgen.plots.style"]),
        ("from . import dataset, load", ["kgen.data.dataset", "kgen.data"]),
        ("from .dataset import resize", ["kgen.data.dataset"]),
        ("from .. import zoo", ["kgen.zoo"]),
        ("from ..plots.style import save", ["kgen.plots.style"]),
        ("def f():\n    from kgen import zoo", ["kgen.zoo"]),
    ],
)
def test_every_form_of_import_is_seen(line, expected):
    assert list(imports(line, "kgen.data.ranges")) == expected
    assert list(imports(line, "kgen.data", package=True)) == expected


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("kgen.")])
def test_imports_run_one_way(module):
    path, room = MODULES[module], module.split(".")[1]
    for name in imports_of(module):
        top, *below = name.split(".")
        assert top not in ("recipes", "benchmarks", "tests"), name
        if top == "kgen" and path.name != "__main__.py":  # a command is a front end
            assert below and below[0] in {room} | GROUND | ROOMS[room], name
        if top in ("tensorflow", "jax", "torch"):
            own = path.name in ("on_tensorflow.py", "on_jax.py", "on_torch.py")
            # Summaries; tf.data, and TensorFlow's tapes.
            late = room == "callbacks" or path.name in ("feed.py", "convolutions.py")
            assert own or late, name


def test_nothing_is_imported_in_a_circle():
    """Neither rooms nor files, late imports included: else what is imported first would matter."""
    graphlib.TopologicalSorter(ROOMS).prepare()  # a CycleError names the circle
    graphlib.TopologicalSorter({name: imports_of(name) for name in MODULES}).prepare()


def when_loaded(node):
    """What of a file runs when it is imported: all but the bodies of functions."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield child
            yield from when_loaded(child)


def test_importing_kgen_is_cheap():
    """Keras imports some of these where it finds them; kgen imports them when they are used."""
    heavy = {"matplotlib", "sklearn", "tensorflow_datasets"}
    for module, path in MODULES.items():
        if module.split(".")[0] == "kgen":
            for node in when_loaded(ast.parse(path.read_text())):
                if isinstance(node, (ast.Import, ast.ImportFrom)):
                    names = imports(ast.unparse(node), module)
                    assert not heavy & {name.split(".")[0] for name in names}, path
