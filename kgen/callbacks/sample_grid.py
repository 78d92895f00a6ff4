"""`SampleGrid`: the same images after every epoch, as pictures, an animation, summaries."""

import importlib.util
import re
import time
import warnings
from pathlib import Path

import keras
from PIL import Image

from kgen import plots
from kgen.arguments import positive


class SampleGrid(keras.callbacks.Callback):
    """Shows how the images of fixed latents, or of fixed inputs, change during training.

    After an epoch it writes `preview(n, seed=seed)` of the model, by default what it generates, as
    `epoch-0001.png`, ... (numbered from 1), and when training ends all of them as `samples.gif`. A
    run that is resumed goes on in the same folder: the animation starts with the epochs before it.
    Pictures that a former, longer run left there are not part of it. The animation takes at most
    about 1 MiB: of many or large pictures, some evenly spaced ones, if need be smaller and in fewer
    colours (see `kgen.plots.animation`, which makes a larger one of the same files).

    Training is left alone: no random state is drawn from, and once training runs, a picture that
    cannot be written is a warning.

    Args:
        folder: where the files go; made if needed.
        n: number of images.
        every: epochs between two pictures.
        seed: of the latents.
        gif: whether to write the animation.
        inputs: of a model that makes images of images, what it is shown: images `(N, H, W, C)`, or
            a tuple of them and what goes with them, such as their targets; by default the first of
            the validation data.
        tensorboard: None, or a log folder. Its subfolder `samples` then gets each picture as an
            image summary, at the step in the picture's name. This imports TensorFlow, on any
            backend.

    Raises:
        ValueError: if `n` or `every` is not a positive integer.
        TypeError, ValueError: from `fit` before training, if the model has neither `preview`
            nor `generate`, or needs inputs and has none, or what it makes are no images.
        OSError: from `fit` before training, if the folder cannot be written.

    Example:
    ```python
    model.fit(images, epochs=20, callbacks=[kgen.callbacks.SampleGrid("run/samples")])
    ```
    """

    def __init__(self, folder, n=36, every=1, seed=0, gif=True, tensorboard=None, inputs=None):
        super().__init__()
        self.folder = Path(folder).absolute()
        self.n, self.every = positive(n, "n"), positive(every, "every")
        self.seed, self.gif, self.inputs = seed, gif, inputs
        logs = tensorboard
        self.tensorboard = None if logs is None else Path(logs).absolute() / "samples"
        self._pictures, self._events = None, None

    def on_train_begin(self, logs=None):
        """Refuse now what would fail after the first epoch."""
        if not any(callable(getattr(self.model, n, None)) for n in ("preview", "generate")):
            raise TypeError(f"SampleGrid needs a model with generate; got {self.model!r}.")
        if self.tensorboard is not None and importlib.util.find_spec("tensorflow") is None:
            raise ImportError(
                "SampleGrid writes summaries by tensorflow, which cannot be imported: pip install "
                "tensorflow, or leave tensorboard= out."
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            rows = self._preview()
        except NotImplementedError as error:
            raise TypeError(f"SampleGrid needs a model with generate: {error}") from error
        trial = self.folder / "trial.png"
        plots.preview(rows, path=trial)
        trial.unlink()
        self._pictures = None

    def on_epoch_end(self, epoch, logs=None):
        """Write the picture of this epoch."""
        number = epoch + 1
        if self._pictures is None:
            self._pictures = _pictures_before(self.folder, number)
        if number % self.every:
            return
        rows = self._preview()
        path = self.folder / f"epoch-{number:04d}.png"
        try:
            plots.preview(rows, title=plots.say("epoch {n}", n=number), path=path)
            self._pictures.append(path)
            if self.tensorboard is not None:
                self._write_summary(path, number)
        except OSError as error:
            warnings.warn(f"SampleGrid, epoch {number}: {error}", stacklevel=2)

    def on_train_end(self, logs=None):
        """Write the animation."""
        if self._events is not None:
            self._events.close()
            self._events = None
        if not (self.gif and self._pictures):
            return
        # Slow enough for a short run to be seen, fast enough for a long one to be watched.
        seconds = min(0.5, max(0.05, 20 / len(self._pictures)))
        try:
            path = self.folder / "samples.gif"
            plots.animation(self._pictures, path, seconds, max_bytes=2**20)
        except OSError as error:
            warnings.warn(f"SampleGrid: {error}", stacklevel=2)

    def _preview(self):
        if not hasattr(self.model, "preview"):
            return {"generated": self.model.generate(self.n, seed=self.seed)}
        inputs = self.inputs
        if inputs is None:
            inputs = self.model.validation_examples(self.n)
        return self.model.preview(self.n, seed=self.seed, inputs=inputs)

    def _write_summary(self, path, step):
        import tensorflow as tf

        # The file is written as records: a tf.summary writer would start TensorFlow's devices,
        # which takes the GPU's memory away from another backend, and its images need TensorBoard.
        if self._events is None:
            self.tensorboard.mkdir(parents=True, exist_ok=True)
            name = self.tensorboard / f"events.out.tfevents.{time.time_ns()}.kgen"
            self._events = tf.io.TFRecordWriter(str(name))
            version = tf.compat.v1.Event(wall_time=time.time(), file_version="brain.Event:2")
            self._events.write(version.SerializeToString())
        with Image.open(path) as picture:
            width, height = picture.size
        image = tf.compat.v1.Summary.Image(
            width=width, height=height, colorspace=4, encoded_image_string=path.read_bytes()
        )
        summary = tf.compat.v1.Summary(value=[{"tag": "samples", "image": image}])
        event = tf.compat.v1.Event(wall_time=time.time(), step=step, summary=summary)
        self._events.write(event.SerializeToString())
        self._events.flush()


def _pictures_before(folder, number):
    """The pictures of the epochs before this one, in their order."""
    found = {}
    for path in folder.glob("epoch-*.png"):
        match = re.fullmatch(r"epoch-(\d{4,})\.png", path.name)
        if match and path.is_file():
            found[int(match[1])] = path
    return [found[i] for i in sorted(found) if i < number]
