"""The test windows of the tables: as many as in the paper, with seeds that no training uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import xarray as xr

from pyvda import twin, twin_observations
from pyvda.errors import InputError


@dataclass(frozen=True)
class HeldOut:
    """A test set.

    Attributes
    ----------
    preset : str
    windows : int
        Number of independent windows, that of the paper.
    truth_seed, observation_seed : int
    subset : int
        Number of first windows that tests score again.
    """

    preset: str
    windows: int
    truth_seed: int
    observation_seed: int
    subset: int = 64

    def make(
        self, windows: int | None = None, engine: str | None = None
    ) -> tuple[xr.Dataset, xr.Dataset]:
        """Return truth and observations of the first `windows` windows; default: all.

        A window does not depend on how many are requested.
        """
        truth = twin.simulate(self.preset, windows or self.windows, self.truth_seed, engine=engine)
        return truth, twin_observations.observe(truth, self.preset, self.observation_seed)


# Both Lorenz-63 settings observe the same true windows. Trainings use small seeds for fixed sets
# and seeds above 2³² for new windows in each epoch, so none of them coincides with these.
HELD_OUT = {
    "lorenz63-blanked": HeldOut("lorenz63-blanked", 2000, 1_963_000_001, 1_963_000_002),
    "lorenz63": HeldOut("lorenz63", 2000, 1_963_000_001, 1_963_000_002),
    "lorenz96": HeldOut("lorenz96", 256, 1_996_000_001, 1_996_000_002, 24),
}


def check_not_trained_on(configuration: dict[str, Any]) -> None:
    """Refuse a training configuration, as stored in `training.json`, that uses a test set's seed.

    Raises
    ------
    InputError
        It uses one.
    """
    data = configuration.get("data", {})
    tested = {seed for one in HELD_OUT.values() for seed in (one.truth_seed, one.observation_seed)}
    for name in ("seed", "validation_seed"):
        if data.get(name) in tested:
            raise InputError(
                f"the training has {name} {data[name]}, a seed of the test sets; train with another"
            )
