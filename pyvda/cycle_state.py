"""Finished windows of a cycle in a folder, from which the same run goes on with the same bits.

Each window is a NumPy file of its own, written atomically, with the arrays of its `Solution`, a
digest of what was given (options, model, engine, and the data of this and all earlier windows), and
two numbers of each array that was computed from it: backgrounds, and products of covariances. Those
need only be the same to rounding, which the number of threads of a linear algebra library changes.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyvda.climate.background import Background, ExpectedState
from pyvda.climate.climatology import Climatology
from pyvda.climate.ensemble import Ensemble
from pyvda.cycling import Start
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.io.writing.atomic import replacing
from pyvda.methods import Problem, Solution
from pyvda.operators.covariance import Covariance

if TYPE_CHECKING:
    from pyvda.block_task import BlockTask

_PER_WINDOW = "per_window."
_CLOSE = 1e-11


class CycleState:
    """The windows of a cycle that are finished.

    Parameters
    ----------
    folder : path, optional
        Made when it does not exist; None: nothing is kept.
    task : BlockTask
        What the windows are assimilated with.
    """

    def __init__(self, folder: Path | None, task: BlockTask) -> None:
        self.folder = folder
        self._digest = hashlib.sha256()
        self._computed: list[float] = []
        if folder is None:
            return
        if folder.exists() and not folder.is_dir():
            raise InputError(
                f"{folder} is a file, but a cycle keeps its state in a folder; give another name "
                "as state (--state)"
            )
        model = task.choice.model
        described = (task.method, model.as_dict(), model.source_digest, astuple(task.cost))
        self._digest.update(repr(described).encode())
        options = task.options
        self._digest.update(options.model_dump_json().encode())
        for value in (getattr(options, name) for name in type(options).model_fields):
            for part in _bytes_of(value):
                self._digest.update(part)
            if isinstance(value, Covariance):
                probe = np.random.default_rng(0).standard_normal(value.rank)
                self._computed += _numbers_of(value.sqrt(probe))
        if isinstance(model.climatology, Climatology):  # given by the user
            known = vars(model.climatology).values()
            self._computed += [x for a in known if a is not None for x in _numbers_of(a)]

    def of_window(
        self,
        number: int,
        problem: Problem,
        start: Start | None,
        solved: Callable[[], Solution],
    ) -> Solution:
        """Return the stored solution of a window, or that of `solved`, which is then stored.

        Raises
        ------
        InputError
            The file of the window is damaged, or belongs to other observations or options.
        """
        if self.folder is None:
            return solved()
        self._digest.update(problem.engine.info.name.encode())
        batch = problem.batch
        points = () if batch.points is None else vars(batch.points).values()
        channels = () if batch.channels is None else (batch.channels.value, batch.channels.weight)
        for array in (batch.observation, batch.mask, *points, *channels):
            self._digest.update(np.ascontiguousarray(array).tobytes())
        key = self._digest.hexdigest()
        computed = np.array([*self._computed, *(x for a in _arrays(start) for x in _numbers_of(a))])
        path = self.folder / f"window-{number:05}.npz"
        if path.exists():
            return _read(path, key, computed, self.folder)
        solution = solved()
        self.folder.mkdir(exist_ok=True)
        with replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, key=np.array(key), computed=computed, **_stored(solution))
        return solution


def _stored(solution: Solution) -> dict[str, Any]:
    arrays = {name: getattr(solution, name) for name in ("x", "status", "iterations", "stdev")}
    arrays |= {f"{_PER_WINDOW}{name}": value for name, value in solution.per_window.items()}
    return {name: np.asarray(value) for name, value in arrays.items() if value is not None}


def _read(path: Path, key: str, computed: Array, folder: Path) -> Solution:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays: Mapping[str, Any] = {name: file[name] for name in file.files}
        found, before = str(arrays["key"]), np.asarray(arrays["computed"], float)
        more = {n.removeprefix(_PER_WINDOW): a for n, a in arrays.items() if _PER_WINDOW in n}
        solution = Solution(
            arrays["x"], arrays["status"], arrays["iterations"], stdev=arrays.get("stdev"),
            per_window=more,
        )  # fmt: skip
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path} is not a window of a cycle by pyvda, or is damaged ({error}); remove it, and "
            "the same command assimilates the window again"
        ) from error
    same = before.shape == computed.shape and np.allclose(before, computed, rtol=0, atol=_CLOSE)
    if found != key or not same:
        raise InputError(
            f"the state in {folder} belongs to other observations or options; give another folder "
            "as state (--state), or remove it to start afresh"
        )
    return solution


def _arrays(start: Start | None) -> tuple[Any, ...]:
    if isinstance(start, Ensemble):
        return (start.members, np.array(start.cycle))
    if isinstance(start, Background):
        return (start.mean, start.precision)
    return (start.mean,) if isinstance(start, ExpectedState) else ()


def _bytes_of(value: Any) -> list[bytes]:
    """Return the bytes that distinguish options besides their JSON: arrays, and states of files."""
    if isinstance(value, np.ndarray):
        return [value.tobytes()]
    if isinstance(value, Background):
        return [value.mean.tobytes(), value.precision.tobytes()]
    if isinstance(value, tuple):
        return [part for one in value for part in _bytes_of(one)]
    path = Path(value) if isinstance(value, str | Path) else None
    if path is not None and path.is_file():
        return [str(path.stat().st_size).encode(), str(path.stat().st_mtime_ns).encode()]
    return []


def _numbers_of(array: Array) -> list[float]:
    """Return the logarithm of an array's norm, and its cosine with random numbers."""
    array = np.asarray(array, float).ravel()
    direction = np.random.default_rng(array.size).standard_normal(array.size)
    size = float(np.linalg.norm(array)) + np.finfo(float).tiny
    cosine = float(array @ direction) / (size * float(np.linalg.norm(direction)))
    return [float(np.log(size)), cosine]
