"""The Julia engine: the entry points of `julia/src/boundary/boundary.jl`, called through ctypes.

1. Only numbers and pointers to numpy's own memory cross; shapes, dtypes and finiteness are
   checked here, before.
2. Julia lives on one thread of its own, which starts it and runs every call: any Python thread may
   ask, the main thread stays free for Ctrl-C. (Calling from a second thread while the starting one
   waits in Python deadlocks at the next garbage collection.)
3. Which of the two ways of starting gave the entry points makes no difference from here on.
"""

from __future__ import annotations

import ctypes
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
    objectives,
    parameters,
    posterior_mean,
    strong_constraint,
    weak_constraint,
)
from pyvda.engine.julia.arguments import (
    _F,
    _I,
    _P,
    POINTS,
    described,
    point_arguments,
    pointer,
    scheme_number,
)
from pyvda.errors import EngineError
from pyvda.models.model import Model
from pyvda.operators.points import Points

_FORECAST, _TANGENT_LINEAR, _ADJOINT = 0, 1, 2

_SIGNATURES = {
    "simulate": (_I, _P, _I, _I, _I, _P, _P, _F, _F, _F, _F),
    "cost": (_I, _P, _I, _I, _I, _I, _I, _F, _F, _F, _P, _P, _P, _P, _P, *POINTS),
    "descend": (_I, _P, _I, _I, _I, _I, _I, _F, _F, _F, _P, _P, _P, _F, _I, *POINTS),
    "observed": (_I, _P, _I, _I, _I, _I, _F, _P, _P, *POINTS),
    "step": (_I, _P, _I, _I, _I, _F, _I, _P, _P, _P),
}
_MESSAGE_BYTES = 2048


class StartedJulia(NamedTuple):
    """What a way of starting Julia returns, from the thread that started it."""

    version: str
    threads: int
    address: Callable[[str], int]


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
        self._address = started.address
        self._functions: dict[str, Any] = {}

    def call(self, name: str, signature: tuple[Any, ...], *arguments: Any) -> None:
        """Call the entry point `name`, whose C arguments are `signature`; wait for it."""
        message = ctypes.create_string_buffer(_MESSAGE_BYTES)

        def run() -> int:
            if name not in self._functions:
                prototype = ctypes.CFUNCTYPE(ctypes.c_int, *signature, ctypes.c_char_p, _I)
                self._functions[name] = prototype(self._address(name))
            return int(self._functions[name](*arguments, message, _MESSAGE_BYTES))

        if self._thread.submit(run).result() != 0:
            raise EngineError(f"Julia: {message.value.decode('utf-8', 'replace')}")

    # The methods' verbs, a file each.
    weak_constraint = weak_constraint.weak_constraint
    trajectories = strong_constraint.trajectories
    strong_constraint = strong_constraint.strong_constraint
    ensemble_smoother = ensemble_smoother.ensemble_smoother
    best_starts = posterior_mean.best_starts
    posterior_mean = posterior_mean.posterior_mean
    shooting_objective = objectives.shooting_objective
    strong_objective = objectives.strong_objective
    forecast_with_parameters = parameters.forecast
    tangent_linear_with_parameters = parameters.tangent_linear
    adjoint_with_parameters = parameters.adjoint

    def _call(self, name: str, *arguments: Any) -> None:
        self.call(name, _SIGNATURES[name], *arguments)

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
        number, parameters, size = described(model)
        self._call(
            "simulate", number, pointer(parameters), size, steps, windows, pointer(start),
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
        points: Points | None = None,
    ) -> CostResult:
        x, observation, mask = checked_problem(model, x, observation, mask)
        terms = np.empty((len(x), 3))
        g = np.empty_like(x) if gradient else None
        self._call("cost", *_problem_arguments(model, settings, x, observation, mask),
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
        points: Points | None = None,
    ) -> Array:
        x, observation, mask = checked_problem(model, x, observation, mask)
        x = x.copy() if out is None else moved(x, out)
        self._call("descend", *_problem_arguments(model, settings, x, observation, mask),
                   step, iterations, *point_arguments(points, x))  # fmt: skip
        return x

    def observed(self, model: Model, settings: CostSettings, x: Array, points: Points) -> Array:
        x = checked("x", x, (*np.shape(x)[:2], model.state_size), np.dtype(float))
        out = np.zeros(points.step.shape)
        if out.size:
            number, parameters, size = described(model)
            windows, steps, _ = x.shape
            self._call(
                "observed", number, pointer(parameters), size, steps, windows,
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

    def _step(
        self, model: Model, x: Array, v: Array, time_step: float, scheme: Scheme, what: int
    ) -> Array:
        shape = (*np.shape(x)[:-1], model.state_size)
        x = checked("x", x, shape, np.dtype(float))
        v = checked("v", v, shape, np.dtype(float))
        out = np.empty_like(x)
        number, parameters, size = described(model)
        self._call(
            "step", number, pointer(parameters), size, x.size // size, scheme_number(scheme),
            time_step, what, pointer(x), pointer(v), pointer(out),
        )  # fmt: skip
        return out


def _problem_arguments(
    model: Model, settings: CostSettings, x: Array, observation: Array, mask: Array
) -> tuple[Any, ...]:
    number, parameters, size = described(model)
    windows, steps, _ = x.shape
    return (
        number, pointer(parameters), size, steps, windows, x.itemsize,
        scheme_number(settings.scheme), settings.time_step, settings.lambda1, settings.lambda2,
        pointer(x), pointer(observation), pointer(mask),
    )  # fmt: skip
