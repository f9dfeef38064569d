"""The ensemble transform Kalman smoother in torch, one window after the other.

An analysis takes the members' mean x̄ and anomalies A (N, D) to x̄ + wᵀA and Ω T A with

    w = S (I + SᵀS/(N-1))⁻¹ d / (N-1),    T = (I + SSᵀ/(N-1))^(-1/2) = I + S G Sᵀ,

S (N, p) the members' anomalies at the p data in units of the errors, d the innovations in the same
units, and Ω = I - 2 VVᵀ a mixing of the members that leaves mean and covariance as they are (Bishop
et al. 2001, Hunt et al. 2007). A state before the datum learns by the same w and T (Evensen & van
Leeuwen 2000). An analysis may go back some observation times and change the members there, by
Gauss-Newton steps over the run from there to the datum (Bocquet & Sakov 2014).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from pyvda.engine.checked import checked
from pyvda.engine.interface import Array, CostSettings
from pyvda.engine.torch.arrays import array, tensor
from pyvda.engine.torch.channels import ListedData, listed
from pyvda.engine.torch.steps import Steps
from pyvda.models.model import Model
from pyvda.operators.data import Data

_REAL = np.dtype(float)


def ensemble_smoother(
    model: Model,
    settings: CostSettings,
    observation: Array,
    precision: Array,
    members: Array,
    *,
    inflation: float = 1.0,
    lag: int = 0,
    depth: int = 0,
    iterations: int = 1,
    reflections: Array | None = None,
    noise: Array | None = None,
    points: Data | None = None,
    spread: bool = True,
    final: bool = False,
) -> tuple[Array, Array | None, Array | None]:
    """See `Engine.ensemble_smoother`."""
    shape = np.shape(observation)
    observation = checked("observation", observation, shape, _REAL)
    precision = checked("precision", precision, shape, _REAL)
    members = checked("members", members, (len(members), model.state_size), _REAL)
    if reflections is None:
        reflections = np.empty((1, 0, len(members)))
    reflections = checked("reflections", reflections, np.shape(reflections), _REAL)
    errors = None
    if noise is not None:
        sized = (shape[1] - 1, shape[2], len(members))
        errors = tensor(checked("noise", noise, sized, _REAL)).mT
        if depth:
            raise ValueError(f"depth is {depth}, expected 0 with noise")
    data = listed(points, shape[0], shape[2], shape[1])
    mean, stdev = np.full(shape, np.nan), np.full(shape, np.nan)
    last = np.full((len(mean), *members.shape), np.nan)
    with torch.no_grad():
        for w in range(len(mean)):
            window = _Window(
                Steps(model, settings), tensor(observation[w]), tensor(precision[w]),
                tensor(reflections), inflation, depth, iterations, errors,
                None if data is None else data[torch.tensor([w])],
            )  # fmt: skip
            if window.forward(tensor(members)):
                x, variance = window.smoothed(lag, spread)
                mean[w] = array(x)
                stdev[w] = array(variance.sqrt())
                last[w] = array(window.final)
    return mean, stdev if spread else None, last if final else None


@dataclass(frozen=True)
class _Transform:
    """The update of the members by one analysis: w (N,), S (N, p), G (p, p), and V (N, r) of Ω."""

    w: Tensor
    S: Tensor
    G: Tensor
    V: Tensor

    def without_mixing(self, A: Tensor) -> Tensor:
        """Return T A."""
        return A + self.S @ (self.G @ (self.S.T @ A))

    def __call__(self, A: Tensor) -> Tensor:
        """Return Ω T A."""
        A = self.without_mixing(A)
        return A - 2 * self.V @ (self.V.T @ A)

    def before(self, w: Tensor) -> Tensor:
        """Return the weights that count this analysis, too: wₖ + T Ω w."""
        w = w - 2 * self.V @ (self.V.T @ w)
        return self.w + w + self.S @ (self.G @ (self.S.T @ w))


class _Window:
    """One window: the observation times, the members at these, and the analyses."""

    def __init__(
        self,
        steps: Steps,
        observation: Tensor,
        precision: Tensor,
        reflections: Tensor,
        inflation: float,
        depth: int,
        iterations: int,
        noise: Tensor | None,
        points: ListedData | None,
    ) -> None:
        self.steps, self.observation, self.precision = steps, observation, precision
        self.reflections, self.inflation = reflections, inflation
        self.iterations = iterations
        self.noise, self.points = noise, points
        observed = (precision > 0).any(1)
        if points is not None:
            observed[points.step[points.weight > 0]] = True
        self.times = observed.nonzero()[:, 0].tolist()
        # Where the members stand for each analysis; not before the first observation, where they
        # are as good as at the first step.
        self.stands = [self.times[max(k - depth, 0)] for k in range(len(self.times))]
        self.means: list[Tensor] = []
        self.anomalies: list[Tensor] = []
        self.analyses: list[_Transform] = []
        self.final: Tensor  # the members at the last step, (N, D)

    def forward(self, members: Tensor) -> bool:
        """Run the members through all observations; return whether they stayed finite."""
        mean, A = _centred(members)
        self._keep(mean, A)
        for k, (time, stand) in enumerate(zip(self.times, self.stands, strict=True)):
            if k and self.now < stand:
                A = self.inflation * A
            mean, A = self._run(mean, A, stand)
            if not torch.isfinite(mean).all():
                return False
            found = self._analysis(k, mean, A, time, stand)
            if found is None:
                return False
            self.analyses.append(found)
            mean, A = mean + found.w @ A, found(A)
        steps = len(self.observation)
        if self.times and self.now < steps - 1:
            A = self.inflation * A
        mean, A = self._run(mean, A, steps - 1)
        self.final = mean + A
        return bool(torch.isfinite(torch.stack(self.means)).all())

    @property
    def now(self) -> int:
        """The step that the members have reached."""
        return len(self.means) - 1

    def _keep(self, mean: Tensor, A: Tensor) -> None:
        self.means.append(mean)
        self.anomalies.append(A)

    def _run(self, mean: Tensor, A: Tensor, to: int) -> tuple[Tensor, Tensor]:
        while self.now < to:
            members = self.steps.step(mean + A)
            if self.noise is not None:
                members = members + self.noise[self.now]
            mean, A = _centred(members)
            self._keep(mean, A)
        return mean, A

    def _analysis(
        self, k: int, mean: Tensor, A: Tensor, time: int, stand: int
    ) -> _Transform | None:
        """Return the analysis with the data at `time`, from members at `stand`; None: diverged."""
        seen = self.precision[time] > 0
        root = self.precision[time][seen].sqrt()
        V = self.reflections[k % len(self.reflections)].T
        found, back = None, None
        for _ in range(1 if stand == time else self.iterations):
            trial_mean, trial = mean, A
            if found is not None:
                trial_mean, trial = mean + found.w @ A, found.without_mixing(A)
            for _ in range(stand, time):
                trial_mean, trial = _centred(self.steps.step(trial_mean + trial))
            if not torch.isfinite(trial_mean).all():
                return None
            S = root * trial[:, seen]
            d = root * (self.observation[time][seen] - trial_mean[seen])
            S, d = self._with_points(S, d, trial_mean + trial, time)
            if found is not None and back is not None:
                # T⁻¹ takes what the last iteration did to the members out of their anomalies.
                S = S + found.S @ (back @ (found.S.T @ S))
                d = d + S.T @ found.w
            found, back = _weights(S, d, V)
        return found

    def _with_points(
        self, S: Tensor, d: Tensor, members: Tensor, time: int
    ) -> tuple[Tensor, Tensor]:
        """Add the data at arbitrary times after the step `time`, as the members (N, D) see them."""
        if self.points is None:
            return S, d
        here = ((self.points.weight > 0) & (self.points.step == time))[0].nonzero()[:, 0]
        points = self.points.of_step(here, len(members))
        mean, anomalies = _centred(points.predicted(self.steps, members[:, None]))
        root = points.weight[0].sqrt()
        innovation = root * (points.value[0] - mean)
        return torch.cat((S, root * anomalies), 1), torch.cat((d, innovation))

    def smoothed(self, lag: int, spread: bool) -> tuple[Tensor, Tensor]:
        """Return the mean and the variance at every step, (T, D)."""
        N = len(self.anomalies[0])
        mean = torch.stack(self.means)
        variance = torch.full_like(mean, torch.nan)

        def learns_from(t: int) -> tuple[int, int]:
            """Return the first and last analysis that change the members at step t afterwards."""
            seen = sum(stand < t for stand in self.stands)
            passed = sum(time <= t for time in self.times)
            count = len(self.times)
            return seen, max(seen, min(count, passed + lag)) if lag else count

        for (first, last), group in groupby(range(len(mean)), learns_from):
            times = list(group)
            later = self.analyses[first:last]
            w = torch.zeros(N, dtype=mean.dtype)
            for analysis in reversed(later):
                w = analysis.before(w)
            A = torch.stack([self.anomalies[t] for t in times], 1)  # (N, times, D)
            mean[times] += torch.tensordot(w, A, 1)
            if spread:
                flat = A.flatten(1)
                for analysis in later:
                    flat = analysis(flat)
                variance[times] = flat.square().sum(0).reshape(A.shape[1:]) / (N - 1)
        return mean, variance


def _weights(S: Tensor, d: Tensor, V: Tensor) -> tuple[_Transform, Tensor]:
    """Return the analysis of sensitivities S and innovations d, and the matrix G of T⁻¹."""
    free = len(S) - 1
    values, U = torch.linalg.eigh(S.T @ S / free)
    s = (1 + values.clamp(min=0)).sqrt()
    w = S @ (U @ ((U.T @ d) / s**2)) / free
    G = (U / (-s * (s + 1) * free)) @ U.T
    back = (U / ((s + 1) * free)) @ U.T
    return _Transform(w, S, G, V), back


def _centred(members: Tensor) -> tuple[Tensor, Tensor]:
    mean = members.mean(0)
    return mean, members - mean
