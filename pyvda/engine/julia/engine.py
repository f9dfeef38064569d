"""The Julia engine: the entry points of `julia/src/boundary/boundary.jl`, called through ctypes.

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

import numpy as np

from pyvda.engine.interface import (
    Array,
    CostResult,
    CostSettings,
    EngineInfo,
    Scheme,
    checked,
    checked_problem,
    moved,
)
from pyvda.engine.julia import (
    ensemble_smoother,
    letkf,
    linearised_runs,
    nonlinear,
    objectives,
    optimal_interpolation,
    parameters,
    posterior_mean,
    strong_constraint,
    weak_constraint,
)
from pyvda.engine.julia.arguments import (
    function_arguments,
    point_arguments,
    pointer,
    scheme_number,
)
from pyvda.engine.julia.observation_function import ObservationFunctions
from pyvda.engine.julia.registry import Description, Registry
from pyvda.engine.julia.signatures import prototype
from pyvda.errors import EngineError, InputError
from pyvda.models.model import JuliaSource, Model
from pyvda.models.verdict import Verdict
from pyvda.operators.data import Data
from pyvda.operators.function import Channels
from pyvda.operators.points import Points

_FORECAST, _TANGENT_LINEAR, _ADJOINT = 0, 1, 2

_REFUSED = 1
_MESSAGE_BYTES = 2048


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

    def call(self, name: str, *arguments: Any) -> None:
        """Call the entry point `name` and wait for it.

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
        message = ctypes.create_string_buffer(_MESSAGE_BYTES)

        def run() -> int:
            if name not in self._functions:
                self._functions[name] = prototype(name)(self._address(name))
            return int(self._functions[name](*arguments, message, _MESSAGE_BYTES))

        status = self._thread.submit(run).result()
        if status != 0:
            text = message.value.decode("utf-8", "replace")
            raise InputError(text) if status == _REFUSED else EngineError(f"Julia: {text}")

    def handle(self, model: Model) -> int:
        """Return Julia's handle of the model, after its derivatives have been checked once.

        Raises
        ------
        InputError
            When the model has no Julia form, its file does not define a model, or its tangent
            linear or adjoint is wrong.
        """
        return self._registry.handle(model)

    def model_arguments(self, model: Model, size: int | None = None) -> tuple[Any, ...]:
        """Return the C arguments for a model, with `size` components of the control."""
        values = self._registry.values(model)
        size = model.state_size if size is None else size
        return (self._registry.handle(model), pointer(values), len(values), size)

    def describe(self, source: JuliaSource, values: Array | None = None) -> Description:
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

    def starts(self, model: Model, count: int, seed: int) -> Array:
        """Return states (count, D) from the `start` of the model's file."""
        return self._registry.starts(model, count, seed)

    # The verbs of the methods, one file each.
    weak_constraint = weak_constraint.weak_constraint
    trajectories = strong_constraint.trajectories
    strong_constraint = strong_constraint.strong_constraint
    ensemble_smoother = ensemble_smoother.ensemble_smoother
    local_analyses = letkf.local_analyses
    best_starts = posterior_mean.best_starts
    posterior_mean = posterior_mean.posterior_mean
    shooting_objective = objectives.shooting_objective
    strong_objective = objectives.strong_objective
    optimal_interpolation = optimal_interpolation.optimal_interpolation
    forecast_with_parameters = parameters.forecast
    tangent_linear_with_parameters = parameters.tangent_linear
    adjoint_with_parameters = parameters.adjoint

    def simulate(
        self,
        model: Model,
        start: Array,
        *,
        time_step: float,
        steps: int,
        spinup: float = 0.0,
        rtol: float = 1e-9,
        atol: float = 1e-9,
    ) -> Array:
        windows = len(start)
        start = checked("start", start, (windows, model.state_size), np.dtype(float))
        x = np.empty((windows, steps, model.state_size))
        self.call(
            "simulate", *self.model_arguments(model), steps, windows, pointer(start),
            pointer(x), time_step, spinup, rtol, atol,
        )  # fmt: skip
        return x

    def cost(
        self,
        model: Model,
        settings: CostSettings,
        x: Array,
        observation: Array,
        mask: Array,
        *,
        gradient: bool = True,
        points: Data | None = None,
    ) -> CostResult:
        if isinstance(points, Channels):
            return nonlinear.cost(
                self, model, settings, x, observation, mask, gradient=gradient, points=points
            )
        x, observation, mask = checked_problem(model, x, observation, mask)
        terms = np.empty((len(x), 3))
        g = np.empty_like(x) if gradient else None
        self.call("cost", *self._problem_arguments(model, settings, x, observation, mask),
                   pointer(terms), None if g is None else pointer(g),
                   *point_arguments(points, x))  # fmt: skip
        return CostResult(terms[:, 0], terms[:, 1], np.sqrt(terms[:, 2]), g)

    def descend(
        self,
        model: Model,
        settings: CostSettings,
        x: Array,
        observation: Array,
        mask: Array,
        *,
        step: float,
        iterations: int,
        out: Array | None = None,
        points: Data | None = None,
    ) -> Array:
        x, observation, mask = checked_problem(model, x, observation, mask)
        x = x.copy() if out is None else moved(x, out)
        self.call(
            "descend", *self._problem_arguments(model, settings, x, observation, mask),
            step, iterations, *function_arguments(self.observation_functions, points),
            *point_arguments(None if isinstance(points, Channels) else points, x),
        )  # fmt: skip
        return x

    def observed(self, model: Model, settings: CostSettings, x: Array, points: Points) -> Array:
        x = checked("x", x, (*np.shape(x)[:2], model.state_size), np.dtype(float))
        out = np.zeros(points.step.shape)
        if out.size:
            windows, steps, _ = x.shape
            self.call(
                "observed", *self.model_arguments(model), steps, windows,
                scheme_number(settings.scheme), settings.time_step, pointer(x), pointer(out),
                *point_arguments(points, x),
            )  # fmt: skip
        return out

    def forecast(
        self, model: Model, x: Array, *, time_step: float, scheme: Scheme = "rk4"
    ) -> Array:
        return self._step(model, x, x, time_step, scheme, _FORECAST)

    def tangent_linear(
        self, model: Model, x: Array, dx: Array, *, time_step: float, scheme: Scheme = "rk4"
    ) -> Array:
        return self._step(model, x, dx, time_step, scheme, _TANGENT_LINEAR)

    def adjoint(
        self, model: Model, x: Array, v: Array, *, time_step: float, scheme: Scheme = "rk4"
    ) -> Array:
        return self._step(model, x, v, time_step, scheme, _ADJOINT)

    def run(
        self,
        model: Model,
        settings: CostSettings,
        start: Array,
        steps: int,
        forcing: Array | None = None,
    ) -> Array:
        return linearised_runs.run(self, model, settings, start, steps, forcing)

    def tangent_run(
        self,
        model: Model,
        settings: CostSettings,
        x: Array,
        start: Array,
        memory: int = 0,
        forcing: Array | None = None,
    ) -> Array:
        return linearised_runs.tangent_run(self, model, settings, x, start, memory, forcing)

    def adjoint_run(
        self, model: Model, settings: CostSettings, x: Array, gradient: Array, memory: int = 0
    ) -> Array:
        return linearised_runs.adjoint_run(self, model, settings, x, gradient, memory)

    def _step(
        self, model: Model, x: Array, v: Array, time_step: float, scheme: Scheme, what: int
    ) -> Array:
        shape = (*np.shape(x)[:-1], model.state_size)
        x = checked("x", x, shape, np.dtype(float))
        v = checked("v", v, shape, np.dtype(float))
        out = np.empty_like(x)
        self.call(
            "step", *self.model_arguments(model), x.size // model.state_size, scheme_number(scheme),
            time_step, what, pointer(x), pointer(v), pointer(out),
        )  # fmt: skip
        return out

    def _problem_arguments(
        self, model: Model, settings: CostSettings, x: Array, observation: Array, mask: Array
    ) -> tuple[Any, ...]:
        windows, steps, _ = x.shape
        return (
            *self.model_arguments(model), steps, windows, x.itemsize,
            scheme_number(settings.scheme), settings.time_step, settings.lambda1, settings.lambda2,
            pointer(x), pointer(observation), pointer(mask),
        )  # fmt: skip
