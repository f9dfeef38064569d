"""Priors Φ: modules that map a window to the window its dynamics predict, eqs. (7) to (10)."""

from pyvda.priors.autoencoder import AutoEncoderPrior
from pyvda.priors.genn import GENN, TwoScaleGENN
from pyvda.priors.linearise import linearise
from pyvda.priors.ode import EulerPrior, ODEPrior, RK4Prior, Tableau
from pyvda.priors.scaled import ScaledPrior

__all__ = [
    "GENN",
    "AutoEncoderPrior",
    "EulerPrior",
    "ODEPrior",
    "RK4Prior",
    "ScaledPrior",
    "Tableau",
    "TwoScaleGENN",
    "linearise",
]
