"""Tables for notebooks: what they say is what the objects have, and their text is escaped."""

from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest

import pyvda
from pyvda.fields.methods import FIELD_METHODS, LEARNED
from pyvda.html_tables import table
from pyvda.methods import METHODS


def rows(text: str) -> dict[str, str]:
    """Return the table as a browser reads it."""
    found = ElementTree.fromstring(text)
    return {row[0].text or "": row[1].text or "" for row in found.iter("tr")}


def test_text_is_escaped() -> None:
    assert rows(table("a < b", {"<script>": "1 & 2"})) == {"<script>": "1 & 2"}


def test_a_model_has_its_variables_and_parameters() -> None:
    found = rows(pyvda.get_model("lorenz63", rho=20.0)._repr_html_())
    assert found["state"] == "3 components"
    assert found["variables"] == "x, y, z"
    assert "rho = 20" in found["parameters"]
    assert found["equations"] == "Julia, torch"
    gridded = rows(pyvda.get_model("quasi-geostrophic", n=17)._repr_html_())
    assert "y: 17, x: 17" in gridded["variables"]
    assert "n = 17" in gridded["sizes"]


def test_a_name_from_a_file_is_no_markup() -> None:
    model = replace(pyvda.get_model("lorenz63"), name="<b>mine</b>")
    assert "<b>mine" not in model._repr_html_()


@pytest.mark.parametrize("method", [*METHODS.values(), *FIELD_METHODS.values(), LEARNED])
def test_a_method_has_all_of_its_options(method: Any) -> None:
    fields = method.options.model_fields
    assert list(rows(method._repr_html_())) == (list(fields) or ["options"])
    assert f"Method {method.name}<" in method._repr_html_()


def test_a_learned_model_has_its_size_and_training() -> None:
    learned = pyvda.load("lorenz63-genn-conv")
    found = rows(learned._repr_html_())
    assert found["weights"] == f"{sum(p.numel() for p in learned.parameters()):,}"
    assert found["iterations"] == str(learned.iterations)
    assert "windows of 200 steps of 0.01" in found["trained on"]
