"""`ImagePairs`: images of two domains, side by side or each by itself."""

import copy

import numpy as np

from kgen.data.augmentation import augment, chances
from kgen.data.dataset import ImageDataset, checked
from kgen.data.ranges import to_model_range
from kgen.data.storage import HalfImages


class ImagePairs(ImageDataset):
    """Batches `(a, b)` of images of two domains, for models that translate from one to the other.

    Aligned pairs show the same scene pixel by pixel (pix2pix): they stay together, and augmentation
    does the same to both. Otherwise (CycleGAN) each domain has its own order; an epoch has as many
    examples as the larger one, and the smaller one begins again where it ends.

    Args:
        a, b: images of the two domains, as `ImageDataset` takes them; of the same number if
            aligned. They may differ in channels.
        aligned: whether image i of `a` belongs to image i of `b`.
        domain_names: names of the two.
        origins: of each domain the `Storage` that it was read from, or None (see `ImageDataset`).
        **options: `batch_size`, `shuffle`, `seed`, `drop_last`, `name`, `augment`, `check_range`,
            as in `ImageDataset`.

    Raises:
        ValueError: for aligned domains of different numbers or sizes.
    """

    def __init__(
        self, a, b, *, aligned=True, domain_names=("a", "b"), origins=(None, None), **options
    ):
        self.aligned, self.domain_names = bool(aligned), tuple(domain_names)
        self._second, self._second_origin = checked(b, options.get("check_range", True)), origins[1]
        super().__init__(a, origin=origins[0], **options)
        a, b = self.domains
        if aligned and (len(a), *a.shape[1:3]) != (len(b), *b.shape[1:3]):
            raise ValueError(
                "Aligned pairs need as many images of the same size on both sides; got "
                f"{len(a)} of {a.shape[1:3]} and {len(b)} of {b.shape[1:3]}. If they do not belong "
                "together, pass aligned=False."
            )

    @property
    def num_examples(self):
        """Number of pairs; without alignment, of images of the larger domain."""
        return max(map(len, self.domains))

    @property
    def domains(self):
        """The stored images of both domains."""
        return self._images, self._second

    @property
    def target_shape(self):
        """Shape of one image of the second domain."""
        return tuple(self._second.shape[1:])

    def pairs(self, n=None):
        """The first `n` of both domains in stored order, float32 in [-1, 1]."""
        return tuple(
            to_model_range(images[np.arange(len(images) if n is None else min(n, len(images)))])
            for images in self.domains
        )

    def images(self, n=None):
        """The first `n` images of the first domain, float32 in [-1, 1]."""
        return self.pairs(n)[0]

    def domain(self, which):
        """One domain by itself, 0 or 1, as an `ImageDataset`."""
        names = ("batch_size", "shuffle", "seed", "drop_last", "augment", "check_range")
        options = {name: getattr(self, name) for name in names}
        name = f"{self.name} {self.domain_names[which]}"
        images, origin = self._contents[which]
        alone = ImageDataset(images, origin=origin, name=name, **options)
        return alone.with_options(steps_per_epoch=self.steps_per_epoch)

    def swapped(self):
        """The same pairs the other way round."""
        other = copy.copy(self)
        other._images, other._second = self._second, self._images
        other._origin, other._second_origin = self._second_origin, self._origin
        other.domain_names = self.domain_names[::-1]
        other._forget()
        other.set_position(self._epoch, self._first_batch)
        return other

    def batch(self, epoch, batch):
        """Batch number `batch` of pass `epoch` over the data: `(a, b)`."""
        span = np.arange(batch * self.batch_size, (batch + 1) * self.batch_size)
        span = span[span < self.num_examples]
        a, b = self.domains
        if not self.aligned:
            chosen = [self._cycled(epoch, span, side) for side in (0, 1)]
            return tuple(
                self._with_chances(images[i], epoch, span, side)
                for side, (images, i) in enumerate(zip((a, b), chosen, strict=True))
            )
        chosen = self.order(epoch)[span]
        halves = isinstance(a, HalfImages) and isinstance(b, HalfImages)
        if halves and a.images is b.images:  # read once
            whole = a.images[chosen]
            a, b = a.of(whole), b.of(whole)
        else:
            a, b = a[chosen], b[chosen]
        return tuple(self._with_chances(images, epoch, chosen, 0) for images in (a, b))

    @property
    def _settings(self):
        return *super()._settings, self.aligned

    @property
    def _contents(self):
        return (self._images, self._origin), (self._second, self._second_origin)

    def _with(self, change, labels):
        """The same pairs, both domains changed."""
        other = super()._with(change, labels)
        other._second = change(self._second)
        if self._second_origin is not None:
            other._second_origin = change(self._second_origin)
        return other

    def _with_chances(self, images, epoch, chosen, side):
        if not self.augment:
            return images
        own = chances(self.seed + side, epoch, self.num_examples) if side else self.chances(epoch)
        return augment(images, own[chosen], **self.augment)

    def _cycled(self, epoch, span, side):
        """Indices into a domain that begins again, in a new order, wherever it ends."""
        count = len(self.domains[side])
        passes, places = np.divmod(epoch * self.num_examples + span, count)
        if not self.shuffle:
            return places
        chosen = np.empty_like(places)
        for number in np.unique(passes):
            random = np.random.default_rng([self.seed, number, 2 + side])
            chosen[passes == number] = random.permutation(count)[places[passes == number]]
        return chosen
