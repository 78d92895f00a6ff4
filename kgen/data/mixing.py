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

    Yields:
        Images and labels.
    """
    share = max(1, positive(batch_size, "batch_size") // len(sets))
    random = np.random.default_rng(seed)
    while True:
        chosen = [random.integers(len(x), size=share) for x, _ in sets]
        images = np.concatenate([x[at] for (x, _), at in zip(sets, chosen, strict=True)])
        labels = np.concatenate([y[at] for (_, y), at in zip(sets, chosen, strict=True)])
        yield augment(images, random.random((len(images), CHANCES)), **augmentation), labels
