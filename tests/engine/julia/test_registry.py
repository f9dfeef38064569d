"""What Julia says of a model is read into numbers, and its errors into sentences."""

from dataclasses import replace

import numpy as np
import pytest

from pyvda.engine.julia.registry import ModelDescription, Registry, _read
from pyvda.engine.julia.signatures import c_arguments
from pyvda.errors import EngineError, InputError
from pyvda.models.model import JuliaSource
from pyvda.models.registry import get_model

SOURCE = JuliaSource(text="struct Wave ... end", path="/home/me/wave.jl", type_name="")
SAID = (
    "type\tWave\nkind\tvector\nform\tstep\ntime_step\t0.25\nspinup\t12.0\nfield\tspeed\treal\t1.5\n"
    "field\tn\tsize\t8\nfield\tdepth\treal\tNaN\nvariable\th\ty=2\tx=8\nvariable\tu\n"
    "points\tx\ty\ngives\tstart\tland\n"
)  # as julia/src/boundary/registry.jl writes it


def test_a_description_is_read() -> None:
    found = _read(SAID)
    assert np.isnan(found.fields.pop("depth"))
    assert found == ModelDescription(
        "Wave", "vector", "step", 0.25, 12.0, {"speed": 1.5, "n": 8},
        {"h": {"y": 2, "x": 8}, "u": {}}, ("x", "y"), {"start", "land"},
    )  # fmt: skip
    assert isinstance(found.fields["n"], int)
    assert _read("spinup\t\n").spinup is None


class Julia:
    """Entry points that note their arguments and answer as they are told to."""

    def __init__(self, answers: dict[str, object]) -> None:
        self.answers, self.calls = answers, []

    def __call__(self, name: str, **arguments: object) -> None:
        assert len(c_arguments(name, arguments)) == len(arguments)
        self.calls.append(name)
        answer = self.answers.get(name, b"")
        if isinstance(answer, EngineError):
            raise answer
        for argument in arguments.values():
            if hasattr(argument, "raw"):
                argument.value = answer


def test_a_model_is_registered_once_and_checked_once_for_its_values() -> None:
    right = b"reference\tdual numbers\nentry\tadjoint\t1\t2\t0.5\t0.5\t0.0\t1e-9\tx\ty\n"
    julia = Julia({"verdict": right})
    registry = Registry(julia)
    model = replace(get_model("lorenz63"), julia=SOURCE)
    for _ in range(3):
        registry.handle(model)
    assert julia.calls == ["register", "verdict"]
    registry.handle(replace(get_model("lorenz63", rho=20.0), julia=SOURCE))
    assert julia.calls == ["register", "verdict", "verdict"]
    registry.handle(replace(model, julia=replace(SOURCE, text="another")))
    assert julia.calls[-2:] == ["register", "verdict"]


def test_models_of_pyvda_s_own_are_not_checked_again() -> None:
    julia = Julia({})
    Registry(julia).handle(get_model("lorenz63"))
    assert julia.calls == ["register"]


def test_a_wrong_derivative_is_refused_with_its_entry() -> None:
    wrong = b"reference\tdual numbers\nentry\tadjoint\t1\t2\t0.5\t-0.5\t1.0\t1e-9\tx\ty\n"
    model = replace(get_model("lorenz63"), julia=SOURCE)
    registry = Registry(Julia({"verdict": wrong}))
    for _ in range(2):  # it is no better the second time
        with pytest.raises(
            InputError, match=r"row 1 \(x\), column 2 \(y\) is 0\.5 by dual numbers"
        ):
            registry.handle(model)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            "Julia: wave.jl:3: UndefVarError: q not defined",
            "wave.jl:3: UndefVarError: q not defined",
        ),
        ("Julia: no model in it", "/home/me/wave.jl: no model in it"),
    ],
)
def test_errors_name_the_file_once(said: str, expected: str) -> None:
    registry = Registry(Julia({"register": EngineError(said)}))
    with pytest.raises(InputError) as refused:
        registry.register(SOURCE)
    assert str(refused.value) == expected


def test_a_model_in_torch_alone_is_refused() -> None:
    with pytest.raises(InputError, match="not written in Julia; choose the engine torch"):
        Registry(Julia({})).verdict(replace(get_model("lorenz63"), julia=None), False)
