"""A model as plain data: numbers are checked, names found, digests say what it is."""

from dataclasses import replace

import numpy as np
import pytest

import pyvda
from pyvda.errors import InputError
from pyvda.models.model import JuliaSource, Model, TorchSource, chosen, number, whole
from pyvda.models.registry import get_model
from pyvda.state.space import flat


@pytest.mark.parametrize(
    "value", [3, 3.5, np.float32(3.5), np.int64(3), "3.5", b"3", True, None, 1j]
)
def test_numbers(value: object) -> None:
    if isinstance(value, int | float | np.generic) and not isinstance(value, bool):
        found = number("the size", value)
        assert isinstance(found, float)
        assert found == value
    else:
        with pytest.raises(InputError, match=r"the size is .*, expected a number"):
            number("the size", value)


def test_numbers_are_finite_and_whole_ones_whole() -> None:
    for value in (np.nan, np.inf, 10**400):
        with pytest.raises(InputError, match="expected a finite number"):
            number("it", value)
    assert whole("it", 5.0, 5) == 5
    assert isinstance(whole("it", 5.0, 5), int)
    for value in (4, 5.5, 2**31):
        with pytest.raises(InputError, match="expected a whole number of at least 5"):
            whole("it", value, 5)
    with pytest.raises(InputError) as refused:
        number("it", "x" * 1000 + "\n")
    assert len(str(refused.value)) < 150
    assert "\n" not in str(refused.value)


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    chosen("option", {"a": 1}, {"a": 0, "b": 0}, "fsgd")
    with pytest.raises(InputError, match="unknown option for fsgd: found c; fsgd has a, b"):
        chosen("option", {"a": 1, "c": 1}, {"a": 0, "b": 0}, "fsgd")


def own(**changes: object) -> Model:
    source = TorchSource(lambda x, a, n: -a * x, ("a", "n"))
    values = {
        "name": "decay", "state_size": 3, "parameters": (2.0,), "time_step": 0.1,
        "parameter_names": ("a",), "fields": (("a", 2.0), ("n", 3)), "torch": source,
    }  # fmt: skip
    return Model(**{**values, **changes})


def test_parameters_and_fields_belong_together() -> None:
    changed = own().with_parameters((5.0,))
    assert changed.parameters == (5.0,)
    assert changed.fields == (("a", 5.0), ("n", 3))
    assert own(fields=()).fields == (("a", 2.0),)
    with pytest.raises(InputError, match=r"decay has 1 parameters \(a\), found 2 values"):
        own(parameters=(1.0, 2.0))
    with pytest.raises(InputError, match="have 4 components together, and its state has 3"):
        own(state_space=flat(4))
    with pytest.raises(InputError, match=r"time step of decay is -0\.1, expected"):
        own(time_step=-0.1)


def test_the_digest_is_of_all_sources() -> None:
    assert own().source_digest is None
    source = TorchSource(lambda x: x, digest="abc")
    assert own(torch=source).source_digest == "abc"
    both = own(torch=source, julia=JuliaSource("a.jl", "struct A end", "A"))
    of_julia, of_torch = both.source_digest.split()
    assert of_torch == "abc"
    assert len(of_julia) == 16
    other = replace(both, julia=JuliaSource("b.jl", "struct B end", "B"))
    assert other.source_digest != both.source_digest
    moved = replace(both, julia=JuliaSource("elsewhere/a.jl", "struct A end", "A"))
    assert moved.source_digest == both.source_digest


def test_only_pyvda_s_own_are_found_by_name() -> None:
    model = get_model("lorenz63")
    assert model.is_registered
    assert not replace(model, name="other").is_registered
    impostor = pyvda.torch_model(lambda x: -x, variables=("a", "b", "c"), time_step=0.01,
                                 name="lorenz63")  # fmt: skip
    assert not impostor.is_registered
    by_name = Model("lorenz63", 3, (10.0, 28.0, 8 / 3), 0.01)
    assert by_name == model
    assert by_name.as_dict() == {
        "name": "lorenz63", "state_size": 3, "parameters": (10.0, 28.0, 8 / 3), "time_step": 0.01,
    }  # fmt: skip


def test_symmetry_and_sea() -> None:
    assert get_model("lorenz63").mirror_signs == (-1.0, -1.0, 1.0)
    assert get_model("lorenz96").mirror_signs is None
    assert own().sea.tolist() == [True, True, True]


def test_its_text_is_one_line() -> None:
    text = repr(pyvda.get_model("qg", n=17))
    assert text.startswith("Model('quasi-geostrophic', state_size=289, time_step=5.0, F=1600.0")
    assert text.endswith("n=17)")
