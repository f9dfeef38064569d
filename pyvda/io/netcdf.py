"""Files in and out in one import; each function has a file of its own."""

from pyvda.io.cf.time_step import model_time_step, time_step
from pyvda.io.quality.stated_variance import stated_variance
from pyvda.io.sources.open import by_size, open_dataset, open_observations
from pyvda.io.writing.history import append_history
from pyvda.io.writing.save import save_analysis

__all__ = [
    "append_history",
    "by_size",
    "model_time_step",
    "open_dataset",
    "open_observations",
    "save_analysis",
    "stated_variance",
    "time_step",
]
