"""The cost of incremental 4D-Var in control space, with its gradient and its curvature.

    J(v) = |v|² / 2 + Σ (H x_t − y_t)ᵀ R⁻¹ (H x_t − y_t) / 2,    x₀ = x_b + S v,    B = S Sᵀ.

Each of them is a run of the model, of its tangent linear or of its adjoint, in as much memory as
the window may take (`memory_plan`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from pyvda.engine.interface import Array
from pyvda.methods.control_space import ControlSpace
from pyvda.methods.memory_plan import MemoryPlan
from pyvda.methods.problem import Problem
from pyvda.methods.trajectory import Trajectory
from pyvda.methods.window_data import Part, WindowData

if TYPE_CHECKING:
    from pyvda.methods.incremental import IncrementalOptions

_TRUTHS = 3  # arrays of a truth: in windows, in the batch and in the analysis


@dataclass
class ControlCost:
    """J of one window, and the products that its linearisation consists of."""

    problem: Problem
    options: IncrementalOptions
    mean: Array
    control: ControlSpace
    data: WindowData

    def trajectory(self, v: Array, steps: int) -> Trajectory:
        """Return the trajectory that belongs to a control, with the cost of its data as total."""
        engine, model, settings = self.problem.engine, self.problem.model, self.problem.cost

        def advance(state: Array, first: int, last: int) -> Array:
            forcing = self.control.forcing(v[None], first, last)
            return engine.run(model, settings, state[None], last - first + 1, forcing)[0]

        def misfit(first: int, states: Array) -> float:
            return self.data.part(first, len(states), steps).cost(states)

        start = self.mean + self.control.start(v[None])[0]
        return Trajectory.run(start, steps, self.plan.stride, advance, misfit)

    def value(self, v: Array, x: Trajectory) -> float:
        """Return J, inf where the trajectory is not finite."""
        J = 0.5 * float(v @ v) + x.total
        return J if np.isfinite(J) else np.inf

    def gradient(self, v: Array, x: Trajectory) -> Array:
        """Return ∂J/∂v."""
        return v + self._adjoint(x, lambda part, states: part.gradient(states))

    def curvature(self, w: Array, x: Trajectory) -> Array:
        """Return A w, the Hessian of J linearised about x."""
        seen = self._seen(w, x)
        return w + self._adjoint(x, lambda part, _: part.back(seen.pop()))

    def back(self, of_data: Array, x: Trajectory) -> Array:
        """Return Sᵀ Mᵀ Hᵀ R^−½ d for numbers d (K,) of the data."""
        return self._adjoint(x, lambda part, _: part.back(part.whitened(of_data)))

    def innovation(self, of_data: Array, w: Array, x: Trajectory) -> Array:
        """Return Gᵀ (d − G w) with G = R^−½ H M S, for numbers d (K,) of the data."""
        seen = self._seen(w, x)
        return self._adjoint(x, lambda part, _: part.back(part.whitened(of_data) - seen.pop()))

    def _seen(self, w: Array, x: Trajectory) -> list[Array]:
        """Return R⁻¹ H M S w of the segments."""
        return [
            self.data.part(first, there.shape[1], x.steps).weighed(there[0])
            for first, there in self.perturbations(w[None], x)
        ]

    def perturbations(self, w: Array, x: Trajectory) -> Iterator[tuple[int, Array]]:
        """Yield segments (n, steps, D) of the perturbations by controls w (n, rank)."""
        engine, model, settings = self.problem.engine, self.problem.model, self.problem.cost
        there = self.control.start(w)
        for first, states in x:
            about = np.ascontiguousarray(np.broadcast_to(states, (len(w), *states.shape)))
            forcing = self.control.forcing(w, first, first + len(states) - 1)
            found = engine.tangent_run(model, settings, about, there, self._kept(x), forcing)
            there = np.ascontiguousarray(found[:, -1])
            yield first, found

    def _adjoint(self, x: Trajectory, force: Callable[[Part, Array], Array]) -> Array:
        """Return the gradient for the control, given that for the segments, `force`."""
        engine, model, settings = self.problem.engine, self.problem.model, self.problem.cost
        found, later = np.zeros(self.control.rank), None
        for first, states in reversed(x):
            gradient = force(self.data.part(first, len(states), x.steps), states)
            if later is not None:
                gradient[-1] += later
            back = engine.adjoint_run(model, settings, states[None], gradient[None], self._kept(x))[
                0
            ]
            self.control.add_adjoint(back, first, found)
            later = back[0]
        return found

    @cached_property
    def plan(self) -> MemoryPlan:
        """The use of `memory` for the window."""
        options, (windows, length, _) = self.options, np.shape(self.problem.batch.observation)
        return MemoryPlan(
            limit=options.memory * 2**30,
            steps=self.data.steps,
            size=self.data.size,
            rank=self.control.rank,
            iterations=options.inner_iterations,
            block=windows * length,
            truths=0 if self.problem.batch.truth is None else _TRUTHS,
            data=self.data.nbytes,
            workspace=self.problem.engine.workspace_bytes(self.problem.model),
            spread=options.has_stdev(),
            members=options.ensemble,
            analyses=options.ensemble > 0 and options.ensemble_of == "analyses",
        )

    def _kept(self, x: Trajectory) -> int:
        """Return the bytes for linearisations, of which a window in segments has none."""
        return self.plan.linearisations if len(x.kept) == x.steps else 0
