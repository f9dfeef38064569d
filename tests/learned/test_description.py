"""What a checkpoint says of its model: digests, own models without code, damaged files."""

import json
from dataclasses import replace

import numpy as np
import pytest

import pyvda
from pyvda.errors import InputError
from pyvda.learned.description import Description, OwnModel, Pattern, read_description
from pyvda.models.model import Model
from pyvda.models.registry import get_model, get_preset
from pyvda.models.without_code import has_code
from pyvda.state.space import StateSpace, Variable


def description(**changes: object) -> Description:
    values = {
        "format": 1, "pattern": Pattern.of("lorenz63", get_preset("lorenz63")),
        "architecture": {"prior": {"kind": "genn"}, "solver": {"kind": "lstm"}},
        "normalisation": "scalar", "iterations": 5,
        "weights": "weights-0123456789ab.safetensors", "sha256": 64 * "a",
    }  # fmt: skip
    return Description.model_validate({**values, **changes})


def own_model() -> Model:
    land = np.zeros(6, bool)
    land[[1, 4]] = True
    space = StateSpace(
        (Variable("u", ("x",), (4,), "wind", "m s-1"), Variable("T", ("k",), (2,))), land
    )
    model = pyvda.torch_model(lambda x, a: -a * x, variables=tuple("abcdef"), time_step=0.1,
                              parameters={"a": 2.0}, name="decay")  # fmt: skip
    return replace(model, state_space=space, fields=(("a", 2.0), ("n", 6)))


def test_it_is_read_as_written(tmp_path) -> None:
    written = description()
    (tmp_path / "model.json").write_text(written.text())
    assert read_description(tmp_path) == written


def test_the_digest_depends_on_what_differs_from_the_defaults_alone() -> None:
    usual = description()
    explicit = description(architecture={"prior": {"kind": "genn", "width": 11},
                                         "solver": {"kind": "lstm", "start": 1.0}})  # fmt: skip
    assert explicit.digest() == usual.digest()
    others = [
        description(iterations=6), description(sha256=64 * "b"),
        description(
            architecture={"prior": {"kind": "genn", "width": 9}, "solver": {"kind": "lstm"}}
        ),
    ]  # fmt: skip
    assert len({usual.digest(), *(other.digest() for other in others)}) == 4


def test_a_model_of_the_user_s_own_comes_back_without_code() -> None:
    model = own_model()
    pattern = Pattern.model_validate(
        Pattern.of("lorenz63", get_preset("lorenz63")).model_dump()
        | {"model": "decay", "parameters": (2.0,), "state_size": 6,
           "own": OwnModel.of(model, "models.py:decay", np.arange(6.0))}
    )  # fmt: skip
    again = Pattern.model_validate(json.loads(pattern.model_dump_json()))
    found = again.dynamics()
    assert not has_code(found)
    assert (found.name, found.parameters, found.fields) == ("decay", (2.0,), model.fields)
    assert found.state_space.variables == model.state_space.variables
    np.testing.assert_array_equal(found.sea, model.sea)
    assert again.own.expected_state == (0, 1, 2, 3, 4, 5)
    assert again.runnable(model) is model
    with pytest.raises(InputError, match=r"--model models\.py:decay"):
        again.runnable(None)
    with pytest.raises(InputError, match=r"trained for decay with parameters \(2\.0,\), not for"):
        again.runnable(model.with_parameters((3.0,)))
    smaller = replace(model, state_space=None, state_size=4)
    with pytest.raises(InputError, match="with 6 components, not with 4"):
        again.runnable(smaller)


def test_pyvda_s_own_model_runs_by_its_name() -> None:
    pattern = Pattern.of("lorenz63", get_preset("lorenz63"))
    assert pattern.runnable(None) == get_model("lorenz63")
    assert not description().needs_code()


def test_damaged_files_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match=r"holds no learned model: it has no model\.json"):
        read_description(tmp_path)
    file = tmp_path / "model.json"
    for text, said in (
        ("{", "cannot be read"),
        (description().text().replace('"iterations": 5', '"iterations": 0'), "iterations is 0"),
        (description().text().replace("weights-0123", "../weights"), "weights is"),
        (description().text().replace('"format": 1', '"format": 2'), "format is 2"),
    ):
        file.write_text(text)
        with pytest.raises(InputError, match=said):
            read_description(tmp_path)
