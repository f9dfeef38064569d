"""Strong-constraint 4D-Var in torch: Gauss-Newton from any number of starts of each window.

    J(x₀) = ½ (x₀ - b)ᵀ B⁻¹ (x₀ - b) + ½ Σ (y - x(t))² / R,    x(t) = Φᵗ(x₀)

with x₀ `lead` steps before the window. The damping of Levenberg and Marquardt is measured in the
climatology's variances. A window can be grown a few steps at a time, each length from the minimum
of the last (Pires, Vautard & Talagrand 1996). A minimisation is a window and a start; all of them
go through the arithmetic together, each with its own length, damping and end.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pyvda.engine.checked import checked, estimated_parameters
from pyvda.engine.data import Minima
from pyvda.engine.interface import Array, CostSettings
from pyvda.engine.torch.arrays import array, cholesky, quadratic, tensor
from pyvda.engine.torch.channels import ListedData, listed
from pyvda.engine.torch.steps import Steps
from pyvda.engine.torch.trajectory import advanced, follow_linearised
from pyvda.models.model import Model
from pyvda.names import Status
from pyvda.operators.data import Data
from pyvda.operators.function import Channels

_LOOSE = 0.1  # decrement below which a window shorter than the whole is lengthened
_LOST_IN_SUM = 1e-12  # relative to J: a smaller decrease is not seen
_LARGEST_DAMPING = 1e12
_AT_ONCE = 1 << 24  # numbers in the derivatives of the states: 128 MiB
_REAL = np.dtype(float)


def strong_constraint(
    model: Model,
    settings: CostSettings,
    observation: Array,
    precision: Array,
    starts: Array,
    *,
    background: Array,
    background_precision: Array,
    variance: Array,
    lead: int,
    growth: int,
    iterations: int,
    tolerance: float,
    points: Data | None = None,
) -> Minima:
    """See `Engine.strong_constraint`."""
    windows, length, _ = shape = np.shape(observation)
    _, count, size = starts.shape
    estimated = estimated_parameters(model, size)
    observation = checked("observation", observation, shape, _REAL)
    precision = checked("precision", precision, shape, _REAL)
    starts = checked("starts", starts, (windows, count, size), _REAL)
    background = checked("background", background, (size,), _REAL)
    B_inverse = checked("background_precision", background_precision, (size, size), _REAL)
    variance = checked("variance", variance, (size,), _REAL)
    steps = Steps(model, settings, estimated=estimated > 0)

    def minimised(rows: slice) -> Minima:
        y, c, x = observation[rows], precision[rows], starts[rows]
        data = None if points is None else points[rows]
        cost = StrongCost(
            steps, tensor(np.repeat(y, count, axis=0)), tensor(np.repeat(c, count, axis=0)),
            tensor(background), tensor(B_inverse), lead,
            listed(
                _repeated(data, count, estimated), len(x) * count, size, length,
                state_size=model.state_size,
            ),
        )  # fmt: skip
        run = _Minimisations(
            cost, tensor(x.reshape(-1, size)), 1 / tensor(variance), growth, iterations, tolerance
        )
        run.run()
        found = (run.x, run.hessian, run.objective, run.iterations, run.status())
        return Minima(*(array(each).reshape(len(x), count, *each.shape[1:]) for each in found))

    at_once = max(1, _AT_ONCE // (count * length * size**2))
    with torch.no_grad():
        # One part even of no windows, for the shapes.
        parts = [minimised(slice(k, k + at_once)) for k in range(0, max(windows, 1), at_once)]
    return Minima(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def trajectories(
    model: Model,
    settings: CostSettings,
    control: Array,
    hessian: Array,
    *,
    lead: int,
    steps: int,
) -> tuple[Array, Array]:
    """See `Engine.trajectories`."""
    windows, size = control.shape
    flow = Steps(model, settings, estimated=estimated_parameters(model, size) > 0)
    x = tensor(checked("control", control, (windows, size), _REAL))
    H = tensor(checked("hessian", hessian, (windows, size, size), _REAL))
    with torch.no_grad():
        # With H⁻¹ = C Cᵀ the covariance of a state is (G C)(G C)ᵀ.
        unit = torch.eye(size, dtype=x.dtype).expand(windows, -1, -1)
        root = torch.linalg.solve_triangular(cholesky(H)[0].mT, unit, upper=True)
        states, carried = follow_linearised(flow, *advanced(flow, x, root, lead), steps)
        return array(states), array(carried.square().sum(-1).sqrt())


def _repeated(points: Data | None, count: int, estimated: int) -> Data | None:
    """Return the data of every window for each of its starts; no datum is of a parameter."""
    if points is None:
        return None
    if isinstance(points, Channels):
        return points[np.repeat(np.arange(len(points.value)), count)]
    rows = points.operator
    widened = replace(points, operator=replace(rows, size=rows.size + estimated))
    return widened[np.repeat(np.arange(len(points.step)), count)]


class StrongCost:
    """J of N controls (N, C), each with the data of its own window up to some step.

    Parameters
    ----------
    observation, precision : (N, T, D)
    background, background_precision : (C,), (C, C)
    lead : int
    points : PointData, optional
    """

    def __init__(
        self,
        steps: Steps,
        observation: Tensor,
        precision: Tensor,
        background: Tensor,
        background_precision: Tensor,
        lead: int,
        points: ListedData | None,
    ) -> None:
        self.steps, self.lead, self.points = steps, lead, points
        self.observation, self.precision = observation, precision
        self.background, self.background_precision = background, background_precision
        observed = (precision > 0).any(-1)
        if points is not None:
            at = torch.zeros_like(observed, dtype=torch.int64)
            at.scatter_add_(1, points.step, (points.weight > 0).long())
            observed |= at > 0
        self.observed = observed

    def last_datum(self, chosen: Tensor, horizon: Tensor) -> Tensor:
        """Return how many of the first `horizon` steps (N,) reach to the last with a datum."""
        number = torch.arange(1, self.observed.shape[1] + 1)
        inside = self.observed[chosen] & (number <= horizon[:, None])
        return torch.where(inside, number, 0).amax(1)

    def quadratic(self, x: Tensor, chosen: Tensor, stop: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return J (n,), its gradient (n, C) and Gauss-Newton Hessian (n, C, C) at x (n, C).

        Parameters
        ----------
        chosen : (n,)
            Which of the N controls they are.
        stop : (n,)
            Steps of the window whose data count.
        """
        size = x.shape[1]
        d = x - self.background
        J = 0.5 * quadratic(self.background_precision, d)
        g = d @ self.background_precision
        H = self.background_precision.expand(len(x), -1, -1)
        reach = int(stop.max()) if len(stop) else 0
        if not reach:
            return J, g, H
        unit = torch.eye(size, dtype=x.dtype).expand(len(x), -1, -1)
        start, columns = advanced(self.steps, x, unit, self.lead)
        states, carried = follow_linearised(self.steps, start, columns, reach)
        y, c = self.observation[chosen, :reach], self.precision[chosen, :reach]
        counts = torch.arange(reach) < stop[:, None]
        c = torch.where(counts[..., None], c, 0.0)
        state = y.shape[2]
        misfit = torch.where(c > 0, states[..., :state] - y, 0.0)
        G = torch.where(c[..., None] > 0, carried[:, :, :state], 0.0)
        J = J + 0.5 * (c * misfit.square()).sum((1, 2))
        rows, factors = G.flatten(1, 2), c.flatten(1, 2)
        g = g + (rows.mT @ (c * misfit).flatten(1, 2)[..., None])[..., 0]
        H = H + rows.mT @ (factors[..., None] * rows)
        if self.points is not None:
            points = self.points[chosen]
            inside = (points.weight > 0) & (points.step < stop[:, None])
            near = replace(points, step=points.step.clamp(max=reach - 1))
            predicted, by_state = near.linearised(self.steps, states)
            derivative = torch.where(inside[..., None], near.along(carried, by_state), 0.0)
            misfit = torch.where(inside, predicted - points.value, 0.0)
            weighted = points.weight[..., None] * derivative
            J = J + 0.5 * (points.weight * misfit.square()).sum(1)
            g = g + (weighted.mT @ misfit[..., None])[..., 0]
            H = H + weighted.mT @ derivative
        return J, g, H


class _Minimisations:
    """N minimisations in progress, as tensors (N, ...)."""

    def __init__(
        self,
        cost: StrongCost,
        x: Tensor,
        metric: Tensor,
        growth: int,
        iterations: int,
        tolerance: float,
    ) -> None:
        count, size = x.shape
        self.cost, self.x, self.metric = cost, x.clone(), metric
        self.length = cost.observation.shape[1]
        self.growth = growth or self.length
        self.at_most, self.tolerance = iterations, tolerance
        real, whole = x.dtype, torch.int64
        self.objective = torch.full((count,), torch.inf, dtype=real)
        self.gradient = torch.zeros(count, size, dtype=real)
        self.hessian = torch.zeros(count, size, size, dtype=real)
        self.decrement = torch.full((count,), torch.inf, dtype=real)
        self.damping = torch.zeros(count, dtype=real)
        self.step = torch.zeros_like(self.x)
        self.horizon = torch.zeros(count, dtype=whole)  # steps of the window that count
        self.stop = torch.full((count,), -1, dtype=whole)  # the last of them with a datum
        self.iterations = torch.zeros(count, dtype=whole)
        self.since = torch.zeros(count, dtype=whole)  # iterations at this length
        # Whether x itself is to be evaluated, with a new horizon, and not the trial x + step.
        self.fresh = torch.zeros(count, dtype=torch.bool)

    def run(self) -> None:
        """Minimise until all have ended."""
        every = torch.arange(len(self.x))
        self._grow(every)
        active = every
        while len(active):
            trial = torch.where(
                self.fresh[active, None], self.x[active], self.x[active] + self.step[active]
            )
            found = self.cost.quadratic(trial, active, self.stop[active])
            stuck = self._judge(active, trial, *found)
            active = self._decide(active, stuck)

    def status(self) -> Tensor:
        """Return the `Status` of each, (N,)."""
        small = self.decrement <= torch.clamp(
            _LOST_IN_SUM * (1 + self.objective), min=self.tolerance
        )
        ended = torch.where(
            (self.horizon == self.length) & small,
            int(Status.CONVERGED), int(Status.ITERATION_LIMIT),
        )  # fmt: skip
        return torch.where(torch.isfinite(self.objective), ended, int(Status.DIVERGED))

    def _grow(self, rows: Tensor) -> Tensor:
        """Lengthen the windows; return which have more data then, (n,) bool."""
        self.horizon[rows] = (self.horizon[rows] + self.growth).clamp(max=self.length)
        self.since[rows] = 0
        self.damping[rows] = 0.0
        stop = self.cost.last_datum(rows, self.horizon[rows])
        more = stop != self.stop[rows]
        self.stop[rows] = stop
        self.fresh[rows] = more
        return more

    def _judge(self, rows: Tensor, trial: Tensor, J: Tensor, g: Tensor, H: Tensor) -> Tensor:
        """Accept or refuse the trials; return which are stuck at the rounding error of J."""
        fresh, old = self.fresh[rows], self.objective[rows]
        accepted = fresh | (old > J)
        self._adapt_damping(rows, J, accepted & ~fresh)
        taken = rows[accepted]
        self.x[taken] = trial[accepted]
        self.objective[taken], self.gradient[taken] = J[accepted], g[accepted]
        self.hessian[taken] = H[accepted]
        self.decrement[taken] = _newton_decrement(g[accepted], H[accepted])
        self.fresh[rows] = False
        refused = rows[~accepted]
        self.damping[refused] = (5 * self.damping[refused]).clamp(min=1.0)
        return ~accepted & (self.decrement[rows] <= _LOST_IN_SUM * (1 + old))

    def _adapt_damping(self, rows: Tensor, J: Tensor, which: Tensor) -> None:
        """Damp less only where J fell by as much as the Gauss-Newton model predicts."""
        rows, J = rows[which], J[which]
        step, damping = self.step[rows], self.damping[rows]
        linear = -(self.gradient[rows] * step).sum(1)
        curved = torch.einsum("ni,nij,nj->n", step, self.hessian[rows], step)
        gain = (self.objective[rows] - J) / (linear - curved / 2)
        damping = torch.where(gain < 0.5, (2 * damping).clamp(min=0.5), damping)
        less = torch.where(damping < 0.1, 0.0, damping / 4)
        self.damping[rows] = torch.where(gain > 0.8, less, damping)

    def _decide(self, rows: Tensor, stuck: Tensor) -> Tensor:
        """Choose the next trial of each minimisation; return those that have one."""
        going: list[Tensor] = []
        while len(rows):
            finite = torch.isfinite(self.objective[rows])
            rows, stuck = rows[finite], stuck[finite]
            whole = self.horizon[rows] == self.length
            enough = torch.where(whole, self.tolerance, _LOOSE)
            arrived = stuck | (self.decrement[rows] <= enough)
            wanted = ~arrived & (self.since[rows] < self.at_most)
            found = wanted.clone()
            found[wanted] = self._try_step(rows[wanted])
            going.append(rows[found])
            rows = rows[~found & ~whole]
            more = self._grow(rows)
            going.append(rows[more])
            rows = rows[~more]
            stuck = torch.zeros(len(rows), dtype=torch.bool)
        return torch.cat(going).sort().values if going else rows

    def _try_step(self, rows: Tensor) -> Tensor:
        """Find a damping at which each has a step; return which have, (n,) bool."""
        found = torch.zeros(len(rows), dtype=torch.bool)
        open_ = self.damping[rows] <= _LARGEST_DAMPING
        while open_.any():
            these = rows[open_]
            shift = (self.damping[these, None] * self.metric).diag_embed()
            factor, positive = cholesky(self.hessian[these] + shift)
            right = -self.gradient[these][..., None]
            step = torch.cholesky_solve(right, factor)[..., 0]
            self.step[these[positive]] = step[positive]
            self.damping[these[~positive]] = (5 * self.damping[these[~positive]]).clamp(min=1.0)
            found[open_] = positive
            open_ = open_ & ~found & (self.damping[rows] <= _LARGEST_DAMPING)
        self.iterations[rows[found]] += 1
        self.since[rows[found]] += 1
        return found


def _newton_decrement(g: Tensor, H: Tensor) -> Tensor:
    """Return gᵀ H⁻¹ g, (n,), infinite where H is not positive definite."""
    factor, positive = cholesky(H)
    root = torch.linalg.solve_triangular(factor, g[..., None], upper=False)[..., 0]
    return torch.where(positive, root.square().sum(-1), torch.inf)
