"""The engine: where classical numerics run. `get_engine()` is the only way in.

Only this folder knows that Julia exists.
"""

from pyvda.engine.choice import engine_for, get_engine
from pyvda.engine.interface import CostResult, CostSettings, Engine, EngineInfo

__all__ = ["CostResult", "CostSettings", "Engine", "EngineInfo", "engine_for", "get_engine"]
