"""The section `data` of a training configuration: a preset's twin experiment, or files.

The keys decide which of the two it is; a mixture is refused.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from pyvda.learned.architecture import Section
from pyvda.models.model import Model
from pyvda.models.presets import Preset
from pyvda.models.registry import (
    default_model,
    get_preset,
    is_file,
    presets,
    recorded,
    resolve,
)
from pyvda.models.registry import names as model_names


class Data(Section):
    """Windows of a twin experiment, for training and for selecting the best weights.

    Attributes
    ----------
    preset : str
        Model, window, observation pattern: a preset of `pyvda observe`.
    steps : int, optional
        Steps of a window; default: those of the preset.
    windows : int
        Number of training windows; with `fresh`, of windows in each epoch.
    fresh : bool
        Simulate new windows for every epoch instead of using a fixed set.
    fresh_noise : bool
        Draw observation errors (and random components) anew in every epoch.
    validation : int
        Number of windows that select the best weights; they are never trained on.
    seed, validation_seed : int
        Seeds of the two sets.
    missing : float
        Largest share of the data that is left out, each datum independently: each window draws a
        share between 0 and this, anew with the noise. Prepares for files with such gaps.
    symmetries : bool
        Augment by the symmetries of the model, such as mirror images and rotations.
    normalisation : {"scalar", "component"}
        One mean and standard deviation of the training states, or one for each component.
    """

    preset: str = Field(default_factory=lambda: default_model().name)
    steps: int | None = Field(default=None, ge=2)
    windows: int = Field(default=10_000, ge=1)
    fresh: bool = False
    fresh_noise: bool = True
    validation: int = Field(default=512, ge=1)
    seed: int = Field(default=1, ge=0, lt=2**32)
    validation_seed: int = Field(default=2, ge=0, lt=2**32)
    missing: float = Field(default=0.0, ge=0, lt=1)
    symmetries: bool = False
    normalisation: Literal["scalar", "component"] = "scalar"

    @model_validator(mode="after")
    def _check(self) -> Data:
        if self.preset not in presets():
            raise ValueError(f"the presets are {', '.join(presets())}")
        if self.seed == self.validation_seed:
            raise ValueError("seed and validation_seed are equal, which validates on training data")
        return self

    def setting(self) -> Preset:
        """Return the twin experiment."""
        preset = get_preset(self.preset)
        return preset if self.steps is None else replace(preset, steps=self.steps)

    def name(self) -> str:
        """Return the name of the data: that of the preset."""
        return self.preset

    def dynamics(self) -> Model:
        """Return the model whose states these are."""
        return self.setting().model

    def has_truth(self) -> bool:
        """Return whether true states are known."""
        return True

    def has_observations(self) -> bool:
        """Return whether there are observations."""
        return True


class Files(Section):
    """Windows from files, for training and for selecting the best weights.

    Files are read and cut in the same way as by `pyvda assimilate`; relative paths start at the
    working directory.

    Attributes
    ----------
    observations : str, optional
        File of observations. Without it, only Φ can be identified, from the truth.
    truth : str, optional
        File of the true states (or of analyses to learn from), of the same shape, times and
        components. Without it, only the unsupervised loss is possible.
    validation : int, optional
        Number of windows at the end of the files that select the best weights; default: a fifth.
        Earlier windows that share a step with them are not trained on, so that no step of a series
        serves both purposes.
    validation_observations, validation_truth : str, optional
        Files of the windows that select the best weights, in place of the last windows.
    model : str
        The model of the states, as in `pyvda.assimilate`: a name, a file in Julia (rossler.jl), or
        a model in a Python file (models.py:rossler).
    parameters : mapping of str to number
        Parameters and sizes of the model in place of its own.
    variable, truth_variable : str, optional
        Variables to read, by name or CF standard_name, or those that make the state ("x,y,z").
        Default: as in `pyvda.assimilate`, for the truth first `truth`.
    window, overlap, time_step
        See `pyvda.assimilate`.
    seed : int
        Seed of the order of the windows in an epoch.
    normalisation : {"scalar", "component"}
        One mean and standard deviation of the true states (without a truth, of the observations),
        or one for each component.
    """

    observations: str | None = None
    truth: str | None = None
    validation: int | None = Field(default=None, ge=1)
    validation_observations: str | None = None
    validation_truth: str | None = None
    model: str = Field(default_factory=lambda: default_model().name)
    parameters: dict[str, int | float] = Field(default_factory=dict)
    variable: str | None = None
    truth_variable: str | None = None
    window: int | None = Field(default=None, ge=2)
    overlap: int = Field(default=0, ge=0)
    time_step: float | None = Field(default=None, ge=1e-12, le=1e12)
    seed: int = Field(default=1, ge=0, lt=2**32)
    normalisation: Literal["scalar", "component"] = "scalar"

    @model_validator(mode="before")
    @classmethod
    def _check_source(cls, values: Any) -> Any:
        """Refuse keys of simulated windows, with a better message than `unknown key`."""
        own = [name for name in Data.model_fields if name not in cls.model_fields]
        found = [name for name in own if isinstance(values, dict) and name in values]
        if "preset" in found:
            of_files = ", ".join(name for name in values if name in _FILES_ALONE)
            raise ValueError(
                f"there are both preset and keys of files ({of_files}); keep one of the two"
            )
        if found:
            raise ValueError(
                f"{', '.join(found)}: only windows that a preset's model simulates and observes "
                "anew can be chosen, files have those that they have; remove what a preset needs "
                "(the steps of a window are window, in a series)"
            )
        return values

    @model_validator(mode="after")
    def _check(self) -> Files:
        if recorded(self.model) not in model_names() and not self.is_of_file():
            raise ValueError(
                f"model is {self.model!r}, the models are {', '.join(model_names())}, and files "
                "such as rossler.jl or models.py:rossler"
            )
        if self.observations is None and self.truth is None:
            raise ValueError("there are neither observations nor truth; name a file, or a preset")
        if self.overlap and (self.window is None or self.overlap >= self.window):
            raise ValueError(
                f"overlap is {self.overlap} and window {self.window}, expected a longer window "
                "that a series is cut into; change one of them"
            )
        if not self.has_files_to_select_by():
            return self
        for name in ("observations", "truth"):
            if (getattr(self, name) is None) != (getattr(self, f"validation_{name}") is None):
                raise ValueError(
                    f"{name} is {getattr(self, name)} and validation_{name} is "
                    f"{getattr(self, f'validation_{name}')}, expected a file for both or for none"
                )
        if self.validation is not None:
            raise ValueError(
                "validation counts the last windows of the training files, but there are files to "
                "select by, too; remove one of the two"
            )
        return self

    def has_files_to_select_by(self) -> bool:
        """Return whether the windows that select the best weights have files of their own."""
        return self.validation_observations is not None or self.validation_truth is not None

    def name(self) -> str:
        """Return the name of the data: that of the file."""
        return Path(self.observations or self.truth or "").name

    def dynamics(self) -> Model:
        """Return the model whose states these are."""
        return resolve(self.model, self.parameters)

    def is_of_file(self) -> bool:
        """Return whether the model is in a file of the user's."""
        return recorded(self.model) not in model_names() and is_file(self.model)

    def has_truth(self) -> bool:
        """Return whether true states are known."""
        return self.truth is not None

    def has_observations(self) -> bool:
        """Return whether there are observations."""
        return self.observations is not None


_FILES_ALONE = Files.model_fields.keys() - Data.model_fields.keys()


def _source(values: Any) -> str:
    if isinstance(values, dict):
        return "files" if _FILES_ALONE & values.keys() else "twin"
    return "files" if isinstance(values, Files) else "twin"


AnyData = Annotated[
    Annotated[Data, Tag("twin")] | Annotated[Files, Tag("files")], Discriminator(_source)
]
