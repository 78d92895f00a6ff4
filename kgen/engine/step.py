"""What a model does with one batch: of `fit`, of `evaluate`, of `predict`."""

import keras
import numpy as np
from keras import ops, tree

from kgen.data.ranges import to_model_range, with_channel
from kgen.engine.context import EVALUATION, TRAINING, running


class Step:
    """One batch around the author's `update` and `measure`; `backend.Steps` calls it."""

    def prepare(self, data):
        """A batch as the algorithm sees it, from what Keras hands to a step."""
        images, values, _ = keras.utils.unpack_x_y_sample_weight(data)
        return self.condition.batch(self._as_images(images, self.stage_image_shape), values)

    def _as_images(self, images, shape):
        """Images of a batch as every algorithm sees them, in the model's range."""
        images = ops.convert_to_tensor(images)  # an eager step on JAX gets arrays
        if _rank(images) is None:  # TensorFlow's, after several kinds of data
            images = ops.reshape(images, (-1, *shape))
        return to_model_range(with_channel(images, shape or ()))

    def run_update(self, data):
        """One step of `fit`: update, count, average (called by the backend's `train_step`)."""
        with running(phase=TRAINING):
            batch = self.prepare(data)
            results = self.update(batch)
            if set(results) != set(self.logs):
                raise ValueError(
                    f"{type(self).__name__}.update returned the losses {sorted(results)}; `logs` "
                    f"names {sorted(self.logs)}."
                )
            self.step.assign(self.step + 1)
            return self._running_means(results, batch)

    def run_measure(self, data):
        """One step of `evaluate` (called by the backend's `test_step`)."""
        with running(phase=EVALUATION):
            batch = self.prepare(data)
            results = self.measure(batch)
            if unknown := sorted(set(results) - set(self.logs)):
                raise ValueError(
                    f"{type(self).__name__}.measure returned {unknown}, which `logs` "
                    f"{list(self.logs)} do not name."
                )
            return self._running_means(results, batch)

    def predict_step(self, *args):
        """Keras's step of `predict`: `call` on inputs in the model's range."""
        *state, data = args
        inputs = tree.flatten(keras.utils.unpack_x_y_sample_weight(data)[0])
        for index, (shape, _) in enumerate(self._taken_by_call()):
            if self.call_takes_images and shape == self.image_shape:
                inputs[index] = self._as_images(inputs[index], self.image_shape)
        inputs = inputs if isinstance(self.input_signature(), list) else inputs[0]
        with running(phase=EVALUATION):
            return super().predict_step(*state, (inputs,))

    def _running_means(self, results, batch):
        count = ops.cast(ops.shape(tree.flatten(batch)[0])[0], "float32")
        means = {mean.name: mean for mean in self._means}
        for name, value in results.items():  # as `update_state`, in a tenth of its operations
            value = ops.stop_gradient(ops.cast(value, "float32"))
            value = ops.mean(value) if len(value.shape) else value
            means[name].total.assign_add(value * count)
            means[name].count.assign_add(count)
        return {name: means[name].result() for name in self.logs if name in results}

    def _note_non_finite(self, player, loss):
        first = ops.convert_to_tensor(self.first_non_finite_step)
        mine = np.arange(len(self.players)) == list(self.players).index(player)
        now = ops.logical_and(mine, ops.logical_not(ops.isfinite(loss)))
        step = ops.convert_to_tensor(self.step)
        first = ops.where(ops.logical_and(now, first < 0), step, first)
        self.first_non_finite_step.assign(first)

    @property
    def metrics(self):
        """The running means, one for each name in `logs`."""
        return list(self._means)


def _rank(tensor):
    """Number of axes; None where TensorFlow does not know it."""
    return None if getattr(tensor.shape, "rank", 0) is None else len(tensor.shape)
