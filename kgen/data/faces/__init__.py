"""Faces, drawn from known factors: every image comes with the truth about itself.

`sample_factors` draws what a face is, `draw` draws it at any size from 8 to 1,024 pixels: as a
photo, a sketch, edges or a segmentation, pixel for pixel in the same place; `DrawnFaces` does so
when images are asked for. Face i depends on the seed and i alone. All shapes are signed distances
in a unit square, so a face is the same at every size; where pixels are large, thin parts (glasses,
brows, the mouth's line) are a pixel wide. `domain_factors` says which faces are in two domains,
such as day and night, and what each becomes in the other one.

The drawing is written once, against a namespace: NumPy on the host, in pieces that fit the cache,
on a few threads; `keras.ops` in `draw_on_device`, on any backend and inside compiled steps.
"""

from kgen.data.faces.canvas import SEGMENTS
from kgen.data.faces.captioning import captions
from kgen.data.faces.domains import DOMAINS, domain_factors
from kgen.data.faces.drawing import RENDERINGS, DrawnFaces, draw, draw_on_device, segments
from kgen.data.faces.factors import FACTORS, sample_factors

__all__ = [
    "DOMAINS",
    "FACTORS",
    "RENDERINGS",
    "SEGMENTS",
    "DrawnFaces",
    "captions",
    "domain_factors",
    "draw",
    "draw_on_device",
    "sample_factors",
    "segments",
]
