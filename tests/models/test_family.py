"""What a file of the zoo describes becomes a model with chosen parameters and sizes."""

import pytest

from pyvda.errors import InputError
from pyvda.models.family import Family
from pyvda.models.model import Start
from pyvda.state.space import flat


def tendency(x, a, b, n):
    return a * x / b - n


FAMILY = Family(
    name="ring", summary="for a test", julia="Ring", parameters={"a": 1.5, "b": 2.0},
    sizes={"n": (6, 3)}, state_space=lambda n: flat(n), time_step=0.5, function=tendency,
    start=lambda a, b, n: Start((a,), b), spinup=7.0, least_parameters={"a": 1.0},
    nonzero=("b",),
)  # fmt: skip


def test_defaults_and_changes() -> None:
    usual = FAMILY.model()
    assert usual.fields == (("a", 1.5), ("b", 2.0), ("n", 6))
    assert (usual.state_size, usual.parameters, usual.parameter_names) == (
        6,
        (1.5, 2.0),
        ("a", "b"),
    )
    assert (usual.start, usual.spinup, usual.kind) == (Start((1.5,), 2.0), 7.0, "tendency")
    assert usual.julia.type_name == "Ring"
    assert usual.torch.names == ("a", "b", "n")
    changed = FAMILY.model(n=4, a=3)
    assert changed.fields == (("a", 3.0), ("b", 2.0), ("n", 4))
    assert changed.state_size == changed.state_space.size == 4
    assert changed.start == Start((3.0,), 2.0)


def test_the_digest_is_of_the_file() -> None:
    assert len(FAMILY.model().torch.digest) == 16
    assert FAMILY.model(a=3).torch.digest == FAMILY.model().torch.digest


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"c": 1.0}, "unknown parameter for ring: found c; ring has a, b, n"),
        ({"a": 1.0}, "a of ring is 1.0, expected more than 1.0"),
        ({"a": float("nan")}, "a of ring is nan, expected a finite number"),
        ({"b": 0.0}, "b of ring is 0, expected another value"),
        ({"n": 2}, "size n of ring is 2, expected a whole number of at least 3"),
        ({"n": 4.5}, "size n of ring is 4.5"),
    ],
)
def test_values_that_it_cannot_have_are_refused(given: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        FAMILY.model(**given)
