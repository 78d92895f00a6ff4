"""The figures of a lecture.

Every function returns a `matplotlib.figure.Figure`. With a `path` it is written there, PNG or what
the suffix says, and nothing is left open: the folder is made, and a path that cannot be written
raises an OSError that names it. Without one it is a figure of pyplot, as any other: a notebook
shows it once, and in a script `matplotlib.pyplot.show()` does, or `figure.show()`.

Images are uint8 in [0, 255] or floats in [-1, 1], and the grey levels of two figures can be
compared: nothing is stretched to the range of the data. Floats beyond [-1, 1] are clipped, pixels
that are no number become magenta, and of images that have neither one nor three channels the first
channel is shown and the title says so.

matplotlib is imported when the first figure is drawn, and pyplot when the first is drawn without a
`path`: no display is needed to write figures, and no global state is touched.
"""

from kgen.plots.charts import bands, chart, latent_scatter, losses
from kgen.plots.diagrams import computation_graph
from kgen.plots.images import (
    GAP,
    MAGENTA,
    MARGIN,
    animation,
    grid,
    manifold,
    preview,
    reconstructions,
    strips,
)
from kgen.plots.style import BLUE, DARK, DPI, PALE, RED, SAND, save

__all__ = [
    "BLUE",
    "DARK",
    "DPI",
    "GAP",
    "MAGENTA",
    "MARGIN",
    "PALE",
    "RED",
    "SAND",
    "animation",
    "bands",
    "chart",
    "computation_graph",
    "grid",
    "latent_scatter",
    "losses",
    "manifold",
    "preview",
    "reconstructions",
    "save",
    "strips",
]
