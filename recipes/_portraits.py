"""Pictures of two drawn people, and the heads in them: cut out, and put back."""

import numpy as np

import kgen
from kgen.data import faces
from recipes import _run

WIDER = 1.5  # than the head that is swapped is the whole picture
FROM_TOP, FROM_LEFT = 5 / 48, 1 / 6  # where it begins, as a share of the whole
LARGEST = 1024  # pixels: the side of a drawn picture
SEAM = 1 / 32  # of the head, in which it becomes the picture that it is put into


class Portraits:
    """Whole pictures of Alice and Bob, and the heads in them."""

    def __init__(self, size):
        self.size = round(WIDER * size)
        self.top, self.left = round(FROM_TOP * self.size), round(FROM_LEFT * self.size)
        self.rows = slice(self.top, self.top + size)
        self.columns = slice(self.left, self.left + size)
        near = np.minimum(np.arange(size), np.arange(size)[::-1]) / max(1, round(SEAM * size))
        self.share = np.minimum.outer(near, near).clip(0, 1)[..., None]

    def load(self, run):
        """Heads to learn from, and held-out ones; then the run begins.

        Raises:
            ValueError: for heads in whose size or channels no whole picture is drawn.
        """
        if self.size > LARGEST or run.channels not in (None, 3):
            raise ValueError(
                f"Alice and Bob are drawn in colour, heads of up to {int(LARGEST / WIDER)} pixels; "
                f"got --image-size {run.image_size}"
                + ("." if run.channels is None else f" --channels {run.channels}.")
            )
        sets = [self._pairs(run, split) for split in ("train", "test")]
        _run.begin(run, sets[0])
        return sets

    def _pairs(self, run, split):
        options = {"num_examples": run.limit, "image_size": self.size, "kind": run.kind}
        pairs = kgen.data.load(run.dataset, split, **options)
        settings = {"batch_size": run.batch_size, "seed": run.seed, "aligned": pairs.aligned}
        settings |= {"domain_names": pairs.domain_names, "name": pairs.name}
        return kgen.data.ImagePairs(*map(self.heads, pairs.pairs()), **settings)

    def heads(self, pictures):
        """What is swapped of pictures."""
        return pictures[:, self.rows, self.columns]

    def with_heads(self, pictures, heads):
        """Pictures whose heads are others, uint8."""
        pictures, share = pictures.copy(), self.share
        mixed = share * kgen.data.to_uint8(heads) + (1 - share) * self.heads(pictures)
        pictures[:, self.rows, self.columns] = np.round(mixed)
        return pictures

    def swapping(self, model):
        """A function that gives the persons in pictures the head of the other one."""

        def swap(pictures, direction="a_to_b"):
            return self.with_heads(pictures, model.translate(self.heads(pictures), direction))

        return swap

    def draw(self, who, body=None):
        """Pictures of drawn people; with `body`, those of others with the heads of these."""
        pictures = faces.draw(who, self.size)
        if body is None:
            return pictures
        return self.with_heads(faces.draw(body, self.size), self.heads(pictures))
