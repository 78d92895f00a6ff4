"""Several sets of images in each batch."""

import numpy as np

from kgen.arguments import positive
from kgen.data.augmentation import CHANCES, augment


def mixed_batches(sets, batch_size=128, seed=0, **augmentation):
    """Batches without end, each with as many images of every set, drawn at random.

        batches = mixed_batches([(x, y), (generated, labels)], 64, shift=2)
        classifier.fit(batches, steps_per_epoch=600)

    Args:
        sets: pairs of images `(N, H, W, C)` and labels `(N,)`, N of their own in each.
        batch_size: images in a batch; what sets cannot share equally is left out, but there is at
            least one image of each.
        seed: of what is drawn.
        augmentation: what is done to each image, `flip`, `crop` and `shift` as `ImageDataset` has
            them in `augment`.

    Returns:
        An iterator over pairs of images and labels.

    Raises:
        ValueError: if there are no sets, one is empty, its labels are not one for each image, or
            images are of several shapes.
    """
    sets = [(np.asarray(x), np.asarray(y)) for x, y in sets]
    shapes = [(x.shape, y.shape) for x, y in sets]
    whole = all(x[:1] == y[:1] and x[0] for x, y in shapes if x and y)
    if not shapes or not all(x and y for x, y in shapes) or not whole:
        raise ValueError(f"sets must be images (N, H, W, C) with N labels each; got {shapes}.")
    if len({x[1:] for x, _ in shapes}) > 1:
        raise ValueError(f"Images of all sets must be of one shape; got {shapes}.")
    share = max(1, positive(batch_size, "batch_size") // len(sets))
    return _drawn(sets, share, np.random.default_rng(seed), augmentation)


def _drawn(sets, share, random, augmentation):
    while True:
        chosen = [random.integers(len(x), size=share) for x, _ in sets]
        images = np.concatenate([x[at] for (x, _), at in zip(sets, chosen, strict=True)])
        labels = np.concatenate([y[at] for (_, y), at in zip(sets, chosen, strict=True)])
        yield augment(images, random.random((len(images), CHANCES)), **augmentation), labels
