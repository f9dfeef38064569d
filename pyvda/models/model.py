"""The dynamical models that both engines know, as plain data.

The equations stand twice, each to be read next to the paper: `julia/src/models/` (tendency,
tangent linear and adjoint by hand) and `pyvda/models/tendencies.py` (torch).
"""

from dataclasses import dataclass

from pyvda.errors import InputError


@dataclass(frozen=True)
class Model:
    """A dynamical model by name, with its parameters.

    Attributes
    ----------
    name : str
        "lorenz63" (eq. 15) or "lorenz96" (eq. 16).
    state_size : int
        Number of components D of the state.
    parameters : tuple of float
        (sigma, rho, beta) for Lorenz-63, (forcing,) for Lorenz-96; the model's own units.
    time_step : float
        The usual assimilation step, in model time units.
    """

    name: str
    state_size: int
    parameters: tuple[float, ...]
    time_step: float


def lorenz63(sigma: float = 10.0, rho: float = 28.0, beta: float = 8.0 / 3.0) -> Model:
    """Lorenz (1963), eq. (15) of the paper; step 0.01."""
    return Model("lorenz63", 3, (float(sigma), float(rho), float(beta)), 0.01)


def lorenz96(forcing: float = 8.0, state_size: int = 40) -> Model:
    """Lorenz (1996) on a circle of `state_size` >= 4 points, eq. (16) of the paper; step 0.05."""
    if state_size < 4:
        raise InputError(f"lorenz96 needs at least 4 components, found state_size={state_size}")
    return Model("lorenz96", int(state_size), (float(forcing),), 0.05)


# Lorenz-63 stays what it is under (x₁, x₂, x₃) → (−x₁, −x₂, x₃).
MIRROR_SIGNS = {"lorenz63": (-1.0, -1.0, 1.0)}

MODELS = {"lorenz63": lorenz63, "lorenz96": lorenz96}

PARAMETER_NAMES = {"lorenz63": ("sigma", "rho", "beta"), "lorenz96": ("forcing",)}
"""Of `Model.parameters`, in their order."""


def get_model(name: str, **parameters: float) -> Model:
    """Return the model called `name`, with some parameters changed.

    >>> get_model("lorenz63", rho=20.0).parameters[1]
    20.0
    """
    if name not in MODELS:
        raise InputError(f"unknown model {name!r}; choose one of {', '.join(MODELS)}")
    try:
        return MODELS[name](**parameters)  # type: ignore[operator]
    except TypeError:
        known = MODELS[name].__code__.co_varnames[: MODELS[name].__code__.co_argcount]
        raise InputError(
            f"unknown parameter for {name}: found {', '.join(parameters)}; "
            f"{name} has {', '.join(known)}"
        ) from None
