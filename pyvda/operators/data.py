"""Data beside the components of the state at the analysis times."""

from pyvda.operators.function import Channels
from pyvda.operators.points import Points

Data = Points | Channels
"""At arbitrary times and linear, or a function of the state at a step; indexed by window."""
