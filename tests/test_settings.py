"""The keywords of `assimilate` are the fields of `Settings`, with their defaults and help."""

import inspect

import pytest

import pyvda
from pyvda.errors import InputError
from pyvda.methods import METHODS
from pyvda.settings import Settings, chosen_method, settled


def test_the_signature_of_assimilate_is_that_of_the_settings() -> None:
    parameters = inspect.signature(pyvda.assimilate).parameters
    keywords = {n: p for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    assert list(keywords) == list(Settings.model_fields)
    assert {n: p.default for n, p in keywords.items()} == {
        n: f.default for n, f in Settings.model_fields.items()
    }
    assert next(iter(parameters)) == "observations"
    assert parameters["options"].kind is inspect.Parameter.VAR_KEYWORD


def test_the_docstring_describes_every_keyword() -> None:
    doc = inspect.getdoc(pyvda.assimilate) or ""
    assert "{settings}" not in doc
    for name, field in Settings.model_fields.items():
        entry = doc[doc.index(f"\n{name} : ") :].splitlines()
        assert entry[2] == f"    {field.description}"
    assert "\nlambda1 : float, default 0.01\n" in doc
    assert "\nmodel : str or model, optional\n" in doc


@pytest.mark.parametrize("method", [name for name in METHODS if name != "learned"])
def test_weights_are_taken_by_the_methods_that_minimise_the_cost_with_them(method: str) -> None:
    settings, options = settled({"method": method, "lambda1": 0.01})
    if method in ("fsgd", "gauss-newton"):
        assert chosen_method(settings, options)[0].name == method
    else:
        with pytest.raises(InputError, match=r"^lambda1 would have no effect: " + method):
            chosen_method(settings, options)


def test_a_checkpoint_is_a_method() -> None:
    for given in ({}, {"method": "learned"}):
        settings, options = settled({"checkpoint": "lorenz63-shooting", **given})
        assert chosen_method(settings, options)[0].name == "learned"
    settings, options = settled({"checkpoint": "lorenz63-shooting", "method": "gauss-newton"})
    with pytest.raises(InputError, match="leave out method or checkpoint"):
        chosen_method(settings, options)
