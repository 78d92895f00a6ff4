"""What is measured of images: the judges, small classifiers whose answers and features count."""

from kgen.metrics.auroc import AUROC, auroc
from kgen.metrics.evaluation import METRICS, Evaluation, evaluate
from kgen.metrics.features import Features, features
from kgen.metrics.frechet import FID, GaussianStatistics, fid, frechet_distance
from kgen.metrics.inception_score import InceptionScore, inception_score
from kgen.metrics.jensen_shannon import jensen_shannon
from kgen.metrics.judges import Judge, judge, judge_for
from kgen.metrics.kid import KID, kernel_distance, kid
from kgen.metrics.modes import ModeCoverage, class_coverage, mode_coverage
from kgen.metrics.ms_ssim import MSSSIM, ms_ssim
from kgen.metrics.neighbors import PRDC, Memorization, memorization, nearest, prdc
from kgen.metrics.sliced_wasserstein import SlicedWasserstein, sliced_wasserstein
from kgen.metrics.translation import Translation, translation
from kgen.metrics.wasserstein import wasserstein_1d

__all__ = [
    "AUROC",
    "FID",
    "KID",
    "METRICS",
    "MSSSIM",
    "PRDC",
    "Evaluation",
    "Features",
    "GaussianStatistics",
    "InceptionScore",
    "Judge",
    "Memorization",
    "ModeCoverage",
    "SlicedWasserstein",
    "Translation",
    "auroc",
    "class_coverage",
    "evaluate",
    "features",
    "fid",
    "frechet_distance",
    "inception_score",
    "jensen_shannon",
    "judge",
    "judge_for",
    "kernel_distance",
    "kid",
    "memorization",
    "mode_coverage",
    "ms_ssim",
    "nearest",
    "prdc",
    "sliced_wasserstein",
    "translation",
    "wasserstein_1d",
]
