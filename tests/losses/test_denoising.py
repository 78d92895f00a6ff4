"""Weights of a denoiser's errors against the papers' tables."""

import keras
import numpy as np
import pytest
from keras import ops

from kgen import losses, noise

T = np.array([0.05, 0.3, 0.6, 0.9], "float32")


def weights(weighting, process, prediction):
    t = ops.convert_to_tensor(T)
    found = losses.denoising_weighting(weighting)(process, noise.PREDICTIONS[prediction], t)
    return ops.convert_to_numpy(found)


@pytest.mark.parametrize("process", [noise.Linear(), noise.Cosine()], ids=str)
def test_min_snr_of_every_prediction(process):
    """Hang et al. (2023), section 3.4."""
    snr = process.snr(T.astype("float64"))
    for prediction, of in (("image", 1), ("noise", snr), ("velocity", snr + 1)):
        expected = np.minimum(snr, 5) / of
        np.testing.assert_allclose(weights("min_snr", process, prediction), expected, rtol=2e-3)
    assert (weights("simple", process, "noise") == 1).all()


def test_edms_weight_is_1_of_its_networks_error():
    np.testing.assert_allclose(weights("edm", noise.EDM(), "velocity"), 1, rtol=1e-4)
    sigma = noise.EDM().sigma(T.astype("float64"))
    expected = (sigma**2 + 0.25) / (0.5 * sigma) ** 2
    np.testing.assert_allclose(weights("edm", noise.EDM(), "image"), expected, rtol=1e-4)


def test_weightings_are_settings():
    for weighting in (losses.MinSNR(3.0), losses.Simple(), losses.EDMWeighting()):
        config = keras.saving.serialize_keras_object(weighting)
        assert keras.saving.deserialize_keras_object(config) == weighting
    with pytest.raises(
        ValueError,
        match=r"weighting must be one of.*'min_snr'.* or a kgen.losses.Weighting; got 'p2'",
    ):
        losses.denoising_weighting("p2")
    with pytest.raises(ValueError, match="gamma must be"):
        losses.MinSNR(0)
