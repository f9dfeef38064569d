"""The state of a long descent in a file, from which it resumes bit-identically."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.io.writing.atomic import replacing
from pyvda.methods.problem import Options, Problem
from pyvda.models.model import Model


@dataclass
class DescentState:
    """State of a descent of W windows between two pieces of its run.

    Attributes
    ----------
    key : str
        Fingerprint of the problem and the options.
    x : (W, T, D)
    active, diverged : (W,) bool
    first_norm : (W,)
        Gradient norm at the first guess.
    iterations : (W,) int
    history : (n, 4)
        Rows of iteration, mean cost, mean gradient norm, mean square error.
    done : int
        Iterations completed; -1 before the first guess has been evaluated.
    """

    key: str
    x: Array
    active: Array
    diverged: Array
    first_norm: Array
    iterations: Array
    history: Array
    done: int = -1

    def save(self, path: Path) -> None:
        """Write the state atomically."""
        arrays = {_stored_as(f.name): np.asarray(getattr(self, f.name)) for f in fields(self)}
        with replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    def resumed_from(self, path: Path) -> DescentState:
        """Return the state stored in `path`.

        Raises
        ------
        InputError
            The file is damaged, or belongs to another problem or other options.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays: dict[str, Any] = {f.name: stored[_stored_as(f.name)] for f in fields(self)}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{path} is not the state of a descent by pyvda, or is damaged ({error}); "
                "remove it to start afresh"
            ) from error
        if str(arrays["key"]) != self.key:
            raise InputError(
                f"the state in {path} belongs to other observations or options; "
                "name another file, or remove it to start afresh"
            )
        arrays["key"], arrays["done"] = self.key, int(arrays["done"])
        return DescentState(**arrays)


def _stored_as(name: str) -> str:
    """Return an attribute's name in the file, unchanged from earlier versions."""
    return "records" if name == "history" else name


def fingerprint(problem: Problem, options: Options, steps: Array) -> str:
    """Return a digest of everything the iterations depend on, including the step sizes (W,)."""
    digest = hashlib.sha256()
    alike = np.unique(steps).tolist()
    # If all windows have the same step, one number, as in the files of earlier versions.
    step = alike[0] if len(alike) == 1 else steps.tolist()
    described = (problem.cost, options.model_dump_json(), step)
    digest.update(f"({_described(problem.model)}, {repr(described)[1:]}".encode())
    digest.update(problem.engine.info.name.encode())
    batch = problem.batch
    points = () if batch.points is None else vars(batch.points).values()
    channels = batch.channels
    more = () if channels is None else (channels.value, channels.weight)
    for array in (batch.observation, batch.mask, batch.first_guess, *points, *more):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _described(model: Model) -> str:
    """Return a description of a model that is the same in every process.

    The digests of built-in models are those of earlier versions, whose states can be resumed.
    """
    numbers = ", ".join(f"{name}={value!r}" for name, value in model.as_dict().items())
    built_in = model.julia is not None and not model.julia.text
    sources = (model.julia and model.julia.text, model.torch and model.torch.digest)
    return f"Model({numbers})" + ("" if built_in else repr((model.fields, *sources)))
