"""The description of a learned model as plain data: the file model.json beside its weights.

Reading it needs neither torch nor the weights, so that observations can be checked against a
checkpoint before anything is loaded.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from pyvda.errors import InputError
from pyvda.learned.architecture import Architecture, ODESection, Section
from pyvda.models.model import Model, TorchSource
from pyvda.models.presets import Preset
from pyvda.models.without_code import WithoutCode, expect_code, has_code
from pyvda.state.space import StateSpace, Variable
from pyvda.validation_errors import validated

MODEL_FILE = "model.json"


class OwnVariable(Section):
    """A variable of the state, as `pyvda.state.space.Variable`."""

    name: str
    dims: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    standard_name: str = ""
    units: str = ""


class OwnModel(Section):
    """A user's model in a checkpoint, besides its name, parameters and state size.

    It is enough to read files by and to know the model again, and no code.

    Attributes
    ----------
    given : str
        How the training configuration names it, such as rossler.jl or models.py:rossler.
    source : str, optional
        Digest of the source, see `pyvda.models.model.Model.source_digest`.
    kind, parameter_names
        See `pyvda.models.model.Model`.
    sizes : dict of str to int
        The fields that are not parameters.
    variables : tuple of OwnVariable
    land : tuple of int
        Components of the state that lie on land.
    expected_state : tuple of float
        Climatological mean (D,) that first guesses take where nothing is observed.
    """

    given: str
    source: str | None
    kind: Literal["tendency", "step"]
    parameter_names: tuple[str, ...]
    sizes: dict[str, int]
    variables: tuple[OwnVariable, ...]
    land: tuple[int, ...] = ()
    expected_state: tuple[float, ...]

    @staticmethod
    def of(model: Model, given: str, expected_state: Any) -> OwnModel:
        """Return the description of a model that was named by `given`."""
        space = model.state_space
        if space is None:
            raise InputError(f"the model {model.name} does not say which variables it has")
        return OwnModel(
            given=given, source=model.source_digest, kind=model.kind,
            parameter_names=model.parameter_names,
            sizes={n: v for n, v in model.fields if n not in model.parameter_names},
            variables=tuple(OwnVariable(**asdict(variable)) for variable in space.variables),
            land=tuple(np.flatnonzero(~space.sea).tolist()),
            expected_state=tuple(np.asarray(expected_state, dtype=float).tolist()),
        )  # fmt: skip

    def state_space(self) -> StateSpace:
        """Return the variables of the state."""
        space = StateSpace(tuple(Variable(**one.model_dump()) for one in self.variables))
        if not self.land:
            return space
        land = np.zeros(space.size, bool)
        land[list(self.land)] = True
        return StateSpace(space.variables, land)


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
    own : OwnModel, optional
        For a model of the user's own, which is not found by its name.
    sizes : dict of str to int
        Integer fields of a built-in model; empty in weights of earlier versions.
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
    own: OwnModel | None = None
    sizes: dict[str, int] = Field(default_factory=dict)

    @staticmethod
    def of(name: str, preset: Preset, missing: float = 0.0) -> Pattern:
        """Return the pattern of a twin experiment."""
        model = preset.model
        return Pattern(
            name=name, model=model.name, parameters=model.parameters, state_size=model.state_size,
            time_step=model.time_step, steps=preset.steps, every=preset.every, first=preset.first,
            last=preset.last, components=preset.components,
            random_components=preset.random_components, variance=preset.variance, missing=missing,
            sizes=model.sizes,
        )  # fmt: skip

    def dynamics(self) -> Model:
        """Return the model; of a user's own, its description without code."""
        own = self.own
        if own is None:
            return Model(
                self.model, self.state_size, self.parameters, self.time_step,
                fields=tuple(self.sizes.items()),
            )  # fmt: skip
        values = tuple(zip(own.parameter_names, self.parameters, strict=True))
        return Model(
            self.model, self.state_size, self.parameters, self.time_step,
            parameter_names=own.parameter_names, fields=(*values, *own.sizes.items()),
            state_space=own.state_space(), kind=own.kind,
            torch=TorchSource(WithoutCode(self.model, own.given, values)),
        )  # fmt: skip

    def runnable(self, given: Model | None) -> Model:
        """Return the model with its code: pyvda's own, or the given one if it is that model.

        Raises
        ------
        InputError
            The model is the user's own, and none or another one was given.
        """
        trained = self.dynamics()
        if self.own is None:
            return trained
        if given is None:
            expect_code(trained)
            return trained
        expect_trained(given, trained)
        expect_code(given)
        return given


def expect_trained(given: Model, trained: Model) -> None:
    """Refuse another model than the one that a checkpoint was trained for.

    Raises
    ------
    InputError
        Name or parameters differ; of a user's own model, also the number of components.
    """
    if (given.name, given.parameters) != (trained.name, trained.parameters):
        raise InputError(
            f"the checkpoint was trained for {trained.name} with parameters {trained.parameters}, "
            f"not for {given.name} with {given.parameters}; leave out model, or take another "
            "checkpoint"
        )
    if not has_code(trained) and given.state_size != trained.state_size:
        raise InputError(
            f"the checkpoint was trained for {trained.name} with {trained.state_size} components, "
            f"not with {given.state_size}; name the model as in the training"
        )


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

    def needs_code(self) -> bool:
        """Tell whether the prior runs a model of the user's own."""
        return self.pattern.own is not None and isinstance(self.architecture.prior, ODESection)

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
    found: Description = read_schema(
        Description, Path(folder) / MODEL_FILE, f"{folder} holds no learned model: it has no "
        f"{MODEL_FILE}; give a folder made by `pyvda train`",
    )  # fmt: skip
    return found


def read_schema(schema: Any, path: Path, missing: str) -> Any:
    """Read a description of some schema from a JSON file.

    Parameters
    ----------
    schema : pydantic model
    path : Path
    missing : str
        The message where there is no such file.

    Raises
    ------
    InputError
        The file does not exist, is damaged, or has unknown keys.
    """
    try:
        loaded = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(missing) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); copy the folder again") from error
    return validated(schema, loaded, str(path))
