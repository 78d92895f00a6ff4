r"""The convolutional autoencoder of the lecture: the same latent width, far fewer weights.

    python -m recipes.convolutional_autoencoder
    python -m recipes.convolutional_autoencoder --dataset fashion_mnist --epochs 20 --batch-size 128

Trains the convolutional autoencoder, and the fully connected one beside it. Writes test images with
both reconstructions, both loss curves, and the convolutional model.
"""

import math
from pathlib import Path

import kgen
from kgen import plots
from recipes import _command, _run

DEFAULTS = {
    "output": Path("outputs/convolutional_autoencoder"),
    "image_size": 28,
    "epochs": 15,
    "batch_size": 64,
    "latent_dim": 16,
    "reconstruction": "mse",
    "learning_rate": 2e-3,
}


def draw(run, models, histories, test):
    """Write the figures of the lecture."""
    images = (test.of_each_class().images() if test.num_classes else test.images())[:10]
    rows = [images, *[model.reconstruct(images) for model in models.values()]]
    names = [
        plots.say(f"{name}, {{n}} weights", n=plots.in_short(weights(model)))
        for name, model in models.items()
    ]
    panel = plots.Images.with_errors(rows, ["original", *names])
    model = models["convolutional"]
    share = weights(model) / weights(models["dense"])
    title = "Convolutions do with {share:.0%} of the weights; below, the squared error of a pixel"
    _run.slide(run, "reconstructions", panel, title=title, model=model, share=share)
    curves = {
        f"val_{name}" if key.startswith("val_") else name: values
        for name, history in histories.items()
        for key, values in history.history.items()
    }
    _run.draw_losses(run, curves, math.prod(model.image_shape))


def weights(model):
    """Number of weights of encoder and decoder."""
    return model.encoder.count_params() + model.decoder.count_params()


@_command.recipe(__doc__, **DEFAULTS)
def main(run):
    """Train both, draw, measure; returns the convolutional model."""
    images, test = _run.load(run)
    arguments = {name: vars(run)[name] for name in ("latent_dim", "reconstruction")}
    kgen.Autoencoder(images.image_shape, network="convolutional")  # refuses small ones now
    models, histories, results = {}, {}, {}
    for network in ("dense", "convolutional"):
        arguments["network"] = network
        name = f"{network}_autoencoder"
        model, history = _run.train(run, kgen.Autoencoder, arguments, images, test, name)
        models[network] = model
        histories[network] = history
        results[f"test loss, {network}"] = model.evaluate(test, verbose=0)["loss"]
        results[f"weights, {network}"] = weights(model)
    draw(run, models, histories, test)
    what = f"Convolutional autoencoder: {run.latent_dim} latents, {run.reconstruction} loss, "
    samples = model.preview(10, run.seed, test.images(10))
    _run.report(run, model, what + f"{run.epochs} epochs.", results, samples)
    return model


if __name__ == "__main__":
    main()
