"""Solvers Γ: from a first guess, observations and a cost to an analysis."""

from pyvda.solvers.gradient_descent import GradientDescent
from pyvda.solvers.gradient_networks import ConvSolver, LSTMSolver
from pyvda.solvers.shooting import Regression, ShootingSolver
from pyvda.solvers.solver import History, Solver, SolverResult

__all__ = [
    "ConvSolver",
    "GradientDescent",
    "History",
    "LSTMSolver",
    "Regression",
    "ShootingSolver",
    "Solver",
    "SolverResult",
]
