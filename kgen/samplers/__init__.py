"""Samplers of diffusion: how a denoiser's answers become an image.

```python
images = model.generate(16, sampler="heun", num_steps=18)
images = model.generate(16, sampler=kgen.samplers.DDIM(eta=0.5), num_steps=50)
```
"""

from kgen.samplers.ancestral import DDIM, DDPM, RePaint
from kgen.samplers.base import SPACINGS, Sampler
from kgen.samplers.ode import DPMpp2M, Euler, Heun, Path, slope_of
from kgen.settings import setting_of

__all__ = [
    "DDIM",
    "DDPM",
    "SAMPLERS",
    "SPACINGS",
    "DPMpp2M",
    "Euler",
    "Heun",
    "Path",
    "RePaint",
    "Sampler",
    "get",
    "slope_of",
]

SAMPLERS = {"ddpm": DDPM, "ddim": DDIM, "euler": Euler, "heun": Heun, "dpmpp_2m": DPMpp2M}
"""Samplers by name."""


def get(sampler):
    """A sampler, or the one of this name.

    Raises:
        ValueError: for anything else.
    """
    return setting_of(sampler, SAMPLERS, Sampler, "sampler")
