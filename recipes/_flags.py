"""The flags of the recipes: what each takes, says and refuses."""

import math
from argparse import ArgumentTypeError
from pathlib import Path

from kgen import command_line, zoo
from kgen.command_line import DEBUG, IMAGES, from_zero, number, positive, seed
from kgen.layers.augmentation import POLICIES, DifferentiableAugmentation
from kgen.layers.likelihoods import LIKELIHOODS
from kgen.losses import ADVERSARIAL_LOSSES
from kgen.networks.autoencoders import NETWORKS
from kgen.plots.texts import LANGUAGES

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


def samples(text):
    """How many samples are measured: as many as the measures need."""
    return number(int, text, lambda n: n >= 20, "a whole number, 20 or more")


def above_zero(text):
    """A finite number above 0."""
    return number(float, text, lambda x: 0 < x < math.inf, "a number above 0")


def folder(text):
    """A path that is not empty."""
    if not text:
        raise ArgumentTypeError("must name a folder; got ''")
    return Path(text)


def model_file(text):
    """The path of a .keras file that is there."""
    if not text.endswith(".keras") or not Path(text).is_file():
        raise ArgumentTypeError(f"must be a .keras file that is there; got {text!r}")
    return Path(text)


def model(text):
    """A model: its name in the zoo, or the path of a .keras file that is there."""
    if text.endswith(".keras"):
        return model_file(text)
    if text not in zoo.list():
        expected = "a .keras file, or a name of the zoo"
        raise ArgumentTypeError(f"must be {expected}, {', '.join(zoo.list())}; got {text!r}")
    return text


def policies(text):
    """Differentiable augmentations by name, with commas between them; "" for none."""
    try:
        DifferentiableAugmentation(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None
    return text


def one_of(choices, help, **options):
    """Options of a flag that takes one of some names."""
    return {"choices": list(choices), "help": help, **options}


IMAGES = IMAGES | {
    "kind": one_of(["classes", "flat"], "what a folder's folders are, where it cannot be seen"),
}
FLAGS = {  # that recipes share, in the order of --help
    "dataset": {
        "default": "digits",
        "metavar": "NAME",
        "help": "digits, faces, any set of TensorFlow Datasets, or a folder of your own",
    },
    **IMAGES,
    "limit": {"type": positive, "metavar": "N", "help": "use the first N images only"},
    "epochs": {"type": positive, "metavar": "N", "help": "passes over the training images"},
    "batch_size": {"type": positive, "default": 128, "metavar": "N", "help": "images in a batch"},
    "seed": {
        "type": seed,
        "default": 0,
        "metavar": "N",
        "help": "of weights, noise, and the order of images",
    },
    "precision": one_of(
        ["auto", *PRECISIONS, "fastest"],
        "auto: float32 on CPUs, mixed_bfloat16 on GPUs and TPUs; fastest: tried out before the run",
        default="auto",
    ),
    "jit": one_of(
        ["auto", "on", "off"],
        "XLA (torch.compile on torch); auto: as Keras decides, on JAX and on accelerators",
        default="auto",
    ),
    "output": {"type": folder, "metavar": "FOLDER", "help": "for figures, models, checkpoints"},
    "overwrite": {"action": "store_true", "help": "replace the run that the output folder holds"},
    "resume": {"action": "store_true", "help": "continue the run that the output folder holds"},
    "format": one_of(["png", "svg", "pdf"], "of figures", default="png"),
    "language": one_of(
        LANGUAGES, "of figures: English, or the French of the lecture", default="en"
    ),
    "publish": {
        "type": Path("saved_models").joinpath,
        "metavar": "NAME",
        "help": "keep the model in saved_models/ under this name (or path)",
    },
    "debug": DEBUG,
}
OWN = {  # of which a recipe has some
    "latent_dim": {"metavar": "N", "help": "width of the latent space"},
    "reconstruction": one_of(LIKELIHOODS, "loss of reconstructions"),
    "network": one_of(NETWORKS, "networks of the autoencoders"),
    "kl_weight": {"type": from_zero, "metavar": "X", "help": "weight of the KL divergence"},
    "learning_rate": {"metavar": "X", "help": "learning rate of Adam"},
    "seeds": {"metavar": "N", "help": "how many seeds, from --seed on"},
    "samples": {"type": samples, "metavar": "N", "help": "how many samples are measured"},
    "components": {"metavar": "N", "help": "principal axes of a Gaussian"},
    "loss": one_of(ADVERSARIAL_LOSSES, "adversarial loss; minimax: as Algorithm 1 is printed"),
    "discriminator_steps": {"metavar": "K", "help": "of the discriminator, for one of the other"},
    "augment": {
        "type": policies,
        "metavar": "NAMES",
        "help": f'changes of what the discriminator sees: {", ".join(POLICIES)}; "" for none',
    },
    "updates": {"metavar": "N", "help": "updates of the generator"},
    "model": {"type": model, "metavar": "MODEL", "help": "a name of the zoo, or a .keras file"},
}
TYPES = {int: positive, float: above_zero}


class Parser(command_line.Parser):
    """A parser of the flags of a recipe, whose errors take one line.

    Args:
        name: of the recipe.
        description: what `--help` says first.
        without: names of common flags that the recipe does not offer; with `image_size` all flags
            of how images are read.
        own: by flag, its default, or a dictionary of options of `add_argument`; both on top of
            what `FLAGS` or `OWN` have. Numbers have to be above 0 if nothing else is said.
    """

    def __init__(self, name, description, without=(), **own):
        usage = f"python -m {name} [FLAGS]"
        super().__init__(prog=name, usage=usage, description=description)
        without = {*without, *(IMAGES if "image_size" in without else ())}
        self.offered = {*own, *FLAGS} - without
        off = {flag: False for flag, o in FLAGS.items() if o.get("action") == "store_true"}
        self.set_defaults(**{flag: options.get("default") for flag, options in FLAGS.items()} | off)
        groups = {
            "of this recipe": [flag for flag in own if flag not in FLAGS],
            "of all recipes": [flag for flag in FLAGS if flag not in without],
        }
        for title, flags in groups.items():
            group = self.add_argument_group(title) if flags else None
            for flag in flags:
                given = own.get(flag, {})
                given = given if isinstance(given, dict) else {"default": given}
                options = {**FLAGS.get(flag, {}), **OWN.get(flag, {}), **given}
                default = options.get("default")
                if "choices" not in options and type(default) in TYPES:
                    options = {"type": TYPES[type(default)], "metavar": "N", **options}
                if default not in (None, ""):
                    options["help"] += " (default: %(default)s)"
                group.add_argument("--" + flag.replace("_", "-"), **options)
