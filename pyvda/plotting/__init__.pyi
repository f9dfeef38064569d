"""The public names of `pyvda.plotting`, read by `lazy_loader` and mypy."""

from .analysis import plot_convergence as plot_convergence
from .analysis import plot_window as plot_window
from .hovmoller import plot_hovmoller as plot_hovmoller
from .maps import plot_map as plot_map
from .rank_histogram import plot_rank_histogram as plot_rank_histogram
from .series import plot_series as plot_series
from .spectra import plot_spectra as plot_spectra
