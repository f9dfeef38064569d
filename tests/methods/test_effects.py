"""An option without effect is refused in one sentence: one table over all methods."""

from typing import Any

import numpy as np
import pytest
import xarray as xr

import pyvda
from pyvda.errors import InputError
from pyvda.methods import METHODS
from pyvda.methods.effects import expect_effects
from pyvda.models.registry import get_model
from pyvda.operators.function import FunctionOperator

SHARED = {"parameters": "shared"}
FORCED = {"model_error": 0.1}
FINAL = {"final_ensemble": True}
GAUSSIAN = (np.zeros(3), np.eye(3))

# Options that change the analysis, or its outputs, whatever the others are.
ALWAYS = {
    "fsgd": {"iterations", "precision"},
    "gauss-newton": {"form", "iterations", "tolerance"},
    "annealed": {"restarts", "hops", "seed", "every", "model_error", "background",
                 "observation_variance"},
    "strong-constraint": {"starts", "growth", "background", "covariance", "iterations", "tolerance",
                          "parameters", "model_error", "observation_variance"},
    "posterior-mean": {"doubtful", "background", "final_ensemble", "observation_variance"},
    "ensemble-smoother": {"background", "inflation", "depth", "model_error", "final_ensemble",
                          "observation_variance"},
    "incremental": {"background", "covariance", "model_error", "ensemble", "inflation", "growth",
                    "iterations", "inner_iterations", "inner_tolerance", "tolerance", "memory",
                    "observation_variance"},
    "letkf": {"radius", "inflation", "lag", "rotation", "background", "final_ensemble",
              "observation_variance"},
    "learned": {"checkpoint", "iterations", "precision", "batch_size", "device"},
}  # fmt: skip

# The option that has no effect with the others, on a model; what the sentence says.
WITHOUT = [
    ("fsgd", "lorenz63", "step", {"step": 2.0, "iterations": 0}, "iterations is 0"),
    ("fsgd", "lorenz63", "tolerance", {"tolerance": 0.1, "iterations": 0}, "iterations is 0"),
    ("fsgd", "lorenz63", "check_every", {"check_every": 7, "iterations": 0}, "iterations is 0"),
    ("gauss-newton", "lorenz63", "model_error", {"model_error": 0.1}, "the weighted form"),
    ("gauss-newton", "lorenz63", "background", {"background": "flat"}, "the weighted form"),
    ("gauss-newton", "lorenz63", "covariance", {"covariance": 2.0}, "the weighted form"),
    ("gauss-newton", "lorenz63", "observation_variance", {"observation_variance": 1.0},
     "the weighted form"),
    ("gauss-newton", "lorenz63", "final_covariance", {"final_covariance": True},
     "the weighted form"),
    ("gauss-newton", "lorenz63", "every", {"every": 2}, "has a node at every step"),
    ("gauss-newton", "lorenz63", "substeps", {"substeps": 2}, "has a node at every step"),
    ("annealed", "lorenz63", "budget", {"budget": 1.0, "restarts": 0, "hops": 0}, "no further"),
    ("strong-constraint", "lorenz63", "seed", {"seed": 1}, "draws nothing at random"),
    ("strong-constraint", "lorenz63", "seed", {"seed": 1, "starts": "mean"}, "draws nothing"),
    ("strong-constraint", "lorenz96", "seed", {"seed": 1}, "starts mean draws nothing"),
    ("strong-constraint", "lorenz96", "members", {"members": 500}, "uses no library"),
    ("strong-constraint", "lorenz63", "members", {"members": 500, "starts": "climatology"},
     "uses no library"),
    ("strong-constraint", "lorenz63", "count", {"count": 5, "starts": "mean"}, "gives one start"),
    ("strong-constraint", "lorenz96", "count", {"count": 5}, "gives one start"),
    ("strong-constraint", "lorenz63", "parameter_stdev", {"parameter_stdev": 0.2},
     "no parameters are estimated"),
    ("strong-constraint", "lorenz63", "minima", {"minima": True, **SHARED}, "one minimum"),
    ("strong-constraint", "lorenz63", "final_covariance", {"final_covariance": True, **SHARED},
     "estimated parameters"),
    ("strong-constraint", "lorenz63", "background_lead", {"background_lead": 3, **FORCED},
     "cannot be combined"),
    ("posterior-mean", "lorenz63", "seed", {"seed": 1, "draws": 0}, "second stage"),
    ("posterior-mean", "lorenz63", "enough", {"enough": 9.0, "draws": 0}, "second stage"),
    ("posterior-mean", "lorenz63", "bandwidth", {"bandwidth": 0.1, "draws": 0}, "second stage"),
    ("posterior-mean", "lorenz63", "members", {"members": 500, "background": GAUSSIAN},
     "takes the place of the library"),
    ("posterior-mean", "lorenz63", "draws", {"draws": 8, **FINAL}, "no second stage"),
    ("posterior-mean", "lorenz63", "lead", {"lead": 3, **FINAL}, "no second stage"),
    ("posterior-mean", "lorenz63", "particles", {"particles": 500}, "belongs to a cycle"),
    ("posterior-mean", "lorenz63", "kernel", {"kernel": 0.5}, "belongs to a cycle"),
    ("posterior-mean", "lorenz63", "kernel", {"kernel": 0.5, "background": GAUSSIAN},
     "only the members of the final ensemble"),
    ("ensemble-smoother", "lorenz63", "iterations", {"iterations": 5, "depth": 0}, "depth 0"),
    ("ensemble-smoother", "lorenz63", "iterations", {"iterations": 5, **FORCED}, "depth 0"),
    ("ensemble-smoother", "lorenz63", "lag", {"lag": 1, "depth": 3}, "depth is 3"),
    ("ensemble-smoother", "lorenz63", "mixing", {"mixing": 20, "members": 20}, "19 directions"),
    ("ensemble-smoother", "lorenz63", "seed", {"seed": 1, "mixing": 0, "background": "analysis"},
     "nothing is drawn"),
    ("letkf", "lorenz96", "stride", {"stride": 2}, "there is no radius"),
    ("letkf", "lorenz96", "periodic", {"periodic": "site"}, "there is no radius"),
    ("letkf", "lorenz96", "radius_unit", {"radius_unit": "km"}, "there is no radius"),
    ("letkf", "lorenz63", "covariance", {"covariance": 1.0, "background": "analysis"},
     "has members"),
    ("letkf", "lorenz63", "seed", {"seed": 1, "background": "analysis"}, "nothing is drawn"),
    ("letkf", "lorenz63", "members", {"members": 30, "background": "analysis"},
     "an ensemble of 20"),
    ("incremental", "lorenz63", "seed", {"seed": 1, "members": 0}, "members is 0"),
    ("incremental", "lorenz63", "ensemble_of", {"ensemble_of": "analyses"}, "ensemble is 0"),
    ("incremental", "lorenz63", "ensemble_weight", {"ensemble_weight": 0.3},
     "there is no ensemble"),
    ("incremental", "lorenz63", "localisation", {"localisation": 2.0}, "there is no ensemble"),
    ("incremental", "lorenz63", "members",
     {"members": 5, "ensemble": 4, "ensemble_of": "analyses"}, "the analyses give"),
    ("ensemble-smoother", "lorenz63", "members", {"members": 30, "background": "analysis"},
     "an ensemble of 20"),
]  # fmt: skip


def series(size: int, steps: int = 9) -> xr.Dataset:
    values = 5 * np.random.default_rng(1).standard_normal((steps, size))
    ds = xr.Dataset({"observation": (("time", "state"), values)})
    return ds.assign_attrs(observation_error_variance=2.0)


@pytest.fixture(scope="module")
def analysis() -> xr.Dataset:
    return pyvda.assimilate(
        series(3), model="lorenz63", method="ensemble-smoother", members=20, time_step=0.01,
        engine="torch",
    )  # fmt: skip


@pytest.mark.parametrize(("method", "model", "name", "options", "why"), WITHOUT)
def test_an_option_without_effect_is_refused(
    method: str, model: str, name: str, options: dict[str, Any], why: str, analysis: xr.Dataset
) -> None:
    given = dict(options)
    if given.get("background") == "analysis":
        given["background"] = analysis
    chosen = get_model(model)
    with pytest.raises(InputError) as said:
        pyvda.assimilate(
            series(chosen.state_size), model=chosen, method=method, time_step=chosen.time_step,
            engine="torch", **given,
        )  # fmt: skip
    text = str(said.value)
    assert why in text
    assert name in text
    assert "\n" not in text
    assert not text.endswith(".")


def test_the_covariance_at_the_end_of_functions_of_the_state_is_refused() -> None:
    operator = FunctionOperator(lambda x: x**2)
    ds = series(3).rename(state="channel")
    for options in ({"method": "gauss-newton", "form": "statistical"},
                    {"method": "strong-constraint", "model_error": 0.1}):  # fmt: skip
        with pytest.raises(InputError, match=r"final_covariance .* a function of the state"):
            pyvda.assimilate(
                ds, model="lorenz63", time_step=0.01, operator=operator, engine="torch",
                final_covariance=True, **options,
            )  # fmt: skip


def test_the_table_knows_every_option_of_every_method() -> None:
    """A new option is either always of effect, or stands in the table with a case where not."""
    for name, method in METHODS.items():
        conditional = {row[2] for row in WITHOUT if row[0] == name}
        assert ALWAYS[name] | conditional == set(method.options.model_fields), name
        assert not ALWAYS[name] & conditional


@pytest.mark.parametrize("method", [name for name in METHODS if name != "learned"])
def test_default_values_can_be_stated(method: str) -> None:
    """An analysis file states all options, and they can be given again."""
    kind = METHODS[method].options
    stated = kind(**kind().for_problem(2, 3).model_dump())
    expect_effects(method, stated, get_model("lorenz63"))
