"""The interface of an engine. There are two: `julia` (fast) and `torch` (no Julia needed).

Arrays are numpy, C-ordered `(window, time, state)`, in the state's units; nothing of Julia and no
tensor is seen outside this folder.

To add a call: state it here; write it in a file of `engine/torch/` and one of `engine/julia/`, each
bound to its name in `engine.py` there; state its arguments for Julia in a line of
`julia/src/boundary/signatures.txt`, and write its entry point in a file of `julia/src/boundary/`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from pyvda.engine.data import Array as Array
from pyvda.engine.data import CostResult as CostResult
from pyvda.engine.data import CostSettings as CostSettings
from pyvda.engine.data import EngineInfo as EngineInfo
from pyvda.engine.data import (
    Interpolated,
    InterpolationData,
    LocalCentres,
    Minima,
    Minimum,
    Posterior,
    Selection,
    Shooting,
    Targets,
)
from pyvda.engine.data import Scheme as Scheme
from pyvda.models.model import Model
from pyvda.operators.data import Data
from pyvda.operators.points import Points

if TYPE_CHECKING:
    from pyvda.climate.library import Library


@runtime_checkable
class Engine(Protocol):
    """Simulation, cost and gradient, the methods' numerics, and linearised steps of a model.

    Common arguments, in all that follows:

    model : Model
    settings : CostSettings
        The scheme of the cost and its time step.
    observation : (W, T, D)
    mask : (W, T, D)
        Weight of a datum; 0 where nothing was observed.
    precision : (W, T, D)
        One over the error variance of a datum; 0 where nothing was observed.
    points : Points or Channels, optional
        Data at arbitrary times, or of functions of the state. They count as observations; their
        `weight` is what `mask` or `precision` is of a datum at a step.
    """

    info: EngineInfo

    # Runs and single steps of the model ----------------------------------------------------------

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
        """Integrate by Dormand-Prince 5(4) with dense output.

        Parameters
        ----------
        start : (W, D)
            States at time -`spinup`.
        time_step, spinup : float
            Model time units.

        Returns
        -------
        (W, steps, D)
            States at 0, Δ, 2Δ, ...; NaN in a window that diverged. Both engines give the same bits.
        """

    def forecast(
        self, model: Model, x: Array, *, time_step: float, scheme: Scheme = "rk4"
    ) -> Array:
        """Φ of each state: (..., D) to (..., D)."""

    def tangent_linear(
        self, model: Model, x: Array, dx: Array, *, time_step: float, scheme: Scheme = "rk4"
    ) -> Array:
        """∂Φ/∂x(x) dx, (..., D)."""

    def adjoint(
        self, model: Model, x: Array, v: Array, *, time_step: float, scheme: Scheme = "rk4"
    ) -> Array:
        """(∂Φ/∂x(x))ᵀ v, (..., D)."""

    def forecast_with_parameters(
        self,
        model: Model,
        settings: CostSettings,
        z: Array,
    ) -> Array:
        """Return the states followed by the parameters, (..., D + P), one step later."""

    def tangent_linear_with_parameters(
        self,
        model: Model,
        settings: CostSettings,
        z: Array,
        dz: Array,
    ) -> Array:
        """Return the step's tangent linear at z, applied to dz, all (..., D + P)."""

    def adjoint_with_parameters(
        self,
        model: Model,
        settings: CostSettings,
        z: Array,
        v: Array,
    ) -> Array:
        """Return the step's adjoint at z, applied to v, all (..., D + P)."""

    def run(
        self,
        model: Model,
        settings: CostSettings,
        start: Array,
        steps: int,
        forcing: Array | None = None,
    ) -> Array:
        """Return the trajectories (W, steps, D) from the states `start` (W, D).

        Parameters
        ----------
        forcing : (W, steps - 1, D), optional
            Added to the state after each step.
        """

    def tangent_run(
        self,
        model: Model,
        settings: CostSettings,
        x: Array,
        start: Array,
        memory: int = 0,
        forcing: Array | None = None,
    ) -> Array:
        """Return the tangent linear of `run` about trajectories x, (W, T, D).

        Parameters
        ----------
        x : (W, T, D)
        start : (W, D)
            Perturbations of the first states.
        memory : int
            Bytes for linearisations of one window that may be kept for the next call.
        forcing : (W, T - 1, D), optional
            Perturbations of the forcing.
        """

    def adjoint_run(
        self, model: Model, settings: CostSettings, x: Array, gradient: Array, memory: int = 0
    ) -> Array:
        """Return the gradient with respect to the first states and the forcing, (W, T, D).

        Parameters
        ----------
        x : (W, T, D)
            The trajectories to linearise about.
        gradient : (W, T, D)
            With respect to the states of all times.
        memory : int
            As in `tangent_run`.

        Returns
        -------
        (W, T, D)
            That of the first states at the first time, that of the forcing after it.
        """

    def workspace_bytes(self, model: Model) -> int:
        """Return the bytes that a run of the model holds for a step, beside its states.

        0 where they are a matter of its library, as of autograd.
        """

    # The cost (4), and descent -------------------------------------------------------------------

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
        """Evaluate (4) and its gradient, in the precision of `x`; all arrays (W, T, D)."""

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
        """Return `x` after `iterations` of x ← x - `step` ∂U/∂x, eq. (5).

        The result goes to `out` where it is given (C-contiguous, in the precision of `x`; it may be
        `x` itself); otherwise `x` is left as it is.
        """

    def observed(self, model: Model, settings: CostSettings, x: Array, points: Points) -> Array:
        """Return the observed equivalents of states x (W, T, D) at arbitrary times, (W, K)."""

    # 4D-Var --------------------------------------------------------------------------------------

    def weak_constraint(
        self,
        model: Model,
        settings: CostSettings,
        shooting: Shooting,
        x: Array,
        observation: Array,
        mask: Array,
        divisor: Array,
        background: Array,
        precision: Array,
        *,
        spread: bool = False,
        points: Data | None = None,
    ) -> Minimum:
        """Minimise half of (x₁-b)ᵀB⁻¹(x₁-b) + Σ mask/divisor (x-y)² + w Σ |x_{k+1} - M(x_k)|².

        Parameters
        ----------
        x : (W, T, D)
            Of `x` the first guess of the nodes is taken.
        divisor : (W,)
            Positive.
        background, precision : (W, D), (D, D)
            b and B⁻¹; without a background zeros.
        spread : bool
            Whether the standard deviations are wanted, from the Hessian of the last stage.
        """

    def shooting_objective(
        self,
        model: Model,
        settings: CostSettings,
        x: Array,
        observation: Array,
        precision: Array,
        background: Array,
        background_precision: Array,
        *,
        weight: float,
        model_precision: Array | None = None,
        every: int = 1,
        substeps: int = 1,
        gradient: bool = True,
        points: Data | None = None,
    ) -> tuple[Array, Array | None]:
        """Return J (W,) that `weak_constraint` minimises and its gradient by the nodes (W, K, D).

        Parameters
        ----------
        x : (W, T, D)
            Of `x` the nodes count, every `every`-th step.
        background, background_precision : (W, D), (D, D)
            b and B⁻¹.
        weight : float
            w of the model between two nodes.
        model_precision : (D, D), optional
            Q⁻¹, which w multiplies; see `Shooting`.
        gradient : bool
            Without it, J alone, computed by the code that judges a trial step.
        """

    def strong_constraint(
        self,
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
        """Minimise ½ |x₀ - b|² in B⁻¹ + ½ Σ (y - x(t))² / R over x₀, for every window and start.

        The control x₀ is the state alone, C = D, or the state followed by the model's P parameters,
        C = D + P; the values that `model` itself has for its parameters are then not used.

        Parameters
        ----------
        starts : (W, S, C)
        background : (C,)
        background_precision : (C, C)
            B⁻¹, zero for none.
        variance : (C,)
            Variance of the climatology and of the parameters, in which the damping is measured.
        lead : int
            Steps from the control to the window's first.
        growth : int
            Steps by which the window grows; 0: the whole window at once.
        iterations : int
            At most so many for a start.
        tolerance : float
            On twice what J could still fall by, to second order.
        """

    def trajectories(
        self,
        model: Model,
        settings: CostSettings,
        control: Array,
        hessian: Array,
        *,
        lead: int,
        steps: int,
    ) -> tuple[Array, Array]:
        """Return the states that follow from each control and their standard deviations, (W, T, C).

        Parameters
        ----------
        control : (W, C)
            The state, or the state followed by the model's parameters, which every step then uses.
        hessian : (W, C, C)
            Where it is not positive definite the standard deviation is NaN.
        """

    def strong_objective(
        self,
        model: Model,
        settings: CostSettings,
        start: Array,
        observation: Array,
        precision: Array,
        background: Array,
        background_precision: Array,
        *,
        lead: int = 0,
        points: Data | None = None,
    ) -> tuple[Array, Array]:
        """Return J (W,) that `strong_constraint` minimises and its gradient (W, D).

        Parameters
        ----------
        start : (W, D)
            The control, `lead` steps before the window.
        background, background_precision : (D,), (D, D)
            b and B⁻¹.
        """

    # Ensembles -----------------------------------------------------------------------------------

    def ensemble_smoother(
        self,
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
        """Smooth each window with an ensemble that starts from the same members.

        Parameters
        ----------
        members : (N, D)
            States at the first step, N >= 2.
        inflation : float
            Factor on the anomalies when the members leave an observation time.
        lag : int
            Number of later observation times that a state learns from, `depth` at least; 0: all.
        depth : int
            Number of observation times that an analysis goes back, to change the members there.
        iterations : int
            Gauss-Newton steps of an analysis that goes back.
        reflections : (count, r, N), optional
            How members are mixed after the analyses, in turn: r orthonormal vectors, orthogonal to
            the vector of ones, along which anomalies change their sign. Default: no mixing.
        noise : (T - 1, D, N), optional
            Model error, added to the members after each step; `depth` is 0 then.
        spread : bool
            Whether the standard deviation is wanted; the mean alone is several times faster.
        final : bool
            Whether the members at the last step are wanted.

        Returns
        -------
        mean, spread : (W, T, D)
            NaN in a window that diverged; `spread` is None when not asked for.
        members : (W, N, D)
            States at the last step, of the mean and standard deviation there; None when not asked
            for.
        """

    def local_analyses(
        self,
        ensembles: Sequence[Array],
        sensitivity: Array,
        innovation: Array,
        place: Array,
        centres: LocalCentres,
        *,
        inflation: float | None = 1.0,
        rotation: Array | None = None,
    ) -> None:
        """Change the members of ensembles in place by the data of one time, around each centre.

        Parameters
        ----------
        ensembles : sequence of (N, D)
            C-contiguous; the first is of the time of the data, the others of earlier times.
        sensitivity : (p, N)
            Anomalies of the members at the data, in units of the errors.
        innovation : (p,)
            Data minus the mean of the members there, in the same units.
        place : (p, d)
            Places of the data, as `LocalCentres.place`.
        centres : LocalCentres
        inflation : float or None
            Factor on the prior anomalies of the first ensemble; None: that of the finite-size
            filter, one for each centre.
        rotation : (N, N), optional
            Orthogonal, with rows and columns of sum 1: mixes the members afterwards.
        """

    # The posterior from a library of states ------------------------------------------------------

    def posterior_mean(
        self,
        model: Model,
        settings: CostSettings,
        observation: Array,
        precision: Array,
        library: Library,
        *,
        noise: Array,
        enough: float,
        spread: Array,
    ) -> Posterior:
        """Weigh the members of a library by their likelihood; draw around them if few have weight.

        Parameters
        ----------
        noise : (N, D)
            Standard normal deviates of the second stage, N a multiple of eight; 0: no such stage.
        enough : float
            Effective sample size below which the second stage is entered.
        spread : (D,)
            Standard deviation of the moves, `library.lead` steps before the window.
        """

    def best_starts(
        self,
        observation: Array,
        precision: Array,
        library: Library,
        *,
        apart: Array,
        count: int,
    ) -> Array:
        """Return the states, `library.lead` steps before the window, of the likeliest members.

        Parameters
        ----------
        apart : (D,)
            Members that are nearer than this to a likelier one in every component are passed over.

        Returns
        -------
        (W, count, D)
            The likeliest first; repeated where there are fewer.
        """

    # Fields without a model ----------------------------------------------------------------------

    def optimal_interpolation(
        self,
        data: InterpolationData,
        targets: Targets,
        selection: Selection,
        factors: Array,
        along: tuple[float, float] = (0.0, 1.0),
    ) -> Interpolated:
        """Estimate a field of mean zero from its nearest data, by the best linear estimator.

        x̂ = cᵀ A⁻¹ y and σ² = C(0, 0) - cᵀ A⁻¹ c with A = C + diag(noise), where C is the sum of
        the factors (Bretherton et al. 1976).

        Parameters
        ----------
        data : InterpolationData
        targets : Targets
        selection : Selection
        factors : (F, 5)
            Rows of `pyvda.fields.covariance.SpaceTimeCovariance.rows`.
        along : (variance, km)
            Covariance of the errors that data of a pass share: variance · exp(-r / km).
        """

    def interpolation_derivatives(
        self,
        data: InterpolationData,
        targets: Targets,
        selection: Selection,
        factors: Array,
        along: tuple[float, float] = (0.0, 1.0),
    ) -> tuple[Interpolated, Array]:
        """Return an interpolation and its derivatives by the constants of the covariance.

        Parameters
        ----------
        data, targets, selection, factors, along
            As of `optimal_interpolation`.

        Returns
        -------
        Interpolated
        (Q, 2, 1 + 3 F)
            Derivatives of value and variance: by a variance that is added to the noise of all data,
            then by the logarithms of variance, km and days of each factor.
        """
