"""Values that other packages publish in their tests and examples, and pyvda's for the same cases.

    python benchmarks/reference_values.py

OOPS: `l95/test/testinput` and `testoutput` of github.com/JCSDA/oops at 9548ed45. Lorenz-95 with 40
components and steps of 0.0125 (PT1H30M). Truth and forecast start from 8 everywhere, but for 9 at
x₁₀ and 7 at x₂₀; B = 0.6² exp(−d²/2) around the circle; the observations are the truth in the six
digits of OOPS's files; R = 0.4² with 0.4 in single precision. Loops are of ten conjugate gradient
iterations, so that the values are those of unfinished descents. OOPS's second loops are not
preconditioned by what the first ones found, and pyvda's are: `second_loop` leaves that out.
ADAO: `doc/en/scripts` of github.com/SalomePlatform/adao at 01d5a42f.
DataAssim.jl: `test` of github.com/Alexander-Barth/DataAssim.jl at 555a26c1; the analysis is exact.

Each row is kept in benchmarks/results/reference_values.json.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import comb
from typing import Any, NamedTuple

import numpy as np
import store
import torch
import xarray as xr

import pyvda
from pyvda import operators
from pyvda.engine import CostSettings, get_engine
from pyvda.methods import Problem, inner_loop
from pyvda.methods.incremental import IncrementalOptions, control_cost
from pyvda.models.model import Model
from pyvda.operators.localisation import gaspari_cohn
from pyvda.state.batch import Batch

STEP, SIZE = 0.0125, 40
R = float(np.float32(0.4)) ** 2
ONCE = {"iterations": 1, "inner_iterations": 10, "inner_tolerance": 1e-10, "members": 0}
MIDDLE, LAST, ALPHA = 8, 16, 100.0  # of the digital filter: steps of the window, and its weight
FIXED = 1e-14  # variance of what a background states exactly


class Case(NamedTuple):
    """A published test.

    Attributes
    ----------
    source, name : str
    published : dict of str to float
    tolerance : float
        Largest difference of a value, relative to the larger of 1 and the value.
    computed : callable
        Returns pyvda's values in the order of `published`.
    """

    source: str
    name: str
    published: dict[str, float]
    tolerance: float
    computed: Callable[[], list[float]]


def trajectory(at: int, value: float, steps: int, forcing: float = 8.0) -> np.ndarray:
    """Return states (steps, 40) from 8 everywhere but in one component."""
    start = np.full((1, SIZE), 8.0)
    start[0, at] = value
    model = pyvda.get_model("lorenz96", forcing=forcing)
    return get_engine().run(model, CostSettings(time_step=STEP), start, steps)[0]


def truth_and_forecast() -> tuple[np.ndarray, np.ndarray]:
    """Return the trajectories of three days, (49, 40)."""
    return trajectory(9, 9.0, 49), trajectory(19, 7.0, 49)


def written(values: np.ndarray) -> np.ndarray:
    """Return values as OOPS's observation files have them."""
    return np.vectorize(lambda value: float(f"{value:.6g}"))(values)


def summary(x: np.ndarray) -> list[float]:
    """Return minimum, maximum and mean."""
    return [float(x.min()), float(x.max()), float(x.mean())]


def background_covariance() -> np.ndarray:
    """Return B (40, 40)."""
    place = np.arange(SIZE)
    distance = np.abs(place[:, None] - place)
    distance = np.minimum(distance, SIZE - distance)
    return 0.36 * np.exp(-0.5 * distance**2)


def half_square(d: np.ndarray, covariance: np.ndarray) -> float:
    """Return dᵀ C⁻¹ d / 2."""
    return float(0.5 * d @ np.linalg.solve(covariance, d))


def forecasts() -> list[float]:
    """Return minimum, maximum and mean after three days."""
    return summary(truth_and_forecast()[1][48])


def adjoint() -> list[float]:
    """Return the same of the sensitivity of a one-day forecast with another forcing."""
    model, settings = pyvda.get_model("lorenz96", forcing=7.6), CostSettings(time_step=STEP)
    x = trajectory(9, 9.0, 17, forcing=7.6)[None]
    error = np.zeros_like(x)
    error[0, LAST] = x[0, LAST] - truth_and_forecast()[0][LAST]
    return summary(get_engine().adjoint_run(model, settings, x, error)[0, 0])


class Descent(NamedTuple):
    """An incremental 4D-Var of one window, and the terms of its cost.

    Attributes
    ----------
    y : (T, D)
        Observations, NaN where there are none.
    variance : float
    model : Model
    engine : str
    background : pair of (D,) and (D, D)
    terms : callable
        Returns Jb, Jo, ... of the states (T, 40).
    """

    y: np.ndarray
    variance: float
    model: Model
    engine: str
    background: tuple[np.ndarray, np.ndarray]
    terms: Callable[[np.ndarray], list[float]]

    def options(self) -> IncrementalOptions:
        """Return the options of one loop."""
        return IncrementalOptions(background=self.background, **ONCE)

    def first_loop(self) -> list[float]:
        """Return the cost and the summary of the first state after one loop."""
        analysis = pyvda.assimilate(
            windows(self.y[None], self.variance), model=self.model, method="incremental",
            engine=self.engine, background=self.background, **ONCE,
        )  # fmt: skip
        return self._values(analysis["analysis"].values[0])

    def second_loop(self) -> list[float]:
        """Return the same after a second loop, without the preconditioner from the first."""
        mask = np.isfinite(self.y)[None].astype(float)
        batch = Batch(np.nan_to_num(self.y)[None], mask, np.zeros_like(mask))
        engine = get_engine(self.engine)
        problem = Problem(batch, self.model, CostSettings(STEP), engine, self.variance)
        cost = control_cost(problem, self.options())
        v = np.zeros(cost.control.rank)
        for _ in range(2):
            x = cost.trajectory(v, len(self.y))
            v = v + inner_loop.solve(
                partial(cost.curvature, x=x), -cost.gradient(v, x),
                inner_loop.Ritz.none(len(v)), ONCE["inner_iterations"], ONCE["inner_tolerance"],
            ).x  # fmt: skip
        return self._values(cost.trajectory(v, len(self.y)).whole())

    def _values(self, x: np.ndarray) -> list[float]:
        states = x[:, :SIZE]
        return [*self.terms(states), *summary(states[0])]


def three_dimensional() -> tuple[Descent, list[float]]:
    """Return a descent of Jb and Jo, and Jo of the background.

    Data of three times are compared with one state. Their mean has the same minimum.
    """
    truth, forecast = truth_and_forecast()
    background, y, B = forecast[16], written(truth[15:18]), background_covariance()
    mean = np.full((2, SIZE), np.nan)
    mean[0] = y.mean(0)

    def terms(x: np.ndarray) -> list[float]:
        return [half_square(x[0] - background, B), float(0.5 * ((x[0] - y) ** 2).sum() / R)]

    model = pyvda.get_model("lorenz96")
    descent = Descent(mean, R / 3, model, "julia", (background, B), terms)
    return descent, terms(background[None])[1:]


def four_dimensional() -> tuple[Descent, list[float]]:
    """Return a descent of Jb, Jo and Jc, and Jo and Jc of the background."""
    truth, forecast = truth_and_forecast()
    background, B = forecast[2:19], background_covariance()
    y = written(truth[4:19:2, ::2])
    data = np.full((LAST + 1, 2 * SIZE + 1), np.nan)
    data[2::2, :SIZE:2] = y
    data[LAST, SIZE:-1] = 0.0
    covariance = np.diag(np.full(2 * SIZE + 1, FIXED))
    covariance[:SIZE, :SIZE] = B
    first = np.append(background[0], np.zeros(SIZE + 1))

    def terms(x: np.ndarray) -> list[float]:
        of_data = float(0.5 * ((x[2::2, ::2] - y) ** 2).sum() / R)
        of_filter = float(0.5 * ALPHA * ((filter_weights() @ x) ** 2).sum())
        return [half_square(x[0] - background[0], B), of_data, of_filter]

    descent = Descent(data, R, filtered_lorenz96(), "torch", (first, covariance), terms)
    return descent, terms(background)[1:]


def first_loop(of: Callable[[], tuple[Descent, list[float]]]) -> list[float]:
    """Return the cost of the background, then that and the summary after one loop."""
    descent, before = of()
    return [*before, *descent.first_loop()]


def second_loop(of: Callable[[], tuple[Descent, list[float]]]) -> list[float]:
    """Return cost and summary after two loops."""
    return of()[0].second_loop()


def filter_weights() -> np.ndarray:
    """Return the weights (17,) of the filtered state minus that in the middle of the window.

    A Dolph-Chebyshev filter whose cutoff is two steps: its weights are the binomial ones.
    """
    weights = np.array([comb(LAST, k) for k in range(LAST + 1)]) / 2**LAST
    weights[MIDDLE] -= 1
    return weights


def filtered_lorenz96() -> Model:
    """Return Lorenz-96 whose state also has the filter's sum s so far, and the number of the step.

    At the last step s is observed as 0, and its scale is such that its error variance is R: a
    constraint over the window, posed as an observation.
    """
    scale = np.sqrt(ALPHA * R)

    def tendency(x: torch.Tensor) -> torch.Tensor:
        return (x.roll(-1, -1) - x.roll(2, -1)) * x.roll(1, -1) - x + 8.0

    def step(z: torch.Tensor) -> torch.Tensor:
        x, s, count = z.split((SIZE, SIZE, 1), -1)
        a = tendency(x)
        b = tendency(x + STEP / 2 * a)
        c = tendency(x + STEP / 2 * b)
        d = tendency(x + STEP * c)
        after = x + STEP / 6 * (a + 2 * b + 2 * c + d)
        number = count.detach().round().long().clamp(0, LAST - 1)
        weights = torch.as_tensor(scale * filter_weights()).to(x)
        s = s + weights[number + 1] * after + (number == 0) * weights[0] * x
        return torch.cat((after, s, count + 1), -1)

    names = [f"{kind}{k}" for kind in "xs" for k in range(SIZE)]
    return pyvda.torch_model(step=step, variables=(*names, "count"), time_step=STEP)


def windows(y: np.ndarray, variance: float, dimension: str = "state") -> xr.Dataset:
    """Return observations (W, T, D) as a Dataset."""
    return xr.Dataset(
        {"observation": (("window", "time", dimension), y)},
        {"time": STEP * np.arange(y.shape[1])},
        {"observation_error_variance": variance},
    )


def still(size: int) -> Model:
    """Return the model whose state does not change."""
    names = [f"x{k}" for k in range(size)]
    return pyvda.torch_model(step=lambda x: 1.0 * x, variables=names, time_step=STEP)


def linear(
    H: np.ndarray, y: np.ndarray, mean: np.ndarray, variance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return analysis and standard deviation of y = H x + e, with R = 1 and B = variance I."""
    data = np.full((1, 2, len(H)), np.nan)
    data[0, 0] = y
    found = pyvda.assimilate(
        windows(data, 1.0, "channel"), model=still(H.shape[1]), method="strong-constraint",
        background=(mean, variance * np.eye(H.shape[1])), operator=operators.SparseLinear(H),
        engine="torch", starts="mean",
    )  # fmt: skip
    return found["analysis"].values[0, 0], found["state_stdev"].values[0, 0]


def first_steps() -> list[float]:
    """Return the analysis of ADAO's introduction."""
    x, _ = linear(
        np.diag([1.0, 2.0, 3.0]), np.array([0.5, 1.5, 2.5]), np.array([0.0, 1.0, 2.0]), 1.0
    )
    return [float(value) for value in x]


def blue() -> list[float]:
    """Return the best linear unbiased estimate, and its variance."""
    x, stdev = linear(np.eye(3), np.array([10.0, 11.0, 12.0]), np.array([0.0, 1.0, 2.0]), 1.0)
    return [*(float(value) for value in x), float(stdev[0] ** 2)]


def calibration() -> list[float]:
    """Return the coefficients of a parabola through five points."""
    at = np.array([-5.0, 0.0, 1.0, 3.0, 10.0])
    y = np.array([57.0, 2.0, 3.0, 17.0, 192.0])
    x, _ = linear(np.stack([at**2, at, at**0], 1), y, np.ones(3), 1e6)
    return [float(value) for value in x]


def kalman_filter() -> list[float]:
    """Return estimate and variance after 50 measurements of a constant, with Q = 1e-5."""
    draw = np.random.RandomState(1234567)
    y = np.array([float(draw.normal(-0.37727, 0.1)) for _ in range(51)])
    y[0] = np.nan  # the first time has the background alone
    found = pyvda.assimilate(
        windows(y[None, :, None], 0.01), model=still(1), method="gauss-newton", form="statistical",
        model_error=1e-5, background=(np.zeros(1), np.eye(1)), engine="torch",
    )  # fmt: skip
    return [
        float(found["analysis"].values[0, -1, 0]), float(found["state_stdev"].values[0, -1, 0] ** 2)
    ]  # fmt: skip


def two_data() -> list[float]:
    """Return the state after data 3 and 7 of its first component."""
    H = np.array([[1.0, 0.0], [1.0, 0.0]])
    x, _ = linear(H, np.array([3.0, 7.0]), np.ones(2), 1.0)
    return [float(value) for value in x]


def taper() -> list[float]:
    """Return Gaspari and Cohn's function at one and a half length scales."""
    return [float(gaspari_cohn([1.5], 2.0)[0])]


_SUMMARY = ("minimum", "maximum", "mean")
CASES = (
    Case("OOPS", "forecast of three days", dict(zip(_SUMMARY, (
        -5.2310406392601312, 15.276437168335866, 6.4563081299850511), strict=True)),
        1e-12, forecasts),
    Case("OOPS", "adjoint of a forecast of one day", dict(zip(_SUMMARY, (
        -1.1087053572746657e-01, -4.2087923040343249e-03, -5.9705929649925868e-02), strict=True)),
        1e-12, adjoint),
    Case("OOPS", "3D-Var, one loop", {
        "Jo of the background": 114.53536836501503, "Jb": 12.298142599759272,
        "Jo": 3.1724820520492338, "minimum": 6.7531238531361240, "maximum": 9.0671156812624290,
        "mean": 8.0090733944088726}, 1e-12, partial(first_loop, three_dimensional)),
    Case("OOPS", "3D-Var, second loop", {
        "Jb": 12.298285611573817, "Jo": 3.1723013629003529, "minimum": 6.7530480630029741,
        "maximum": 9.0671949301284496, "mean": 8.0091276780926002},
        1e-12, partial(second_loop, three_dimensional)),
    Case("OOPS", "4D-Var with a digital filter, one loop", {
        "Jo of the background": 123.85634722309175, "Jc of the background": 0.32760572015633549,
        "Jb": 2.0122909073626629, "Jo": 0.90193678402655897, "Jc": 0.36930816764252727,
        "minimum": 7.6582776790462370, "maximum": 8.6488528468480155,
        "mean": 8.0031073988124248}, 1e-12, partial(first_loop, four_dimensional)),
    Case("OOPS", "4D-Var with a digital filter, second loop", {
        "Jb": 2.1543248755682138, "Jo": 0.51829565510585618, "Jc": 0.35848307016512621,
        "minimum": 7.6776474021026928, "maximum": 8.6797047029014180,
        "mean": 8.0131403782996422}, 1e-12, partial(second_loop, four_dimensional)),
    Case("ADAO", "tui_example_01, 3DVAR", {"x1": 0.25000264, "x2": 0.79999797, "x3": 0.94999939},
         5e-6, first_steps),
    Case("ADAO", "simple_Blue", {"x1": 5.0, "x2": 6.0, "x3": 7.0, "variance": 0.5}, 1e-12, blue),
    Case("ADAO", "simple_3DVAR1", {"a": 2.0, "b": -0.99999992, "c": 1.99999987}, 1e-6, calibration),
    Case("ADAO", "simple_KalmanFilter1", {"estimate": -0.37725236, "variance": 0.00033921}, 1e-8,
         kalman_filter),
    Case("DataAssim.jl", "4DVar, two data", {"x1": 11 / 3, "x2": 1.0}, 1e-12, two_data),
    Case("DataAssim.jl", "compact_locfun", {"at 1.5": 19 / 1152}, 1e-12, taper),
)  # fmt: skip


def rows(case: Case) -> list[dict[str, Any]]:
    """Return published and own values of a case, and their difference as `Case.tolerance` is."""
    return [
        {"source": case.source, "case": case.name, "quantity": quantity, "published": published,
         "pyvda": value, "difference": abs(value - published) / max(1.0, abs(published)),
         "tolerance": case.tolerance}
        for (quantity, published), value in zip(
            case.published.items(), case.computed(), strict=True)
    ]  # fmt: skip


def main() -> None:
    """Compute all values, print and keep them."""
    found = [row for case in CASES for row in rows(case)]
    for row in found:
        print("{source:12s} {case:40s} {quantity:22s} {published:22.15g} {pyvda:22.15g} "
              "{difference:8.1e}".format(**row))  # fmt: skip
    store.write("reference_values", {"rows": found})


if __name__ == "__main__":
    main()
