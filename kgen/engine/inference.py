"""Methods of a model run compiled, on chunks of rows."""

import numpy as np
from keras import tree

from kgen.arguments import positive
from kgen.arrays import to_numpy
from kgen.engine import backend
from kgen.engine.context import EVALUATION, running
from kgen.engine.random import Draws

CHUNK_PIXELS, CHUNK_ROWS = 2**20, 128  # at most, in one compiled call
FEW_ROWS = 16  # which need not take the time of a whole chunk
KEPT_FUNCTIONS = 32  # compiled functions of `infer`: those that were used last


class Inference:
    """What a model runs outside of steps."""

    def infer(self, fn, *arrays, static=None, batch_size=None):
        """Run a method compiled, in padded chunks: of 16 rows for as few, else of one size.

        So a new `n` retraces once at most.

        Args:
            fn: bound method of this model, `fn(*tensors, **static)`; out comes a tensor or a
                structure of tensors, with the rows of `arrays`.
            *arrays: arrays with the same first axis, of which `fn` sees a chunk of rows at a time,
                and numbers, which it sees whole, as tensors of rank 0: what may change from call to
                call without compiling anew. 64 bits become 32. `Draws` are drawn a chunk at a
                time.
            static: dictionary of what the compiled function depends on, such as a number of steps
                that a Python loop takes: hashable values, passed to `fn` by name. Each method is
                compiled once for each of their values (the last 32 compiled functions are kept).
            batch_size: rows in a chunk; by default as many as suit the images' size.

        What `fn` reads of the model's attributes is compiled into it, as the class describes.

        Returns:
            NumPy arrays in the structure that `fn` returns.

        Raises:
            TypeError: for functions that are no methods of this model, and static values that are
                not hashable.
            ValueError: for arrays without rows or of several lengths, and results of others.
        """
        if getattr(fn, "__self__", None) is not self:  # what compiles once must be what it was
            raise TypeError(f"infer runs methods of this {type(self).__name__}; got {fn!r}.")
        arrays = [a if isinstance(a, Draws) else _in_32_bits(a) for a in arrays]
        sizes = {len(a) for a in arrays if a.ndim}
        if len(sizes) != 1:
            raise ValueError(
                "infer takes one array or more, all with as many rows, and numbers; got shapes "
                f"{[a.shape for a in arrays]}."
            )
        (n,) = sizes
        if not n:
            raise ValueError(
                f"There is nothing to compute: got arrays of shapes {[a.shape for a in arrays]}."
            )
        size = self._chunk_size(n) if batch_size is None else positive(batch_size, "batch_size")
        self._check_file()
        compiled = self._compiled(fn, static or {})

        def run(*chunk):
            with running(phase=EVALUATION):
                outputs = compiled(*chunk)
            for output in tree.flatten(outputs):
                if output.shape[:1] != (size,):
                    raise ValueError(
                        f"{fn.__name__} must return a row for each of the {size} rows that it is "
                        f"given; got shape {output.shape}."
                    )
            self._refuse_broken(outputs)
            return outputs

        starts = range(0, n, size)
        chunks = ([a[i : i + size] if a.ndim else a for a in arrays] for i in starts)
        return in_chunks(run, chunks, size)

    def _compiled(self, fn, static):
        if not isinstance(static, dict):
            raise TypeError(f"static must be a dictionary from argument to value; got {static!r}.")
        try:
            key = fn.__func__, *((name, exactly(static[name])) for name in sorted(static))
            hash(key)  # an empty dictionary does not
            run = self._inference.pop(key, None)
        except TypeError as error:
            raise TypeError(
                "static values are what a compiled function is kept by, so they must be hashable: "
                f"numbers, strings, tuples; got {static}. Arrays go before them."
            ) from error

        method = (lambda *tensors: fn(*tensors, **static)) if static else fn
        self._inference[key] = run or backend.compiled(method, self)  # the last is used last
        for oldest in [*self._inference][:-KEPT_FUNCTIONS]:
            del self._inference[oldest]
        return self._inference[key]

    def _chunk_size(self, n=CHUNK_ROWS):
        pixels = int(np.prod(self.image_shape[:2])) if self.image_shape else 1
        most = FEW_ROWS if n <= FEW_ROWS else CHUNK_ROWS
        return int(np.clip(CHUNK_PIXELS // max(pixels, 1), 1, most))

    def outputs_for(self, inputs, batch_size=None):
        """What `call` makes of inputs, as `predict`, but compiled by `infer`; for callbacks.

        Args:
            inputs: what `predict` takes, arrays.
            batch_size: rows at a time.
        """
        inputs = self.inputs_in(inputs)
        given = inputs if isinstance(inputs, list) else [inputs]
        return self.infer(self._outputs_for, *given, batch_size=batch_size)

    def _outputs_for(self, *inputs):
        return self(inputs[0] if len(inputs) == 1 else [*inputs], training=False)


def exactly(value):
    """A key that tells apart what `==` does not: 1, 1.0 and True; 0.0 and -0.0."""
    if isinstance(value, tuple | frozenset):
        return type(value), (tuple if isinstance(value, tuple) else frozenset)(map(exactly, value))
    if isinstance(value, float | np.floating):
        return type(value), float(value).hex()
    return type(value), value


def _in_32_bits(array):
    array = to_numpy(array)
    narrow = {"float64": "float32", "int64": "int32"}
    limits = np.iinfo("int32")
    if array.dtype == "int64" and ((array < limits.min) | (array > limits.max)).any():
        raise ValueError(
            f"infer computes in 32 bits; got integers from {array.min()} to {array.max()}."
        )
    return array.astype(narrow.get(array.dtype.name, array.dtype), copy=False)


def in_chunks(run, chunks, size):
    """What a compiled function makes of rows that it is given in chunks of one size.

    Args:
        run: function of arrays with `size` rows, and of numbers; returns a structure of arrays with
            as many.
        chunks: iterable of lists of its arguments, of at most `size` rows: the last row is repeated
            where there are fewer.
        size: rows that `run` sees.

    Returns:
        The structure that `run` returns, with the rows of all chunks.
    """
    found = []
    for chunk in chunks:
        count = next(len(array) for array in chunk if array.ndim)
        outputs = run(*[_padded(array, size) if array.ndim else array for array in chunk])
        found.append(tree.map_structure(lambda output, n=count: output[:n], outputs))
    return tree.map_structure(lambda *parts: np.concatenate(parts), *found)


def _padded(rows, size):
    missing = size - len(rows)
    return np.concatenate([rows, np.repeat(rows[-1:], missing, axis=0)]) if missing else rows
