"""Keyword arguments of `pyvda.assimilate`: stated here once, with limits and descriptions.

`assimilate` takes its signature and its docstring from the fields of `Settings`, and the command
line its options (`pyvda.cli.derived`). A keyword that is not a field of `Settings` is an option of
the method.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, InstanceOf, model_validator

from pyvda.errors import InputError
from pyvda.models.model import Model
from pyvda.operators.observation import ObservationOperator
from pyvda.validation_errors import validated

if TYPE_CHECKING:
    from pyvda.methods import Method

OBSERVATION_VARIANCE, ESTIMATE = "observation_variance", "estimate"
COVARIANCE, MODEL_ERROR = "covariance", "model_error"
BY_VARIABLE, BY_COMPONENT = "estimate-variables", "estimate-components"
_OF_CYCLE = "incremental"  # a background for each window, and states of any size
Function = TypeVar("Function", bound=Callable[..., Any])
Weight = Annotated[float, Field(ge=0)]


def _of_python(description: str) -> Any:
    """Return a field that the command line has no option for."""
    return Field(None, description=description, json_schema_extra={"command_line": False})


class Settings(BaseModel):
    """Keyword arguments of `pyvda.assimilate`, validated; their descriptions are their help."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)

    model: str | InstanceOf[Model] | None = Field(
        None,
        description="Dynamical model: a name that `pyvda info` lists, a file in Julia "
        "(rossler.jl), a model in a Python file (models.py:rossler), or an object such as "
        "`get_model(name, parameter=...)`. Default: the checkpoint's, else the "
        "file's if pyvda made it.",
    )
    method: str = Field(
        "fsgd",
        description="One of the methods that `pyvda info` lists; each has options of its own. With "
        "cycle the default is incremental.",
    )
    checkpoint: str | Path | None = Field(
        None,
        description="Learned model to assimilate with, in place of a method: a folder made by "
        "`pyvda train`, or a name that `pyvda info` lists. Observations unlike those that it was "
        "trained for cause a `pyvda.learned.patterns.PatternWarning`.",
    )
    climatology: Any = Field(
        None,
        description="Climatology in place of the model's own: states in a Dataset, a pair of mean "
        "and covariance, or a file with either (netCDF or .npz).",
    )
    warm_start: str | Path | None = Field(
        None,
        description="Learned model, folder or name, whose analysis the method starts from in place "
        "of interpolated observations.",
    )
    variable: str | tuple[str, ...] | None = Field(
        None,
        description="Variable to assimilate, or the variables that make the state (x,y,z), by name "
        "or CF standard_name. Default: `observation`, else the variables with the names and "
        "dimensions of the model's, else the only one over time and state.",
    )
    good_flags: int | str | tuple[int | str, ...] | None = Field(
        None,
        description="Quality flags of the data to use, by value or meaning, such as 0,1; all: data "
        "of any flag. Default: those that the file calls good.",
    )
    operator: str | Path | InstanceOf[ObservationOperator] | None = Field(
        None,
        description="How the observed values follow from the state: a table of the rows of a "
        "linear operator (rows.csv, rows.nc), a function in a Julia file (observe.jl), an operator "
        "or a function in torch in a Python file (observe.py:name), or an object of "
        "`pyvda.operators`. Files in Julia and Python are executed. Default: the values are "
        "components of the state.",
    )
    group: str | None = Field(
        None,
        description="Group of the netCDF file, zarr store or DataTree that holds the observations. "
        "Default: the root, or the only group with data; of a file of IODA all of them.",
    )
    grid_step: str | float | None = Field(
        None,
        description="The observations are a table with one datum per row (time, component, value) "
        "or a discrete sampling geometry: the step of the analysis times in its unit of time, of "
        "dates such as 6h. Default: the spacing of the table's times, where it is uniform.",
    )
    window: int | None = Field(
        None,
        ge=2,
        le=10**9,
        description="Cut a series into windows of this many steps. Default: the whole series is "
        "one window.",
    )
    overlap: int = Field(
        0, ge=0, le=10**9, description="Steps that two neighbouring windows share."
    )
    cycle: int | None = Field(
        None,
        ge=2,
        le=10**9,
        description="Assimilate a series in windows of this many steps, one after the other, each "
        "with its background from the forecast of the one before. Each step belongs to one window; "
        "what is left at the end is a shorter window.",
    )
    block: int | None = Field(
        None,
        ge=1,
        le=10**9,
        description="Windows in memory at once. Default: the dask chunks of the observations, or "
        "all; on the command line by the size of the file.",
    )
    time_step: float | None = Field(
        None,
        ge=1e-12,
        le=1e12,
        description="Model time between two steps of the file. Default: the spacing of its time "
        "axis, which must then be a plain number.",
    )
    lambda1: Weight = Field(
        0.01, description="Weight of the observations in the cost (4), where a method minimises it."
    )
    lambda2: Weight = Field(
        1.0, description="Weight of the dynamics in the cost (4), where a method minimises it."
    )
    robust: bool = Field(
        False,
        description="Reject observations with gross errors: those that the analysis of all others "
        "makes more likely bad than good. Their flag is rejected.",
    )
    spread: bool = Field(
        False,
        description="State a standard deviation with a method that has none of its own (fsgd, "
        "learned models, the weighted form of gauss-newton), on a model of up to 100 components: "
        "the expected error, given mean and spread of posterior-mean (up to 5) or annealed.",
    )
    correct_bias: bool = Field(
        False,
        description="Estimate the mean error of the observations of each component, from up to 256 "
        "windows, and subtract it from them.",
    )
    engine: str | None = Field(
        None, description="auto, juliacall, libjulia or torch. Default: PYVDA_ENGINE, else auto."
    )
    state: str | Path | None = Field(
        None,
        description="File in which a long descent (fsgd) keeps its state, or folder in which a "
        "cycle keeps the windows that are finished; if it exists, the run goes on from it. Default "
        "on the command line with cycle: beside the output.",
    )
    report: Callable[..., None] | None = _of_python(
        "Called with the work completed so far and the total, and with a status message if it "
        "takes three arguments. Without it a notebook shows a bar, unless the result is lazy."
    )

    @model_validator(mode="after")
    def _check(self) -> Settings:
        if self.overlap and self.window is None:
            raise ValueError(
                f"overlap is {self.overlap}, but a series that is not cut has one window; give "
                "window (--window), too, or leave it out"
            )
        for name in ("window", "overlap", "block"):
            if self.cycle is not None and getattr(self, name):
                raise ValueError(
                    f"{name} is {getattr(self, name)}, but cycle cuts the series itself, into "
                    f"windows of {self.cycle} steps that follow one another; leave out {name} "
                    f"(--{name})"
                )
        if not (self.lambda1 or self.lambda2):
            raise ValueError(
                "lambda1 and lambda2 are both 0, so that there is nothing to minimise; give one "
                "of them a positive value"
            )
        return self


def settled(values: Mapping[str, Any]) -> tuple[Settings, dict[str, Any]]:
    """Return the settings among `values`, validated, and the rest: options of the method.

    Values may come from Python, a YAML file or `--set`, so that any of them may be anything.

    Raises
    ------
    InputError
        As `validated`; or a keyword of an earlier version.
    """
    if "resume_file" in values:
        raise InputError("resume_file is now called state; write state=FILE (--state FILE)")
    known = {name: value for name, value in values.items() if name in Settings.model_fields}
    options = {name: value for name, value in values.items() if name not in known}
    return validated(Settings, known, "settings"), options


def estimated_kind(options: Mapping[str, Any]) -> str | None:
    """Return how the error variance of the observations is to be estimated, None if it is not.

    >>> estimated_kind({"observation_variance": "estimate"})
    'estimate'
    """
    found = options.get(OBSERVATION_VARIANCE)
    words = (ESTIMATE, BY_VARIABLE, BY_COMPONENT)
    return found if isinstance(found, str) and found in words else None


def estimated_scales(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the options among B and Q of which a scale is to be estimated.

    >>> estimated_scales({"model_error": "estimate", "covariance": 2.0})
    ('model_error',)
    """
    found = ((name, options.get(name)) for name in (COVARIANCE, MODEL_ERROR))
    return tuple(name for name, value in found if isinstance(value, str) and value == ESTIMATE)


def chosen_method(settings: Settings, options: Mapping[str, Any]) -> tuple[Method, Any]:
    """Return the method and its validated options, which must have a use for the settings.

    Raises
    ------
    InputError
        As `configured`; a checkpoint is given beside another method; the method cannot be cycled;
        or a setting is given that has no effect with this method.
    """
    from pyvda.methods import METHODS

    named = "method" in settings.model_fields_set
    name = _OF_CYCLE if settings.cycle is not None and not named else settings.method
    if settings.checkpoint is not None:
        if named and name != "learned":
            raise InputError(
                f"the method is {name}, but a checkpoint is a learned model, which takes the place "
                f"of a method; leave out method or checkpoint, or start {name} from the learned "
                "analysis with warm_start (--warm-start)"
            )
        name, options = "learned", {"checkpoint": str(settings.checkpoint), **options}
    estimated = estimated_kind(options)
    if estimated:  # a number once the observations are there
        options = {n: value for n, value in options.items() if n != OBSERVATION_VARIANCE}
    scales = estimated_scales(options)
    if settings.checkpoint is None:
        _expect_no_parameters(name, options, settings.model)
    method, checked = configured(name, {n: v for n, v in options.items() if n not in scales})
    unable = [one for one in scales if one not in checked.estimates()]
    if unable or (scales and (estimated or settings.cycle is not None)):
        both = " and observation_variance" if estimated else ""
        raise InputError(
            f"{' and '.join(unable or scales)}{both} to be estimated, which needs independent "
            "windows and one of: covariance of strong-constraint without parameters, covariance or "
            "model_error of gauss-newton in its statistical form, not together with "
            "observation_variance; give numbers, or estimate one after the other"
        )
    usable = checked.has_stdev() and hasattr(checked, OBSERVATION_VARIANCE)
    if estimated and (not usable or settings.cycle is not None):
        raise InputError(
            f"observation_variance is {estimated}, which needs a method that weighs the "
            "observations by it and states a spread, and independent windows; give a number, or "
            "choose strong-constraint, ensemble-smoother or posterior-mean without a cycle"
        )
    if settings.spread and (checked.has_stdev() or settings.cycle is not None):
        why = "states a spread of its own" if checked.has_stdev() else "has a background of its own"
        raise InputError(f"spread would have no effect: {name} {why}; leave out spread (--spread)")
    if settings.correct_bias and (name == "learned" or settings.cycle is not None):
        raise InputError(
            "correct_bias needs a method with a known model and independent windows; leave out "
            "correct_bias (--correct-bias), or choose such a method without a cycle"
        )
    given = [one for one in ("lambda1", "lambda2") if one in settings.model_fields_set]
    if given and not checked.minimises_weighted_cost():
        raise InputError(
            f"{', '.join(given)} would have no effect: {name} does not minimise the cost (4) with "
            "these weights; leave them out, or choose fsgd or gauss-newton in its weighted form"
        )
    if settings.robust and name == "learned":
        raise InputError(
            "robust has no effect on a learned model, which was trained on all of its "
            "observations; leave out robust (--robust), or choose a method with a known model"
        )
    if settings.cycle is not None:
        if not checked.cycles:
            able = ", ".join(one for one, m in METHODS.items() if m.options.cycles)
            raise InputError(
                f"{name} takes no background from an earlier window, so that it cannot be cycled; "
                f"leave out cycle (--cycle), or choose {able}"
            )
        checked = checked.cycled()
    elif settings.state is not None and not checked.resumes:
        able = ", ".join(one for one, m in METHODS.items() if m.options.resumes)
        raise InputError(
            f"{name} keeps no state in a file that it could resume from; leave out state "
            f"(--state), or choose {able}, or cycle (--cycle)"
        )
    return method, checked


def _expect_no_parameters(
    method: str, options: Mapping[str, Any], given: str | Model | None
) -> None:
    """Refuse options that the method does not have and the model has, as parameters or sizes.

    Without a named model, one of the built-in models.
    """
    from pyvda.methods import get_method
    from pyvda.models.registry import families, resolve

    known = get_method(method).options.model_fields
    unknown = [one for one in options if one not in known]
    if not unknown:
        return
    if given is None:
        of_models = [(one.name, {*one.parameters, *one.sizes}) for one in families().values()]
    else:
        model = resolve(given)
        of_models = [(model.name, {field for field, _ in model.fields})]
    for one in unknown:
        owners = [model for model, fields in of_models if one in fields]
        if owners:
            value = f"{one}={options[one]}"
            made = f"model=get_model({owners[0]!r}, {value})" if owners[0] in families() else ""
            if given is None or isinstance(given, str):
                in_python = f" (in Python, {made})" if made else ""
                remedy = f"give it with the model, by --parameter {value}{in_python}"
            else:
                remedy = f"give {made}" if made else f"make the model with {value}"
            raise InputError(
                f"{one} is no option of {method} but a parameter or a size of the model "
                f"{' or '.join(owners)}; {remedy}"
            )


def is_of_fields(settings: Settings) -> bool:
    """Tell whether a method, or a checkpoint, works on fields without a model.

    For methods with a model nothing of `pyvda.fields` is imported.
    """
    if settings.checkpoint is not None:
        from pyvda.fields.learned import shipped
        from pyvda.fields.learned_points.description import is_of_points

        return is_of_points(settings.checkpoint) or shipped.is_known(settings.checkpoint)
    from pyvda.methods import METHODS

    if settings.method in METHODS:
        return False
    from pyvda.fields.methods import FIELD_METHODS

    return settings.method in FIELD_METHODS


def configured(method: str, options: Mapping[str, Any]) -> tuple[Method, Any]:
    """Return the method of this name and its validated options.

    Raises
    ------
    InputError
        The method is unknown, or it has no such options.
    """
    from pyvda.methods import get_method

    chosen = get_method(method)
    return chosen, validated(chosen.options, dict(options), f"options of {method}")


def takes_settings(function: Function) -> Function:
    """Give a function of `**keywords` the signature and the documentation of `Settings`.

    The line `{settings}` of its docstring is replaced by a numpydoc entry for each field.
    """
    signature = inspect.signature(function)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    keywords = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.annotation
        )
        for name, field in Settings.model_fields.items()
    ]
    options = inspect.Parameter("options", inspect.Parameter.VAR_KEYWORD, annotation=Any)
    function.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*own, *keywords, options]
    )
    entries = "\n".join(_entry(name) for name in Settings.model_fields)
    function.__doc__ = (function.__doc__ or "").replace("    {settings}", entries)
    return function


def _entry(name: str) -> str:
    """Return the numpydoc entry of a field, indented like a function's docstring."""
    field = Settings.model_fields[name]
    given = [kind for kind in alternatives(field.annotation) if kind is not type(None)]
    kinds = " or ".join(dict.fromkeys(_type_name(kind) for kind in given))
    default = "optional" if field.default is None else f"default {field.default}"
    return f"    {name} : {kinds}, {default}\n        {field.description}"


def alternatives(annotation: Any) -> tuple[Any, ...]:
    """Return the types of a union, or the one type."""
    if typing.get_origin(annotation) is Annotated:
        return alternatives(typing.get_args(annotation)[0])
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return tuple(kind for one in typing.get_args(annotation) for kind in alternatives(one))
    return (annotation,)


def _type_name(kind: Any) -> str:
    """Return the name of a type as docstrings write it."""
    if typing.get_origin(kind) is tuple:
        return "sequence of " + " or ".join(
            _type_name(item) for item in alternatives(typing.get_args(kind)[0])
        )
    if kind in (Path, Any):
        return "path" if kind is Path else "any"
    return "callable" if typing.get_origin(kind) else str(kind.__name__)
