"""The public names of pyvda and the modules that they live in, read by `lazy_loader` and mypy."""

from . import operators as operators
from .assimilate import assimilate as assimilate
from .checks.on_derivatives import check as check
from .covariances.fit import fit_covariance as fit_covariance
from .engine import get_engine as get_engine
from .errors import EngineError as EngineError
from .errors import InputError as InputError
from .evaluate import evaluate as evaluate
from .fields.crossvalidation import crossvalidate as crossvalidate
from .forecast import forecast as forecast
from .io.sources.open import open_observations as open_observations
from .io.tables.tables import on_grid as on_grid
from .io.writing.save import save_analysis as save_analysis
from .judgements.diagnose import diagnose as diagnose
from .learned.shipped import load as load
from .models.from_jax import jax_model as jax_model
from .models.from_julia import julia_model as julia_model
from .models.from_torch import torch_model as torch_model
from .models.registry import get_model as get_model
from .plotting.plot import plot as plot
from .rerun import rerun as rerun
from .twin import simulate as simulate
from .twin_observations import observe as observe

__version__: str
__all__: list[str]
