"""Incremental 4D-Var in control space, for states too large for matrices.

The first state of a window is x₀ = x_b + S v with the background covariance B = S Sᵀ, and

    J(v) = |v|² / 2 + Σ (H x_t − y_t)ᵀ R⁻¹ (H x_t − y_t) / 2.

Where the model has an error, its forcing belongs to the control v (`control_space`): the weak
constraint.

Outer loops compute the trajectory and the exact J; inner loops minimise the cost linearised about
that trajectory by conjugate gradients (`inner_loop`), with the tangent linear and adjoint of the
model and no matrix. A step that does not lower the exact J is shortened. Long windows of a chaotic
model have many minima, so that the window grows from a short one (quasi-static).

References
----------
P. Courtier, J.-N. Thépaut and A. Hollingsworth, Q. J. R. Meteorol. Soc. 120 (1994), 1367-1387;
C. Pires, R. Vautard and O. Talagrand, Tellus A 48 (1996), 96-121, for the growing window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from pyvda import names
from pyvda.climate.background import (
    CLIMATOLOGY,
    StateOption,
    is_analysis,
    is_name,
)
from pyvda.climate.climatology import climatology
from pyvda.climate.ensemble import Ensemble
from pyvda.engine import Engine
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.methods.control_space import ControlSpace
from pyvda.methods.ensemble_covariance import (
    Localisation,
    blended,
    hybrid_of_climatology,
    of_climatology,
)
from pyvda.methods.first_state import first_state
from pyvda.methods.inner_loop import Directions, Ritz
from pyvda.methods.inner_loop import solve as solve_linear
from pyvda.methods.memory_plan import MemoryPlan
from pyvda.methods.problem import Positive, Problem, Seed, Solution, Status
from pyvda.methods.statistics import (
    StatisticalOptions,
    judged,
    variance_of,
    without_observations,
)
from pyvda.methods.trajectory import Trajectory
from pyvda.methods.window_data import Part, WindowData
from pyvda.models.model import Model
from pyvda.operators.covariance import Covariance
from pyvda.operators.covariance_input import CovarianceOption, as_covariance
from pyvda.operators.points import Points
from pyvda.operators.sum import Sum

_SHORTEST = 2.0**-6  # of a step of Gauss-Newton
# What the linearised J may promise at a minimum: times the tolerance, and of J where that is small.
_PROMISED, _ROUNDING = 10.0, 1e-10
_FEWEST, _OF_CYCLE = 3, 30  # members of an ensemble: at least; by default in a cycle
_TRUTHS = 3  # arrays of a truth: in windows, in the batch and in the analysis
_SHORT = 256  # components of a control whose columns are all propagated
_RUNS_OF_DRAW = 4  # of tangent linear and adjoint, about, that conjugate gradients take
_OF_MATRIX = 5  # arrays like the Hessian, for its eigenvectors
_MOST_DIRECTIONS = 500  # of draws by conjugate gradients
_DRAW_TOLERANCE = 0.1  # of a component, in as many as data change
_EARLY_ITERATIONS, _EARLY_INNER, _EARLY_TOLERANCE = 2, 20, 0.1  # of windows that grow


COLD_START = (2, 4, 8, *range(12, 1000, 4))
_Steps = Annotated[int, Field(ge=0, le=10**9)]


class IncrementalOptions(StatisticalOptions):
    """Options of incremental 4D-Var.

    Attributes
    ----------
    background : str, path, (D,), pair, Dataset or Background
        Mean of the first state: "climatology", a state, a state and its covariance, or what
        `pyvda.climate.background.get_background` takes.
    covariance : float, (D,), (D, D), str or Covariance, optional
        B, see `pyvda.operators`. Default: that of the background; beside an ensemble that of the
        climatology, scaled to the members' mean variance, which it does not exceed.
    model_error : float, (D,), (D, D), str or Covariance, optional
        Q, in the state's units squared: the covariance of an error that the model makes at every
        step, which then belongs to the control. Default: the model is exact.
    growth : int or tuple of int
        Steps by which the window grows, or the lengths through which it grows; 0: the whole window
        at once. The first window of a cycle that starts from the climatology grows through 2, 4, 8,
        12, ... steps by default.
    iterations : int
        Maximum number of outer loops for the whole window.
    inner_iterations : int
        Maximum number of conjugate gradient iterations in a loop.
    inner_tolerance : float
        A loop ends when the gradient has fallen to this fraction.
    tolerance : float
        A window ends when J falls by less than this fraction in a loop; it has converged if the
        linearised J did not promise ten times as much.
    members : int
        Draws from the posterior that give the standard deviation, which is exact without draws
        where the control has at most 256 components; 0: none.
    ensemble : int
        Members at the last step, `final_ensemble`, from which the next window takes a part of B; 0:
        none, and B is static. Default: 0; 30 in a cycle without covariance.
    ensemble_of : {"draws", "analyses"}
        Whether the members are draws from the posterior, which cost hardly more than the standard
        deviation, or an ensemble of 4D-Vars with perturbed observations and backgrounds, whose
        spread is then the standard deviation.
    ensemble_weight : float
        Weight of the ensemble in B, 0 to 1; `covariance` has the rest.
    localisation : float or Covariance
        Length L, in grid spacings, of the taper of the ensemble's covariance, which resembles
        exp(−d²/2L²) and is zero from 3.65 L on, or a correlation operator; 0: none.
    inflation : float
        Factor on B.
    memory : float
        GiB that pyvda takes for a window beside the file: data, results, search directions, the
        model's workspace, the trajectory, and, with what is left, linearisations. What does not fit
        is computed again: linearisations first, then states between checkpoints.
    seed : int
        Seed of the draws.
    observation_variance : float, optional
        See `StatisticalOptions`.
    """

    starts_from_first_guess: ClassVar[bool] = False
    takes_points: ClassVar[bool] = True
    takes_ensemble: ClassVar[bool] = True
    cycles: ClassVar[bool] = True
    has_own_covariance: ClassVar[bool] = True

    background: StateOption = CLIMATOLOGY
    covariance: CovarianceOption | None = None
    model_error: CovarianceOption | None = None
    growth: _Steps | tuple[_Steps, ...] = 0
    iterations: int = Field(10, ge=1, le=10**6)
    inner_iterations: int = Field(50, ge=1, le=10**6)
    inner_tolerance: float = Field(1e-2, gt=0, lt=1)
    tolerance: float = Field(1e-3, gt=0, lt=1)
    members: int = Field(30, ge=0, le=10**6)
    ensemble: int = Field(0, ge=0, le=10**6)
    ensemble_of: Literal["draws", "analyses"] = "draws"
    ensemble_weight: float = Field(0.5, gt=0, le=1)
    localisation: Localisation = 10.0
    inflation: Positive = 1.0
    memory: float = Field(4.0, ge=0, le=1e6)
    seed: Seed = 0

    def without_effect(self, model: Model, *, warm: bool, channels: bool) -> dict[str, str]:
        """Return the options that have no effect, and why."""
        found = {}
        if not (self.members or self.ensemble):
            found["seed"] = "nothing is drawn, since members is 0; leave it out, or give members"
        if not self.ensemble:
            found["ensemble_of"] = "ensemble is 0; leave it out, or give ensemble"
            if not is_analysis(self.background):
                for name in ("ensemble_weight", "localisation"):
                    found[name] = "there is no ensemble; leave it out, or give ensemble"
        elif self.ensemble_of == "analyses":
            found["members"] = "the analyses give the standard deviation; leave it out"
        return found

    @model_validator(mode="after")
    def _check(self) -> IncrementalOptions:
        if 0 < self.ensemble < _FEWEST:
            raise ValueError(
                f"ensemble is {self.ensemble}, expected 0 or at least {_FEWEST} members"
            )
        if self.model_error is not None and self.ensemble and self.ensemble_of == "analyses":
            raise ValueError(
                "ensemble_of analyses perturbs observations and background but no model error; "
                "choose ensemble_of draws, or leave out model_error"
            )
        return self

    def cycled(self) -> IncrementalOptions:
        """Return the options with what gives every window its B: `covariance`, or an ensemble."""
        if self.covariance is not None:
            return self
        if isinstance(self.background, tuple):
            mean, B = self.background
            return self.model_copy(update={"covariance": as_covariance(B, mean.size, "background")})
        if self.ensemble:
            return self
        if "ensemble" in self.model_fields_set:
            raise InputError(
                "ensemble is 0, and without covariance the windows of a cycle have no B; give "
                "covariance (--covariance), or leave out ensemble"
            )
        return self.model_copy(update={"ensemble": _OF_CYCLE})

    def for_first_window(self) -> IncrementalOptions:
        """Return the options of the first window: the climatology has a covariance of its own."""
        if not (is_name(self.background) and self.background == CLIMATOLOGY):
            return self
        cold: dict[str, Any] = {"covariance": None, "inflation": 1.0}
        return self.model_copy(update=cold | ({} if self.growth else {"growth": COLD_START}))

    def has_stdev(self) -> bool:
        """Tell whether the method gives the analysis a standard deviation."""
        return self.members > 0 or (self.ensemble > 0 and self.ensemble_of == "analyses")

    def window_outputs(self) -> tuple[str, ...]:
        """Return the names of `Solution.per_window`."""
        final = (names.FINAL_ENSEMBLE,) if self.ensemble else ()
        return (names.OBJECTIVE, names.CHI_SQUARE_LIMIT, *final)

    def expected_state(self, model: Model, engine: Engine) -> Array:
        """Return the state (D,) expected without observations: the background's mean."""
        return _background(self, model, engine)[0]


def solve(problem: Problem, options: IncrementalOptions) -> Solution:
    """Minimise J of each window, one after the other.

    Raises
    ------
    InputError
        The error variance of the observations is unknown, or B is not given and no matrix.
    """
    mean, B, Q = _statistics(problem, options)
    data = _data(problem, options)
    windows, length = np.shape(problem.batch.observation)[:2]
    x, climatological, status = without_observations(problem)
    stdev = climatological if options.has_stdev() else None
    del climatological  # as large as the window
    objective, iterations = np.full(windows, np.nan), np.zeros(windows, int)
    final = np.full((windows, options.ensemble, len(mean)), np.nan)

    def analyse(window: int) -> None:
        own = data(window)
        cost = _Cost(problem, options, mean, ControlSpace(B, Q, own.steps), own)
        cost.plan.expect_room()
        found = _minimised(cost, options)
        x[window], status[window] = found.x[:length], found.status
        objective[window], iterations[window] = found.objective, found.iterations
        if options.members or options.ensemble:
            key = [options.seed, int(problem.window_numbers()[window])]
            spread, final[window] = _uncertainty(cost, found, np.random.default_rng(key))
            if stdev is not None:
                stdev[window] = spread[:length]

    chosen = np.flatnonzero(problem.has_observations())
    for done, window in enumerate(chosen):
        analyse(int(window))
        problem.report(done + 1, len(chosen))
    status, limit = judged(status, objective, problem.data())
    per_window = {names.OBJECTIVE: objective, names.CHI_SQUARE_LIMIT: limit}
    if options.ensemble:
        per_window[names.FINAL_ENSEMBLE] = final
    return Solution(x, status, iterations, stdev=stdev, per_window=per_window)


def control_cost(problem: Problem, options: IncrementalOptions) -> _Cost:
    """Return J of the problem's first window, as a function of the control, for checks."""
    mean, B, Q = _statistics(problem, options)
    own = _data(problem, options)(0)
    return _Cost(problem, options, mean, ControlSpace(B, Q, own.steps), own)


def _statistics(
    problem: Problem, options: IncrementalOptions
) -> tuple[Array, Covariance, Covariance | None]:
    """Return the background's mean (D,), its covariance B and that of the model error, Q."""
    mean, B = _background(options, problem.model, problem.engine)
    Q = options.model_error
    if Q is not None:
        Q = as_covariance(Q, len(mean), "model_error", problem.model.state_space)
    return mean, B, Q


def _data(problem: Problem, options: IncrementalOptions) -> Callable[[int], WindowData]:
    """Return a function that returns the data of a window."""
    variance, batch = variance_of(problem, options.observation_variance), problem.batch

    def of_window(window: int) -> WindowData:
        points = problem.points(slice(window, window + 1))
        weighed = points.weighed(1 / variance) if isinstance(points, Points) else None
        observation, mask = (np.asarray(a[window], float) for a in (batch.observation, batch.mask))
        return WindowData(observation, mask / variance, weighed)

    return of_window


def _background(
    options: IncrementalOptions, model: Model, engine: Engine
) -> tuple[Array, Covariance]:
    """Return the mean (D,) of the first state and the covariance B of its error."""
    given, size = options.background, model.state_size
    B: Covariance | None = None
    if not is_name(given):
        mean, B = first_state(given, options.covariance, model, engine)
    elif given != CLIMATOLOGY:
        raise InputError(
            f"the background is {given}, but incremental 4D-Var needs one; give climatology, "
            "or a state and a covariance"
        )
    else:
        known = climatology(model, engine)
        mean = known.mean
        if options.covariance is not None:
            B = as_covariance(options.covariance, size, "covariance", model.state_space)
        else:
            B = of_climatology(model, engine)
    if isinstance(given, Ensemble):
        weight, localisation = options.ensemble_weight, options.localisation
        if B is None and weight < 1:
            B = hybrid_of_climatology(given.members, weight, localisation, model, engine)
        else:
            B = blended(B, given.members, weight, localisation, model)
    if B is None:
        raise InputError(
            f"no covariance of the background is known for {size} components; give one as "
            "covariance (--covariance), such as a file of pyvda covariance"
        )
    return mean, B if options.inflation == 1 else Sum([B], [options.inflation])


@dataclass
class _Cost:
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


class _Minimum(NamedTuple):
    x: Array
    trajectory: Trajectory
    status: int
    objective: float
    iterations: int
    control: Array
    ritz: Ritz


def _minimised(cost: _Cost, options: IncrementalOptions, near: _Minimum | None = None) -> _Minimum:
    """Minimise J of windows that grow to the whole one, each from the minimum before.

    From the minimum of a cost that differs little, the window need not grow.
    """
    v, ritz, count = np.zeros(cost.control.rank), Ritz.none(cost.control.rank), 0
    if near is not None:
        v, ritz = near.control, near.ritz
    status = Status.ITERATION_LIMIT
    for steps, last in _lengths(cost.data.steps, options.growth if near is None else 0):
        x = cost.trajectory(v, steps)
        J = cost.value(v, x)
        status = Status.ITERATION_LIMIT
        for _ in range(options.iterations if last else _EARLY_ITERATIONS):
            if not np.isfinite(J):
                break
            downhill = -cost.gradient(v, x)
            inner = solve_linear(
                partial(cost.curvature, x=x),
                downhill,
                ritz,
                options.inner_iterations if last else min(_EARLY_INNER, options.inner_iterations),
                options.inner_tolerance if last else max(_EARLY_TOLERANCE, options.inner_tolerance),
            )
            count += 1
            # A loop that hardly had to iterate knows less of A than the one before.
            ritz = inner.ritz if len(inner.ritz.values) >= len(ritz.values) else ritz
            promised = 0.5 * float(downhill @ inner.x)
            del downhill
            v, x, J, fell = _shortened(cost, v, x, J, inner.x)
            if fell <= options.tolerance * J:
                # Where shorter steps hardly lower J either, this need not be a minimum.
                if promised <= max(_PROMISED * options.tolerance, _ROUNDING) * J:
                    status = Status.CONVERGED
                break
    whole = x.whole()
    if not np.isfinite(J):
        whole, status, J = np.full_like(whole, np.nan), Status.DIVERGED, np.nan
    return _Minimum(whole, x, status, J, count, v, ritz)


def _shortened(
    cost: _Cost, v: Array, x: Trajectory, J: float, step: Array
) -> tuple[Array, Trajectory, float, float]:
    """Return the control, trajectory and J after a step that lowers J, and by how much it fell."""
    length = 1.0
    while length >= _SHORTEST:
        there = v + length * step
        new = cost.trajectory(there, x.steps)
        value = cost.value(there, new)
        if value < J:
            return there, new, value, J - value
        length /= 2
    return v, x, J, 0.0


def _lengths(steps: int, growth: int | tuple[int, ...]) -> Iterator[tuple[int, bool]]:
    """Yield the lengths of the window while it grows, and whether it is the whole one."""
    if isinstance(growth, int):
        growth = tuple(range(growth, steps, growth)) if growth else ()
    for length in growth:
        if 1 < length < steps:
            yield length, False
    yield steps, True


def _uncertainty(cost: _Cost, found: _Minimum, random: np.random.Generator) -> tuple[Array, Array]:
    """Return the standard deviation (T, D) and the members at the last step, (N, D).

    NaN where the minimum is not finite.
    """
    options, x = cost.options, found.x
    if not np.isfinite(x).all():
        return np.full_like(x, np.nan), np.full((options.ensemble, x.shape[1]), np.nan)
    if options.ensemble and options.ensemble_of == "analyses":
        return _analyses(cost, found, random)
    count = max(options.members, options.ensemble)
    stdev, ends = _draws(cost, found, count, random)
    last = x[cost.data.length - 1]
    return stdev, last + ends - ends.mean(0) if options.ensemble else ends


def _analyses(cost: _Cost, found: _Minimum, random: np.random.Generator) -> tuple[Array, Array]:
    """Return the spread of an ensemble of 4D-Vars and its members at the last step, (N, D).

    Each has observations and a background with errors drawn from R and B, or the background of its
    own member; a member that diverged is left out, and the minimum stands for it.
    """
    options, given = cost.options, cost.options.background
    last = cost.data.length - 1
    if isinstance(given, Ensemble) and len(given.members) == options.ensemble:
        perturbation = np.sqrt(options.inflation) * (given.members - given.mean)
    else:
        perturbation = cost.control.B.sample(random, options.ensemble)
    variance, count = np.zeros_like(found.x), 0
    ends = np.tile(found.x[last], (options.ensemble, 1))
    for i, shift in enumerate(perturbation):
        observed = cost.data.perturbed(random)
        one = _minimised(replace(cost, mean=cost.mean + shift, data=observed), options, near=found)
        if np.isfinite(one.x).all():
            variance += (one.x - found.x) ** 2
            count, ends[i] = count + 1, one.x[last]
    return np.sqrt(variance / max(count, 1)), found.x[last] + ends - ends.mean(0)


def _draws(
    cost: _Cost, found: _Minimum, members: int, random: np.random.Generator
) -> tuple[Array, Array]:
    """Return the posterior standard deviation (T, D) and errors of the last step, (ensemble, D).

    The errors are those of runs of the model, which do not grow beyond it as linearised ones do.
    The covariance of the control is A⁻¹. A short control is propagated by all columns of A^−½, and
    the standard deviation is exact. Otherwise it is that of draws: A^−½ ξ where all eigenvectors of
    A are affordable, and ξ + A⁻¹ Gᵀ (ε − G ξ) by conjugate gradients where they are not, with
    G = R^−½ H M S.
    """
    x, rank, size = found.trajectory, cost.control.rank, cost.options.ensemble
    variance, ends = np.zeros_like(found.x), np.zeros((size, cost.data.size))
    if rank <= _SHORT:
        known, normal = _pairs(cost, x), random.standard_normal((size, rank))
        columns = known.power(np.eye(rank), -0.5)
        for begin in range(0, rank, cost.plan.together):
            _add_squares(cost, columns[begin : begin + cost.plan.together], x, variance, 1)
        return np.sqrt(variance), _run(cost, found, normal @ columns)
    draw = _drawing(cost, x, members, random)
    for begin in range(0, members, cost.plan.together):
        count = min(cost.plan.together, members - begin)
        drawn = draw(count)
        _add_squares(cost, drawn, x, variance, members)
        kept = ends[begin : begin + count]  # the draws after those of the ensemble are not
        kept[:] = _run(cost, found, drawn[: len(kept)])
    return np.sqrt(variance), ends


def _run(cost: _Cost, found: _Minimum, errors: Array) -> Array:
    """Return errors of the control (n, rank), propagated to the last step, (n, D).

    Zero where the run of the model diverges.
    """
    last, ends = cost.data.length - 1, np.zeros((len(errors), cost.data.size))
    for end, error in zip(ends, errors, strict=True):
        there = cost.trajectory(found.control + error, cost.data.steps).at(last)
        if np.isfinite(there).all():
            end[:] = there - found.x[last]
    return ends


def _drawing(
    cost: _Cost, x: Trajectory, members: int, random: np.random.Generator
) -> Callable[[int], Array]:
    """Return a function of n that draws controls of the covariance A⁻¹, (n, rank).

    All eigenvectors are computed where that takes no more runs than conjugate gradients would for
    `members` draws.
    """
    rank, count, room = cost.control.rank, cost.data.count, cost.plan.controls
    runs, held = (count, 2 * count) if count < rank else (2 * rank, _OF_MATRIX * rank)
    if runs <= _RUNS_OF_DRAW * members and held <= room:
        known = _pairs(cost, x)
        return lambda n: known.power(random.standard_normal((n, rank)), -0.5)
    directions = Directions(min(room // 2, _MOST_DIRECTIONS), rank)
    product, most = partial(cost.curvature, x=x), cost.options.inner_iterations
    limit = _DRAW_TOLERANCE * np.sqrt(min(rank, count))

    def one() -> Array:
        # A draw of the prior, and its analysis with a draw of the data's errors.
        prior = random.standard_normal(rank)
        right = cost.innovation(random.standard_normal(count), prior, x)
        return prior + directions.solve(product, right, most, limit)

    return lambda n: np.stack([one() for _ in range(n)])


def _pairs(cost: _Cost, x: Trajectory) -> Ritz:
    """Return all eigenpairs of A above 1: in the space of the data or of the control.

    Conjugate gradients would find one vector of each multiple eigenvalue.
    """
    rank, count = cost.control.rank, cost.data.count
    if count < rank:
        return Ritz.of_rows(np.stack([cost.back(e, x) for e in _units(count)]))
    return Ritz.of_matrix(np.stack([cost.curvature(e, x) for e in _units(rank)]))


def _units(size: int) -> Iterator[Array]:
    """Yield the unit vectors (size,)."""
    for i in range(size):
        e = np.zeros(size)
        e[i] = 1.0
        yield e


def _add_squares(cost: _Cost, w: Array, x: Trajectory, to: Array, count: int) -> None:
    """Add to `to` (T, D) the mean squares of perturbations."""
    for first, there in cost.perturbations(w, x):
        begin = first + (first > 0)  # a step that two segments share counts once
        to[begin : first + there.shape[1]] += (there[:, begin - first :] ** 2).sum(0) / count
