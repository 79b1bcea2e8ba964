"""What a person chooses for a model in place of what the model says of itself: where its files say it wrong, or not at
all."""
from __future__ import annotations

from dataclasses import dataclass

# What a denoiser predicts: the noise, the velocity (Salimans and Ho 2022), or what EDM (Karras et al. 2022) trains, by
# either.
EPSILON, VELOCITY, EDM, EDM_VELOCITY = "epsilon", "v_prediction", "edm", "edm_v_prediction"
PREDICTIONS = (EPSILON, VELOCITY, EDM, EDM_VELOCITY)
AUTO, ON, OFF = "auto", "on", "off"
PREDICTION_CHOICES = (AUTO, *PREDICTIONS)
ZERO_SNR_CHOICES = (AUTO, ON, OFF)


@dataclass(frozen=True)
class Choices:
    """`vae`: the file or folder of another VAE, "" for the model's own. `prediction`: what the denoiser predicts.
    `zero_snr`: whether it was trained down to no signal at all (Lin et al. 2023). AUTO leaves it to the model."""

    vae: str = ""
    prediction: str = AUTO
    zero_snr: str = AUTO


NOTHING = Choices()
