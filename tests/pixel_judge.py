"""A judge for quick tests."""

import numpy as np


class PixelJudge:
    """A judge that looks at pixels alone."""

    def features(self, images):
        return np.asarray(images, "float32").reshape(len(images), -1)

    def probabilities(self, images):
        bright = self.features(images).mean(axis=1, keepdims=True) / 2 + 0.5
        return np.concatenate([bright, 1 - bright], axis=1).clip(0, 1)
