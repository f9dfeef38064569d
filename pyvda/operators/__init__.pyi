"""The public names of `pyvda.operators`, read by `lazy_loader` and mypy."""

from .blocks import Blocks as Blocks
from .correlated_errors import CorrelatedErrors as CorrelatedErrors
from .covariance import Covariance as Covariance
from .covariance import Dense as Dense
from .covariance import Diagonal as Diagonal
from .covariance import FromEnsemble as FromEnsemble
from .diffusion import Diffusion as Diffusion
from .fitted import fitted_spectral as fitted_spectral
from .function import FunctionOperator as FunctionOperator
from .interpolation import Interpolation as Interpolation
from .julia_function import JuliaFunction as JuliaFunction
from .localisation import Shared as Shared
from .localisation import gaspari_cohn as gaspari_cohn
from .localisation import gaspari_cohn_spectrum as gaspari_cohn_spectrum
from .observation import Mask as Mask
from .observation import ObservationOperator as ObservationOperator
from .sparse_linear import SparseLinear as SparseLinear
from .spectral import Spectral as Spectral
from .spectral import gaussian as gaussian
from .spectral import power as power
from .sum import Sum as Sum

__all__: list[str]
