"""The Julia engine: the entry points of `julia/src/boundary/`, called through ctypes.

1. Only numbers and pointers to numpy's own memory cross; shapes, dtypes and finiteness are checked
   on this side before every call.
2. Julia has one thread of its own, which starts it and runs every call: any Python thread may call,
   and the main thread stays free for Ctrl-C. (Calling from a second thread while the starting one
   waits in Python deadlocks at the next garbage collection.)
3. The engine is the same for both ways of starting Julia.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from pyvda.engine.data import Array, EngineInfo
from pyvda.engine.julia import (
    cost,
    ensemble_smoother,
    letkf,
    linearised_runs,
    objectives,
    one_step,
    optimal_interpolation,
    posterior_mean,
    simulate,
    strong_constraint,
    weak_constraint,
)
from pyvda.engine.julia.observation_function import ObservationFunctions
from pyvda.engine.julia.registry import Coordinates, ModelDescription, Registry
from pyvda.engine.julia.signatures import c_arguments, prototype
from pyvda.errors import EngineError, InputError
from pyvda.models.model import JuliaSource, Model
from pyvda.models.verdict import Verdict

_REFUSED = 1
_MESSAGE_BYTES = 2048


def _remedy(message: str) -> str:
    """Return what to do about an exception in a user's function that takes several states."""
    if "Lanes{" not in message:
        return ""
    return (
        "; the functions of a SmallModel or LargeModel take several states at once, as numbers "
        "that are not compared, converted or complex: write max(x, 0) for x > 0 ? x : 0, abs(x), "
        "and x in place of Float64(x), or write a VectorModel, whose arrays hold plain numbers"
    )


class StartedJulia(NamedTuple):
    """Version, threads, entry points, and own system image of a Julia that has been started."""

    version: str
    threads: int
    address: Callable[[str], int]
    image: str | None = None


class JuliaEngine:
    """Numerics in Julia. `start` is called once, on Julia's own thread."""

    def __init__(self, start: Callable[[], StartedJulia], how: str, reason: str) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pyvda-julia")
        try:
            started = self._thread.submit(start).result()
        except BaseException:
            self._thread.shutdown(wait=False)
            raise
        self.info = EngineInfo("julia", how, started.version, started.threads, reason)
        self.image = started.image
        self._process = os.getpid()
        self._address = started.address
        self._functions: dict[str, Any] = {}
        self._registry = Registry(self.call)
        self.observation_functions = ObservationFunctions(self.call)

    def call(self, name: str, **arguments: Any) -> None:
        """Call the entry point `name` with its arguments by name, and wait for it.

        See `pyvda.engine.julia.signatures.c_arguments`.

        Raises
        ------
        InputError
            When Julia rejects the arguments.
        EngineError
            When Julia code raised an exception, or in a forked child process.
        """
        if os.getpid() != self._process:
            raise EngineError(
                f"Julia was started in process {self._process}, of which this process is a fork, "
                'and works only in the former; start processes by "spawn" '
                '(multiprocessing.get_context("spawn"))'
            )
        converted = c_arguments(name, arguments)
        message = ctypes.create_string_buffer(_MESSAGE_BYTES)

        def run() -> int:
            if name not in self._functions:
                self._functions[name] = prototype(name)(self._address(name))
            return int(self._functions[name](*converted, message, _MESSAGE_BYTES))

        status = self._thread.submit(run).result()
        if status != 0:
            text = message.value.decode("utf-8", "replace")
            if status == _REFUSED:
                raise InputError(text)
            raise EngineError(f"Julia: {text}{_remedy(text)}")

    def handle(self, model: Model) -> int:
        """Return Julia's handle of the model, after its derivatives have been checked once.

        Raises
        ------
        InputError
            When the model has no Julia form, its file does not define a model, or its tangent
            linear or adjoint is wrong.
        """
        return self._registry.handle(model)

    def model_arguments(self, model: Model, size: int | None = None) -> dict[str, Any]:
        """Return the arguments for a model, with `size` components of the control."""
        values = self._registry.values(model)
        return {
            "handle": self._registry.handle(model),
            "values": values,
            "fields": len(values),
            "D": model.state_size if size is None else size,
        }

    def describe(self, source: JuliaSource, values: Array | None = None) -> ModelDescription:
        """Return the description of a file's model, with these values of its fields or defaults."""
        return self._registry.describe(source, values)

    def verdict(self, model: Model, *, parameters: bool = False) -> Verdict:
        """Return the verdict on the model's derivatives.

        Parameters
        ----------
        parameters : bool
            Whether to check the derivatives by its parameters, too.
        """
        return self._registry.verdict(model, parameters)

    def land(self, source: JuliaSource, values: Array, size: int) -> Array:
        """Return the land mask (size,) of a model's file, true on land."""
        return self._registry.land(source, values, size)

    def coordinates(
        self, source: JuliaSource, values: Array, found: ModelDescription
    ) -> Coordinates:
        """Return the coordinates that a model's file states for dimensions."""
        return self._registry.coordinates(source, values, found)

    def starts(self, model: Model, count: int, seed: int) -> Array:
        """Return states (count, D) from the `start` of the model's file."""
        return self._registry.starts(model, count, seed)

    # What `Engine` states, a file for each group. From the line where a name is bound on, it hides
    # the module of that name.
    simulate = simulate.simulate
    forecast = one_step.forecast
    tangent_linear = one_step.tangent_linear
    adjoint = one_step.adjoint
    forecast_with_parameters = one_step.forecast_with_parameters
    tangent_linear_with_parameters = one_step.tangent_linear_with_parameters
    adjoint_with_parameters = one_step.adjoint_with_parameters
    run = linearised_runs.run
    tangent_run = linearised_runs.tangent_run
    adjoint_run = linearised_runs.adjoint_run
    workspace_bytes = linearised_runs.workspace_bytes
    descend = cost.descend
    observed = cost.observed
    cost = cost.cost
    weak_constraint = weak_constraint.weak_constraint
    shooting_objective = objectives.shooting_objective
    trajectories = strong_constraint.trajectories
    strong_constraint = strong_constraint.strong_constraint
    strong_objective = objectives.strong_objective
    ensemble_smoother = ensemble_smoother.ensemble_smoother
    local_analyses = letkf.local_analyses
    best_starts = posterior_mean.best_starts
    posterior_mean = posterior_mean.posterior_mean
    interpolation_derivatives = optimal_interpolation.interpolation_derivatives
    optimal_interpolation = optimal_interpolation.optimal_interpolation
