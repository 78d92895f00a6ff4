"""Where images come from."""

from kgen.data.dataset import ImageDataset
from kgen.data.ranges import check_images, to_model_range, to_uint8

__all__ = ["ImageDataset", "check_images", "to_model_range", "to_uint8"]
