"""Where images come from."""

from kgen.data import faces, toy2d
from kgen.data.dataset import ImageDataset
from kgen.data.edges import edges
from kgen.data.licenses import license
from kgen.data.mixing import mixed_batches
from kgen.data.pairs import ImagePairs
from kgen.data.ranges import check_images, to_model_range, to_uint8
from kgen.data.sources import load, splits
from kgen.data.storage import Storage
from kgen.data.tfds_store import prepare
from kgen.data.unfamiliar import unfamiliar

__all__ = [
    "ImageDataset",
    "ImagePairs",
    "Storage",
    "check_images",
    "edges",
    "faces",
    "license",
    "load",
    "mixed_batches",
    "prepare",
    "splits",
    "to_model_range",
    "to_uint8",
    "toy2d",
    "unfamiliar",
]
