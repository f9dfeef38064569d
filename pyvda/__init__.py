"""Variational data assimilation: netCDF files, Julia adjoints, learned priors and solvers.

Importing pyvda starts neither Julia nor torch.
"""

__version__ = "0.1.0"
