"""Bayes' rule: what models of densities say of classes.

Example:

```python
classifier = kgen.bayes.GenerativeClassifier(lambda x: kgen.Gaussian(x.shape[1:], components=10))
classifier.fit(x, labels, verbose=0)
classifier.predict(x_test)
```
"""

import numpy as np

from kgen.arrays import finite, is_array, to_numpy

__all__ = ["GenerativeClassifier"]


class GenerativeClassifier:
    """A classifier made of densities: p(x|y), a model for each class, and Bayes' rule.

    p(y|x) = p(x|y) p(y) / p(x), where p(y) is the share of the class among the examples, and p(x)
    the sum of p(x|y) p(y) over the classes. With Gaussians it is quadratic discriminant analysis.

    Args:
        make_model: function of the examples of a class, `(n, ...)`; returns a new model, ready to
            `fit` to them, with `log_likelihood(x)`, `(N,)` in nats.

    Attributes:
        classes: the labels, sorted; None before `fit`.
        models: of the classes, in this order.
    """

    def __init__(self, make_model):
        self.make_model = make_model
        self.classes, self.models, self._log_prior = None, [], None

    def fit(self, x, labels, **options):
        """Fit a model to the examples of each class; a second call begins anew.

        Args:
            x: examples `(N, ...)`, as the models take them.
            labels: N integers, booleans or strings, of two classes or more.
            options: what each model's `fit` is given.

        Returns:
            Itself.

        Raises:
            TypeError, ValueError: if these are not as above, or the models are not.
        """
        x = finite(x, "x")
        labels = to_numpy(labels) if is_array(labels) else np.asarray(labels)
        if labels.dtype.kind not in "iubU":
            raise TypeError(
                f"labels must be integers, booleans or strings; got dtype {labels.dtype}."
            )
        if x.ndim == 0 or labels.shape != x.shape[:1]:
            raise ValueError(
                f"labels must have shape (N,), one for each of x; got {labels.shape} for x of "
                f"shape {x.shape}."
            )
        classes, counts = np.unique(labels, return_counts=True)
        if len(classes) < 2:
            raise ValueError(f"labels must be of two classes or more; got {classes.tolist()}.")
        examples = [x[labels == label] for label in classes]
        models = [self._made(of_class) for of_class in examples]
        if len({id(model) for model in models}) < len(models):
            raise ValueError("make_model must return a new model for each class; it returned one.")
        for model, of_class in zip(models, examples, strict=True):
            model.fit(of_class, **options)
        self.classes, self.models = classes, models
        self._log_prior = np.log(counts / len(labels))
        return self

    def log_joint(self, x):
        """Log of p(x|y) p(y): float64 `(N, classes)`."""
        if self.classes is None:
            raise ValueError("This GenerativeClassifier knows no classes yet: call fit first.")
        columns = [self._log_likelihood(model, x) for model in self.models]
        return np.stack(columns, axis=1) + self._log_prior

    def log_likelihood(self, x):
        """Log of p(x), whatever the class: float64 `(N,)`."""
        return np.logaddexp.reduce(self.log_joint(x), axis=1)

    def predict_proba(self, x):
        """p(y|x), a row for each example: float64 `(N, classes)`."""
        joint = self.log_joint(x)
        return np.exp(joint - np.logaddexp.reduce(joint, axis=1, keepdims=True))

    def predict(self, x):
        """The most probable class of each example: `(N,)`, of the labels."""
        return self.classes[self.log_joint(x).argmax(axis=1)]

    def __repr__(self):
        classes = "not fitted" if self.classes is None else f"classes {self.classes.tolist()}"
        return f"<GenerativeClassifier: {classes}>"

    def _made(self, x):
        model = self.make_model(x)
        lacking = [name for name in ("fit", "log_likelihood") if not hasattr(model, name)]
        if lacking:
            raise TypeError(
                "make_model must return a model with fit and log_likelihood; "
                f"{type(model).__name__} has no {lacking[0]}."
            )
        return model

    def _log_likelihood(self, model, x):
        found = to_numpy(model.log_likelihood(x))
        if found.shape != (len(x),):
            raise ValueError(
                f"log_likelihood must return ({len(x)},), a number for each example; that of "
                f"{type(model).__name__} returned {found.shape}."
            )
        return found.astype("float64", copy=False)
