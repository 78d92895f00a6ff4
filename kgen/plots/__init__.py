"""The figures of a lecture.

A figure is a slide: panels under one sentence, at most 1920 x 1080 pixels, with texts that the last
row can read and colours that mean the same everywhere (`REAL`, `GENERATED`, `JUDGE`, `FAMILIES`).

    plots.slide(
        plots.Scatter(vae.encode(x), labels),
        plots.Manifold(vae.decode),
        title="Classes lie together, and between them is something, too",
        path="latent.png",
    )

What is one panel has a function of its own (`grid`, `strips`, `losses`, ...). `slide` and they
return a `matplotlib.figure.Figure`. With a `path` it is written there, PNG or what the suffix
says, and nothing is left open: the folder is made, and a path that cannot be written raises an
OSError that names it. Without one it is a figure of pyplot, as any other: a notebook shows it once,
and in a script `matplotlib.pyplot.show()` does, or `figure.show()`. Figures of one's own look the
same within `in_style()`, or after `matplotlib.style.use("kgen.plots.slides")`.

Images are uint8 in [0, 255] or floats in [-1, 1], and the grey levels of two figures can be
compared: nothing is stretched to the range of the data. Floats beyond [-1, 1] are clipped, pixels
that are no number become magenta, and of images that have neither one nor three channels the first
channel is shown and the figure says so.

Texts are English; within `language("fr")` those of the lecture are French.

matplotlib is imported when the first figure is drawn, and pyplot when the first is drawn without a
`path`: no display is needed to write figures, and no global state is touched.
"""

from kgen.plots.animation import animation
from kgen.plots.charts import (
    Densities,
    Dots,
    Heat,
    Histograms,
    Paths,
    Plane,
    Roc,
    Table,
    Transport,
    probability_field,
)
from kgen.plots.curves import Bands, Curves, adversarial, losses
from kgen.plots.diagrams import SCHEMES, Listing, Scheme, computation_graph
from kgen.plots.images import (
    MAGENTA,
    Images,
    Manifold,
    cloud_images,
    grid,
    manifold,
    preview,
    reconstructions,
    strips,
)
from kgen.plots.scatter import Clouds, Divergence, Scatter, latent_scatter, named
from kgen.plots.slide import Chart, Drawing, Panel, slide
from kgen.plots.style import (
    BLOCKED,
    CLASSES,
    COMPUTED,
    DARK,
    DPI,
    FAINT,
    FAMILIES,
    GENERATED,
    GRADIENT,
    JUDGE,
    MUTED,
    RANDOM,
    REAL,
    RIGHT,
    SERIES,
    SLIDE,
    WRONG,
    in_style,
    made_by,
    probability_map,
    save,
)
from kgen.plots.texts import LANGUAGES, Said, caption, in_short, language, say

__all__ = [
    "BLOCKED",
    "CLASSES",
    "COMPUTED",
    "DARK",
    "DPI",
    "FAINT",
    "FAMILIES",
    "GENERATED",
    "GRADIENT",
    "JUDGE",
    "LANGUAGES",
    "MAGENTA",
    "MUTED",
    "RANDOM",
    "REAL",
    "RIGHT",
    "SCHEMES",
    "SERIES",
    "SLIDE",
    "WRONG",
    "Bands",
    "Chart",
    "Clouds",
    "Curves",
    "Densities",
    "Divergence",
    "Dots",
    "Drawing",
    "Heat",
    "Histograms",
    "Images",
    "Listing",
    "Manifold",
    "Panel",
    "Paths",
    "Plane",
    "Roc",
    "Said",
    "Scatter",
    "Scheme",
    "Table",
    "Transport",
    "adversarial",
    "animation",
    "caption",
    "cloud_images",
    "computation_graph",
    "grid",
    "in_short",
    "in_style",
    "language",
    "latent_scatter",
    "losses",
    "made_by",
    "manifold",
    "named",
    "preview",
    "probability_field",
    "probability_map",
    "reconstructions",
    "save",
    "say",
    "slide",
    "strips",
]
