"""A dynamical model, as plain data that engines, methods and files share.

Equations stand elsewhere, once for each language: in the Julia file that `Model.julia` names and in
the functions of `Model.torch`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from unicodedata import normalize

from pyvda.errors import InputError
from pyvda.models.symmetry import Mirror, Symmetry
from pyvda.state.space import StateSpace

Kind = Literal["tendency", "step"]


@dataclass(frozen=True)
class JuliaSource:
    """Where a model's Julia form is.

    Attributes
    ----------
    path : str
        The file, for messages; "" for a model of pyvda's own.
    text : str
        The file's content; "" for a model of pyvda's own.
    type_name : str
        Name of the struct.
    """

    path: str
    text: str
    type_name: str


@dataclass(frozen=True)
class TorchSource:
    """A model as functions of torch tensors.

    Each takes the states x (..., D) first, then what it is applied to, and the model's parameters
    and sizes by name, as far as `names` has them.

    Attributes
    ----------
    function : callable
        Maps x to dx/dt or to the state a step later, both (..., D).
    names : tuple of str
        The fields that are passed to the functions.
    tangent_linear, adjoint : callable, optional
        Map (x, dx) to M(x) dx and (x, dy) to M(x)ᵀ dy. None: by automatic differentiation.
    digest : str, optional
        Digest of the source, the same in every process; None if there is none.
    complete : bool
        Whether the digest stands for everything that the functions depend on, so that what was
        computed with them may be kept for other processes.
    """

    function: Callable[..., Any]
    names: tuple[str, ...] = ()
    tangent_linear: Callable[..., Any] | None = None
    adjoint: Callable[..., Any] | None = None
    digest: str | None = None
    complete: bool = True


@dataclass(frozen=True)
class Start:
    """Normal random states from which a model runs to its attractor.

    Attributes
    ----------
    mean : tuple of float
        One for each component, or one for all.
    spread : float
        Standard deviation of each component.
    drawn : bool
        Whether the model's Julia file draws the states itself (its `start`); mean and spread then
        only describe them.
    """

    mean: tuple[float, ...] = (0.0,)
    spread: float = 1.0
    drawn: bool = field(default=False, repr=False)


@dataclass(frozen=True)
class Model:
    """A dynamical model with its parameters.

    Attributes
    ----------
    name : str
    state_size : int
        Number of components D of the state.
    parameters : tuple of float
        Those that can be estimated, in the model's own units.
    time_step : float
        The usual assimilation step, in model time units.
    parameter_names : tuple of str
        In the order of `parameters`.
    fields : tuple of (str, float or int)
        All fields of the Julia struct in order: the parameters and, as integers, the sizes.
    state_space : StateSpace, optional
        Names and dimensions of the state's variables.
    kind : {"tendency", "step"}
        Whether the model is dx/dt or the map from one step to the next.
    julia : JuliaSource, optional
        None: only the torch engine runs the model.
    torch : TorchSource, optional
        None: only the Julia engine runs the model.
    start : Start, optional
        Random states from which simulations and the climatology start.
    spinup : float, optional
        Model time units from there to the attractor.
    symmetries : tuple of Symmetry
    interval : float, optional
        Model time units between two states of a sample from the attractor.
    climatology : Climatology, optional
        Given by the user in place of what simulations give.

    Raises
    ------
    InputError
        When a registered model is given another number of parameters or another size than it has,
        a number is not finite, or nothing says how the model is computed.
    """

    name: str
    state_size: int
    parameters: tuple[float, ...]
    time_step: float
    parameter_names: tuple[str, ...] = ()
    fields: tuple[tuple[str, float | int], ...] = ()
    state_space: StateSpace | None = None
    kind: Kind = "tendency"
    julia: JuliaSource | None = None
    torch: TorchSource | None = None
    start: Start | None = None
    spinup: float | None = None
    symmetries: tuple[Symmetry, ...] = ()
    interval: float | None = None
    climatology: Any = None

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        put("state_size", whole(f"the state size of {self.name}", self.state_size, 1))
        put("time_step", number(f"the time step of {self.name}", self.time_step))
        if self.time_step <= 0:
            raise InputError(
                f"the time step of {self.name} is {self.time_step}, expected a positive number"
            )
        parameters = tuple(number(f"a parameter of {self.name}", p) for p in self.parameters)
        put("parameters", parameters)
        if self.julia is None and self.torch is None:
            from pyvda.models.registry import registered  # it knows this module

            known = registered(self.name, self.state_size, parameters, self.sizes)
            for name in ("name", "parameter_names", "fields", "state_space", "kind", "julia",
                         "torch", "start", "spinup", "symmetries", "interval"):  # fmt: skip
                put(name, getattr(known, name))
        if len(self.parameter_names) != len(parameters):
            raise InputError(
                f"{self.name} has {len(self.parameter_names)} parameters "
                f"({', '.join(self.parameter_names) or 'none'}), found {len(parameters)} values"
            )
        own = dict(zip(self.parameter_names, parameters, strict=True))
        fields = self.fields or tuple(own.items())
        put("fields", tuple((name, own.get(name, value)) for name, value in fields))
        if self.state_space is not None and self.state_space.size != self.state_size:
            raise InputError(
                f"the variables of {self.name} have {self.state_space.size} components together, "
                f"and its state has {self.state_size}; make them the same"
            )

    @property
    def sizes(self) -> dict[str, int]:
        """The integer fields, by name."""
        return {name: value for name, value in self.fields if isinstance(value, int)}

    @property
    def mirror_signs(self) -> tuple[float, ...] | None:
        """The signs of the mirror image under which the model is invariant; None without one."""
        return next((s.signs for s in self.symmetries if isinstance(s, Mirror)), None)

    @property
    def sea(self) -> Any:
        """True for each component of the state that is not on land, (D,)."""
        import numpy as np

        return np.ones(self.state_size, bool) if self.state_space is None else self.state_space.sea

    @property
    def is_registered(self) -> bool:
        """Whether the model is one of pyvda's own, which files find again by its name."""
        from pyvda.models.registry import families

        own = families().get(self.name)
        return own is not None and self.torch is not None and self.torch.function is own.function

    @property
    def source_digest(self) -> str | None:
        """A digest of the model's source, the same in every process; None where there is none."""
        found = []
        if self.julia is not None and self.julia.text:
            found.append(hashlib.sha256(self.julia.text.encode()).hexdigest()[:16])
        if self.torch is not None:
            if self.torch.digest is None:
                return None
            found.append(self.torch.digest)
        return " ".join(found)

    def __repr__(self) -> str:
        fields = "".join(f", {name}={value!r}" for name, value in self.fields)
        sizes = f"state_size={self.state_size}, time_step={self.time_step!r}"
        return f"Model({self.name!r}, {sizes}{fields})"

    def _repr_html_(self) -> str:
        from pyvda.html_tables import of_model

        return of_model(self)

    def with_parameters(self, parameters: tuple[float, ...]) -> Model:
        """Return the model with other values of its parameters."""
        return replace(self, parameters=parameters)

    def as_dict(self) -> dict[str, Any]:
        """Return what a file keeps of the model: name, sizes, parameters and time step."""
        sizes = {name: size for name, size in self.sizes.items() if name != "state_size"}
        return {
            "name": self.name,
            "state_size": self.state_size,
            **({"sizes": sizes} if sizes else {}),
            "parameters": self.parameters,
            "time_step": self.time_step,
        }


def number(what: str, value: Any) -> float:
    """Return `value` as a float; raise InputError for anything but a finite real number."""
    try:
        if isinstance(value, str | bytes | bool | complex):
            raise TypeError
        found = float(value)
    except (TypeError, ValueError):
        raise InputError(f"{what} is {_brief(value)}, expected a number") from None
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise InputError(f"{what} is {found}, expected a finite number")
    return found


def whole(what: str, value: Any, least: int) -> int:
    """Return `value` as an int; raise InputError for anything but a whole number >= `least`."""
    found = number(what, value)
    if found != int(found) or found < least or found >= 2**31:
        raise InputError(f"{what} is {_brief(value)}, expected a whole number of at least {least}")
    return int(found)


def spelled(given: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """Return values by the names in `known`.

    Python itself normalises a keyword such as ϕ (U+03D5) to φ (U+03C6); text does not change.
    """
    names = {normalize("NFKC", name): name for name in known}
    exact = set(known)
    return {
        name if name in exact else names.get(normalize("NFKC", name), name): value
        for name, value in given.items()
    }


def chosen(kind: str, given: Mapping[str, Any], known: Mapping[str, Any], of: str) -> None:
    """Refuse names in `given` that are not in `known`."""
    unknown = [name for name in given if name not in known]
    if unknown:
        raise InputError(
            f"unknown {kind} for {of}: found {', '.join(unknown)}; "
            f"{of} has {', '.join(known) or 'none'}"
        )


def _brief(value: object) -> str:
    """Return a value in one short line; without pydantic, which this module does not load."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 100 else f"{text[:100]}..."
