"""The description of a learned model as plain data: the file model.json beside its weights.

Reading it needs neither torch nor the weights, so that observations can be checked against a
checkpoint before anything is loaded.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

from pydantic import Field

from pyvda.errors import InputError
from pyvda.learned.architecture import Architecture, Section
from pyvda.models.model import Model
from pyvda.models.presets import Preset
from pyvda.validation_errors import validated

MODEL_FILE = "model.json"


class Pattern(Section):
    """The model and the observations that weights were trained for.

    Attributes
    ----------
    name : str
        Name of the preset, or of the file of observations.
    model, parameters, state_size : str, tuple of float, int
        See `pyvda.models.model.Model`.
    time_step : float
        Model time units between two steps.
    steps : int
        Steps of a window.
    every, first, last, components, random_components, variance
        See `pyvda.models.presets.Preset`; the variance is None if it was unknown.
    coverage : tuple of float, optional
        For files whose observations follow no such rule: the share of steps at which each component
        is observed. Empty if Φ was trained on states alone.
    missing : float
        Largest share of missing data in training windows, each datum missing independently.
    """

    name: str
    model: str
    parameters: tuple[float, ...]
    state_size: int = Field(ge=1)
    time_step: float = Field(gt=0)
    steps: int = Field(ge=2)
    every: int
    first: int
    last: int
    components: tuple[int, ...] | None
    random_components: int
    variance: float | None
    coverage: tuple[float, ...] | None = None
    missing: float = Field(default=0.0, ge=0, lt=1)

    @staticmethod
    def of(name: str, preset: Preset, missing: float = 0.0) -> Pattern:
        """Return the pattern of a twin experiment."""
        model = preset.model
        return Pattern(
            name=name, model=model.name, parameters=model.parameters, state_size=model.state_size,
            time_step=model.time_step, steps=preset.steps, every=preset.every, first=preset.first,
            last=preset.last, components=preset.components,
            random_components=preset.random_components, variance=preset.variance, missing=missing,
        )  # fmt: skip

    def dynamics(self) -> Model:
        """Return the model."""
        return Model(self.model, self.state_size, self.parameters, self.time_step)


class Description(Section):
    """The content of model.json.

    Attributes
    ----------
    format : int
        Version of this description.
    weights, sha256 : str
        Name of the file with the weights, and the SHA-256 it must have.
    """

    format: Literal[1]
    pattern: Pattern
    architecture: Architecture
    normalisation: Literal["scalar", "component"]
    iterations: int = Field(ge=1)
    weights: str = Field(pattern=r"^weights-[0-9a-f]{12}\.safetensors$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    def text(self) -> str:
        """Return the file's text."""
        return json.dumps(self.model_dump(mode="json"), indent=2) + "\n"

    def digest(self) -> str:
        """Return the SHA-256 of the whole model, weights included.

        Options at their defaults are omitted, so that an option added later changes no digest.
        """
        content = self.model_dump(mode="json", exclude_defaults=True)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_description(folder: str | Path) -> Description:
    """Read the description of the learned model in a folder.

    Raises
    ------
    InputError
        It does not exist, is damaged, or has unknown keys.
    """
    path = Path(folder) / MODEL_FILE
    try:
        loaded = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{folder} holds no learned model: it has no {MODEL_FILE}; give a folder made by "
            "`pyvda train`"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); copy the folder again") from error
    found: Description = validated(Description, loaded, str(path))
    return found
