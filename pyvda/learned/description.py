"""What a learned model is, as plain data: the file model.json beside its weights.

Reading it needs neither torch nor the weights, so that a file can be checked against a checkpoint
before anything is loaded.
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
        Of the preset, or of the file of observations.
    model, parameters, state_size : str, tuple of float, int
        See `pyvda.models.model.Model`.
    time_step : float
        Model time units between two steps.
    steps : int
        Steps of a window.
    every, first, last, components, random_components, variance
        See `pyvda.models.presets.Preset`; no variance: it was not known.
    coverage : tuple of float, optional
        Of observations in files that follow no such rule: the share of steps at which each
        component is observed. Empty: there were none, Φ was trained on states alone.
    missing : float
        Largest share of the data that windows lacked in training, each datum independently.
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
        Name of the file beside it, and what it must hash to.
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

        What is at its default is left out: an option that a later version adds changes no digest.
        """
        content = self.model_dump(mode="json", exclude_defaults=True)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_description(folder: str | Path) -> Description:
    """Read the description of the learned model in a folder.

    Raises
    ------
    InputError
        When there is none, it is damaged, or it has unknown keys.
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
