"""Variational data assimilation: netCDF files, Julia adjoints, learned priors and solvers.

    import pyvda
    analysis = pyvda.assimilate(pyvda.open_observations("obs.nc"), model="lorenz63")
    pyvda.save_analysis(analysis, "analysis.nc")

Importing pyvda starts neither Julia nor torch.
"""

__version__ = "0.1.0"

from pyvda.assimilate import assimilate
from pyvda.engine import get_engine
from pyvda.errors import EngineError, InputError
from pyvda.evaluate import evaluate
from pyvda.models import get_model
from pyvda.netcdf import open_observations, save_analysis
from pyvda.twin import observe, simulate

__all__ = [
    "EngineError",
    "InputError",
    "assimilate",
    "evaluate",
    "get_engine",
    "get_model",
    "observe",
    "open_observations",
    "save_analysis",
    "simulate",
]
