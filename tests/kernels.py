"""Parametrisation of tests that run learned priors and solvers on both kinds of kernels.

The fixture `kernels` of conftest.py fixes what computes: torch, or what this parametrises.
"""

import pytest

with_both_kernels = pytest.mark.parametrize(
    "kernels", ["torch", pytest.param("julia", marks=pytest.mark.julia)], indirect=True
)
