"""The peers of `benchmarks.metrics`: torch-fidelity and prdc, on features that come in a file.

Runs in the peers' Python environment and imports nothing of kgen: all values at once (`python -m
benchmarks.torch_metrics '{"features": FILE, "output": FILE, ...}'`), or a contender (`...
'{"features": FILE, "metric": "fid", ...}'`). The file holds arrays `(N, F)`, `real` and `fake`.
"""

import json
import pathlib
import sys

import numpy as np
import torch

from benchmarks.harness import MATMUL, peak_memory, serve


def describe_torchvision():
    """Declare operators that torchvision wants to describe.

    One that was built for CUDA fails there beside a torch that was not; no peer uses them.
    """
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    describe_torchvision.library = library  # lives as long as the process


def fidelity():
    """Modules of torch-fidelity: `(metric_fid, metric_kid, metric_prc)`."""
    describe_torchvision()
    from torch_fidelity import metric_fid, metric_kid, metric_prc

    return metric_fid, metric_kid, metric_prc


def functions(neighbor, subsets):
    """Functions of `(real, fake)`, float32 tensors, to a dictionary of values, by metric."""
    metric_fid, metric_kid, metric_prc = fidelity()

    def fid(real, fake):
        both = [metric_fid.fid_features_to_statistics(x) for x in (real, fake)]
        return metric_fid.fid_statistics_to_metric(*both, verbose=False)

    def kid(real, fake):
        return metric_kid.kid_features_to_metric(real, fake, verbose=False, **subsets)

    def prc(real, fake):  # the generated side comes first
        return metric_prc.prc_features_to_metric(
            fake, real, prc_neighborhood=neighbor, verbose=False
        )

    def prdc(real, fake):
        from prdc import compute_prdc

        return compute_prdc(real.numpy(), fake.numpy(), nearest_k=5)

    return {"fid": fid, "kid": kid, "precision, recall": prc, "prdc": prdc}


def read(features):
    """Both sides of a file, as tensors."""
    with np.load(features) as arrays:
        return [torch.from_numpy(arrays[name]) for name in ("real", "fake")]


def measure(features, output, **settings):
    """Write the values of all metrics."""
    both = read(features)
    found = {
        name: {k: float(v) for k, v in metric(*both).items()}
        for name, metric in functions(**settings).items()
    }
    pathlib.Path(output).write_text(json.dumps(found))


def prepare(features, metric, **settings):
    """The contender that computes one metric at each step."""
    both, metric = read(features), functions(**settings)[metric]
    metric(*(x[:2000] for x in both))
    a = torch.randn(MATMUL, MATMUL)

    def run(steps):
        for _ in range(steps):
            metric(*both)

    return {"version": f"torch {torch.__version__}"}, run, lambda: a @ a, peak_memory


if __name__ == "__main__":
    settings = json.loads(sys.argv[1])
    if "output" in settings:
        measure(**settings)
    else:
        serve(lambda: prepare(**settings))
