"""`Stage`: a run in parts, each with data, variables, optimizers and a compiled step of its own."""

import bisect
import dataclasses
import itertools

from keras import ops

from kgen.arguments import positive, whole
from kgen.conditions import Target
from kgen.data.augmentation import check_augmentation
from kgen.data.pixels import height_and_width
from kgen.engine import backend, feed


@dataclasses.dataclass(frozen=True)
class Stage:
    """Epochs of one run that share a compiled step.

    Args:
        epochs: how many.
        steps_per_epoch: updates in an epoch; None: a pass over the data.
        batch_size: the minibatch size m of the papers; None: that of the data, as `fit` has it.
        image_size: what images are resized to, an integer for squares or `(height, width)`; None:
            they stay as they come.
        name: what the progress bar and log files call it; by default "stage 2 of 3".

    Raises:
        TypeError, ValueError: if they are none of these.
    """

    epochs: int
    steps_per_epoch: int | None = None
    batch_size: int | None = None
    image_size: int | tuple | None = None
    name: str | None = None

    def __post_init__(self):
        positive(self.epochs, "epochs")
        for name in ("steps_per_epoch", "batch_size"):
            if (value := getattr(self, name)) is not None:
                positive(value, name)
        if self.image_size is not None:
            height_and_width(self.image_size, "image_size")
        if not isinstance(self.name, str | None):
            raise TypeError(f"name must be a string; got {self.name!r}.")

    def get_config(self):
        """What training depends on: all but the name."""
        config = dataclasses.asdict(self)
        del config["name"]
        return config


def stages_of(model):
    """The stages of a model as a tuple; None where a run is one.

    Raises:
        TypeError: if `stages()` returns anything else.
    """
    stages = model.stages()
    if stages is None:
        return None
    known = isinstance(stages, list | tuple) and all(isinstance(s, Stage) for s in stages)
    if not (known and stages):
        raise TypeError(
            f"{type(model).__name__}.stages() returns a list of kgen.engine.Stage, one or more, or "
            f"None; got {stages!r}."
        )
    return tuple(stages)


def shape_in(stage, image_shape):
    """The shape of one image as a stage sees it."""
    if stage.image_size is None:
        return image_shape
    return (*height_and_width(stage.image_size, "image_size"), *image_shape[2:])


class Stages:
    """The stages of a model's run, and the one that it is in.

    Attributes:
        stages_are_set_by: what errors call that decides on them.
    """

    stages_are_set_by = "stages()"

    def stages(self):
        """What one run consists of: a list of `kgen.engine.Stage`; None: one, as `fit` says.

        A pure function of the configuration: runs find their place by it, files their variables.
        """

    @property
    def stage(self):
        """Index of the stage that the model is in; 0 for a model without."""
        return self.__dict__["_stage"]

    @property
    def stage_image_shape(self):
        """Shape of one image in batches of `update` and `measure`: `image_shape` at its size."""
        stages = stages_of(self)
        return shape_in(stages[self.stage], self.image_shape) if stages else self.image_shape

    def optimizers_of_stage(self, optimizers):
        """What the stage's optimizers are; by default as they were compiled.

        Args:
            optimizers: dictionary from player to optimizer, as they were compiled, before a first
                step; to be changed (`optimizers["generator"].learning_rate = 1e-4`) or replaced.

        Returns:
            Such a dictionary.
        """
        return optimizers

    def enter(self, number):
        """Begin a stage: `fit` does, wherever one begins.

        Optimizers begin anew, as they were compiled, for the variables of the stage; what was
        compiled is dropped. Weights, averages, counters and seeds stay.

        Args:
            number: index of the stage.

        Raises:
            ValueError: if there is no such stage.
        """
        stages, number = stages_of(self), whole(number, "number")
        if number >= len(stages or ()):
            raise ValueError(
                f"{type(self).__name__} has no stage {number}: it has {len(stages or ())}, counted "
                "from 0."
            )
        self.__dict__["_stage"] = number
        self._inference.clear()
        if self.compiled:
            with backend.making_variables(self):
                self._prepare(self._as_new(), **self._as_compiled[1])

    def _as_new(self):
        """The optimizers as they were compiled, each before its first step, by player."""
        return {player: make() for player, make in self._as_compiled[0].items()}

    def _plan(self, x, y, shuffle, epochs, **arguments):
        """The `Plan` of `fit` with these data; None for a model without stages."""
        stages = stages_of(self)
        if stages is None:
            return None
        _refuse_arguments(self, stages, **arguments)
        dataset = feed.training_dataset(self, x, y, shuffle)
        if dataset is None:
            raise TypeError(feed.in_batches_already(self, x))
        return Plan(self, stages, dataset, epochs)

    def _fit_stages(self, run, validation_data, epoch, options):
        """Keras's `fit` for one stage after the other, from an epoch on."""
        if options["verbose"] and epoch == run.plan.epochs:
            print(
                f"Nothing is left to train: {epoch} epochs, all of its stages, lie behind this "
                f"{type(self).__name__}."
            )
        spans = [*run.plan.spans(epoch, run.params["epochs"])]
        for number, *_ in spans[:1]:
            run.tell_stage(number)
        self.stop_training = False
        run.on_train_begin()  # in the stage of a checkpoint, whose state it puts back once more
        for number, first, last in spans:
            if self.stop_training:
                break
            if number != self.stage:
                self.enter(number)
            source = run.plan.source(number)
            run.begin_stage(number, source)
            validation = feed.at_size_of_stage(self, validation_data)
            self._fit_epochs(run, source, validation, first, last, options)
            run.end_stage()


class Plan:
    """What a run of a model with stages goes through, with the data that came.

    Positions are the epoch, numbered through all stages, and the batch in it. Where a model stands
    follows from its updates alone, exactly: an epoch that was cut short is taken up in its midst.

    Args:
        model: the `GenerativeModel`.
        stages: its stages.
        dataset: an `ImageDataset`, images as they came.
        wanted: after how many epochs the run stops; None: at the end of the last stage.

    Attributes:
        epochs: of all stages.
        position: where the model stands.
        steps, batch_sizes: of each stage: updates in an epoch, images in an update.

    Raises:
        ValueError: for data of which a stage cannot have such batches, or images at its size.
    """

    def __init__(self, model, stages, dataset, wanted=None):
        self.model, self.stages, self.dataset, self.wanted = model, stages, dataset, wanted
        views = [self._view(number) for number in range(len(stages))]
        self.steps = [view.batches_per_epoch for view in views]
        self.batch_sizes = [view.batch_size for view in views]
        epochs = [stage.epochs for stage in stages]
        updates = [n * steps for n, steps in zip(epochs, self.steps, strict=True)]
        images = [n * size for n, size in zip(updates, self.batch_sizes, strict=True)]
        # Before each stage; the last is the end.
        self._epochs, self._updates, self._images = (
            [*itertools.accumulate(counts, initial=0)] for counts in (epochs, updates, images)
        )
        self.epochs = self._epochs[-1]
        self.position = self.place(int(ops.convert_to_numpy(model.step)))

    def _view(self, number):
        """The data in the batches of a stage, images as they came; refuses what it cannot be."""
        stage, dataset, model = self.stages[number], self.dataset, self.model
        try:
            if stage.image_size is not None:
                if len(model.image_shape) != 3:
                    raise ValueError(f"points of shape {model.image_shape} have no size to change.")
                if isinstance(model.condition, Target):
                    raise ValueError("the size of images that have a second one stays as it is.")
                check_augmentation(dataset.augment, shape_in(stage, model.image_shape))
            return feed.whole_batches(model, dataset, stage.batch_size, stage.steps_per_epoch)
        except ValueError as error:
            raise ValueError(
                f"{type(model).__name__}.stages()[{number}] is {stage}: {error}"
            ) from error

    def name(self, number):
        """Of a stage, for people."""
        return self.stages[number].name or f"stage {number + 1} of {len(self.stages)}"

    def params(self, number):
        """What callbacks find in their `params` in a stage, beside what Keras says."""
        left = self._images[-1] - self._images[number + 1]
        batch_size = self.batch_sizes[number]
        return {"stage": self.name(number), "batch_size": batch_size, "images_left": left}

    def source(self, number):
        """The data of a stage, at its size."""
        view, size = self._view(number), self.stages[number].image_size
        return view if size is None else view.at_resolution(size)

    def passes(self, number):
        """What is added to an epoch of a stage to have a pass over its data.

        Each stage goes on with passes over the data, so that a short one does not see the images
        again that the one before it saw.
        """
        epoch_size = self.steps[number] * self.batch_sizes[number]
        return -(-self._images[number] // epoch_size) - self._epochs[number]

    def last(self, first):
        """The epoch before which a run ends that began with this one."""
        return self.epochs if self.wanted is None else min(first + self.wanted, self.epochs)

    def spans(self, first, last):
        """Yield stages as `(number, first, last)`, those of the epochs from `first` to `last`."""
        for number, (begin, end) in enumerate(itertools.pairwise(self._epochs)):
            if max(first, begin) < min(last, end):
                yield number, max(first, begin), min(last, end)

    def place(self, updates):
        """The position `(epoch, batch)` of a model that has so many updates behind it."""
        if updates >= self._updates[-1]:
            return self.epochs, 0
        number = bisect.bisect(self._updates, updates) - 1
        epoch, batch = divmod(updates - self._updates[number], self.steps[number])
        return self._epochs[number] + epoch, batch

    def updates(self, epoch, batch):
        """The updates before a position."""
        number = bisect.bisect(self._epochs[:-1], epoch) - 1
        return self._updates[number] + (epoch - self._epochs[number]) * self.steps[number] + batch

    def stage_after(self, updates):
        """The stage that a model is in after so many updates: at the end of one, that one."""
        return bisect.bisect_left(self._updates[1:-1], updates)

    def check_validation(self, source):
        """Raise a `TypeError` for data that some stage cannot see at its size."""
        sized = any(stage.image_size is not None for stage in self.stages)
        if sized and not isinstance(source, feed.ImageDataset):
            message = feed.in_batches_already(self.model, source.data)
            raise TypeError(f"validation_data: {message}")

    def says(self, number):
        """A line on a stage that begins."""
        stage, steps = self.stages[number], self.steps[number]
        first, last = self._epochs[number : number + 2]
        which = f"stage {number + 1} of {len(self.stages)}"
        shape = shape_in(stage, self.model.image_shape)
        return (
            (f"{stage.name}, {which}: " if stage.name else f"{which[0].upper()}{which[1:]}: ")
            + (f"epochs {first + 1} to {last}" if stage.epochs > 1 else f"epoch {last}")
            + f" of {steps} update{'s' if steps > 1 else ''}, with {self.batch_sizes[number]} "
            + f"images of {' x '.join(map(str, shape))} in each."
            + (f" {left_out}" if (left_out := feed.left_out(self._view(number))) else "")
        )


def speed_of_stage(params, updates, seconds):
    """A line on a stage that ends, of the `params` of callbacks."""
    images, left = updates * params["batch_size"], params["images_left"]
    said = (
        f"{params['stage']}: {images:,} images in {seconds:.0f} s, {images / seconds:,.0f} a second"
    )
    return f"{said}; {left:,} images are left." if left else f"{said}."


def _refuse_arguments(model, stages, **given):
    """Raise a `ValueError` for arguments of `fit` that stages decide on; names what sets them."""
    for name, value in given.items():
        if value in (None, 0):
            continue
        said = [getattr(stage, name, None) for stage in stages]
        raise ValueError(
            f"fit got {name}={value!r}, which {type(model).__name__} decides on: "
            + (
                f"{model.stages_are_set_by} sets it to {said}, one after the other. Leave it out, "
                "or change that."
                if name != "initial_epoch"
                else "where it goes on follows from the updates behind it (model.step). Leave it "
                "out; epochs= says how many epochs this fit takes."
            )
        )
