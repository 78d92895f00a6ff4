"""Models of one weight each, whose steps are computed by hand."""

import keras
from keras import layers, ops

import kgen


def one_weight(initial=0.0):
    """A network with one weight: `x -> w * x`."""
    network = keras.Sequential(
        [
            keras.Input((1,)),
            layers.Dense(
                1, use_bias=False, kernel_initializer=keras.initializers.Constant(initial)
            ),
        ]
    )
    return network


def weight(network):
    return float(ops.convert_to_numpy(network.weights[0])[0, 0])


@keras.saving.register_keras_serializable("kgen_tests")
class Means(kgen.GenerativeModel):
    """Two players of one weight each: one follows each minibatch's mean, one the last."""

    players = {"first": ["a"], "second": ["b"]}
    logs = ("first_loss", "second_loss")

    def __init__(self, k=3, **kwargs):
        kwargs = {"a": one_weight(), "b": one_weight()} | kwargs
        super().__init__((1,), **kwargs)
        self.minibatches_per_update = k

    def distance(self, network, x, training):
        w = ops.sum(network(ops.ones((1, 1)), training=training))
        return ops.square(w - ops.mean(x))

    def update(self, batch):
        for part in self.minibatches(batch):
            loss = self.minimize(
                "first", lambda x, training: self.distance(self.a, x, training), part
            )
        other = self.minimize(
            "second",
            lambda x, training: (self.distance(self.b, x, training), {"seen": ops.mean(x)}),
            part,
        )
        assert isinstance(other, tuple) and other[1].keys() == {"seen"}
        return {"first_loss": loss, "second_loss": other[0]}


@keras.saving.register_keras_serializable("kgen_tests")
class MeanOf(kgen.GenerativeModel):
    """Logs the mean of each batch; its one weight receives no gradient."""

    players = {"model": ["network"]}

    def objective(self, batch, training):
        return ops.mean(batch) + 0 * ops.sum(self.network(batch[:1], training=training))


class Counted(MeanOf):
    """Reads attributes in its objective and in methods, and counts how often it is traced."""

    traces = inferred = 0

    def objective(self, batch, training):
        type(self).traces += 1
        return self.factor * super().objective(batch, training)

    def call(self, inputs, training=False):
        return self.factor * self.network(inputs, training=training)

    def multiplied(self, x):
        type(self).inferred += 1
        return self.factor * self.network(x, training=False)

    def repeated(self, x, weight, steps=1, name=""):
        type(self).inferred += 1
        for _ in range(steps):
            x = 2 * x
        return {"out": ops.multiply(weight, x), "index": ops.cast(x, "int32")}


def counted(initial=1.0):
    Counted.traces = Counted.inferred = 0
    model = Counted(network=one_weight(initial))
    model.factor = 3.0
    model.compile("sgd")
    return model
