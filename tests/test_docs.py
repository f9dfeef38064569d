"""The documentation's sources: every page and public name is in it. `make docs` executes the pages.

The site is not built here: what needs no Sphinx is checked, and the checks of the built site on
small sites with one defect each.
"""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest

import pyvda
from pyvda import names, operators, plotting
from pyvda.fields.learned.configuration import AnyNetwork
from pyvda.settings import Settings

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


generated_pages = loaded(DOCS / "generated_pages.py")
check_site = loaded(ROOT / "scripts/check_site.py")
OUTSIDE = ("figures/", "results/table", "reference/generated/")
PAGES = {
    path.relative_to(DOCS).with_suffix("").as_posix(): path.read_text("utf-8")
    for path in DOCS.rglob("*.md")
    if not path.relative_to(DOCS).as_posix().startswith(OUTSIDE)
}


def test_every_page_is_in_the_tables_of_contents() -> None:
    listed = {"index"}
    for name, text in PAGES.items():
        for block in re.findall(r"```\{toctree\}\n(.*?)```", text, re.S):
            lines = [line for line in block.splitlines() if line and not line.startswith(":")]
            folder = (DOCS / name).parent
            listed |= {(folder / line).resolve().relative_to(DOCS).as_posix() for line in lines}
    assert listed == PAGES.keys()


def test_every_figure_that_a_cell_draws_has_an_alternative_text() -> None:
    cells = [
        (name, cell)
        for name, text in PAGES.items()
        for cell in re.findall(r"```\{code-cell\} python3\n(.*?)```", text, re.S)
        if re.search(r"plt\.(figure|subplots)|\.vda\.plot\(", cell)
    ]
    assert cells
    assert [name for name, cell in cells if not re.search(r"^    alt: \S+", cell, re.M)] == []


def numbers(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w.])\d+\.\d+(?!\w|\.\d)", text))


def unfounded(page: str) -> set[str]:
    """Return the decimals of a page's text that are neither settings nor in its tables."""
    made = r"<!-- \w+: written by .*?<!-- end of \w+ -->"
    tables = " ".join(re.findall(made, page, re.S))
    known = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", tables)]
    text = re.sub(made, "", page, flags=re.S)
    text = re.sub(r"```.*?```|`[^`]*`|section \S+", "", text, flags=re.S)
    settings = {"0.01", "0.05"}  # weights of the cost, time steps
    digits = {one: len(one.replace(".", "").lstrip("0")) for one in numbers(text) - settings}
    return {
        one for one, count in digits.items()
        if float(one) not in {float(f"{number:.{count}g}") for number in known}
    }  # fmt: skip


@pytest.mark.parametrize("name", ["results", "fields", "large-states"])
def test_scores_in_the_text_of_a_page_are_those_of_its_tables(name: str) -> None:
    assert unfounded(PAGES[name]) == set()


def test_a_score_that_no_table_has_is_found() -> None:
    page = "R is 0.42, and was 0.57.\n<!-- a: written by s.py -->\n| 0.4203 |\n<!-- end of a -->"
    assert unfounded(page) == {"0.57"}


def test_every_public_name_has_a_page_and_a_docstring() -> None:
    public = set(generated_pages.public_names())
    assert public == {f"pyvda.{n}" for n in pyvda.__all__ if n != "operators"} | {
        f"pyvda.operators.{n}" for n in operators.__all__
    } | {f"pyvda.plotting.{n}" for n in plotting.__all__}
    for name in public:
        module, _, short = name.rpartition(".")
        thing = getattr(importlib.import_module(module), short)
        assert len((thing.__doc__ or "").split()) > 3, name
        assert f"{name}\n{'=' * len(name)}" in generated_pages.stub(name)


def test_every_public_name_has_an_example() -> None:
    code = [block for text in PAGES.values() for block in re.findall(r"```.*?```", text, re.S)]
    code += [
        line for path in (ROOT / "pyvda").rglob("*.py")
        for line in path.read_text("utf-8").splitlines() if line.strip().startswith((">>>", "..."))
    ]  # fmt: skip
    used = set(re.findall(r"\w+", "\n".join(code)))
    public = {name.rpartition(".")[2] for name in generated_pages.public_names()}
    assert public - used == set()


def test_every_option_has_a_description() -> None:
    for part in ("settings", "methods", "sections", "commands", "variables"):
        if part == "settings":
            text = generated_pages.fields_of(Settings, generated_pages._of_fields(Settings))
        else:
            text = getattr(generated_pages, part)()
        rows = [line for line in text.splitlines() if line.startswith("| `")]
        ends = ("* |", "*  |", "|  |")
        bare = [line for line in rows if line.endswith(ends) and not line.startswith("| `kind`")]
        assert rows
        assert bare == [], part


def test_options_name_no_internal_modules() -> None:
    text = generated_pages.methods()
    inner = {name for name in re.findall(r"`(pyvda\.[\w.]+)`", text) if name.count(".") > 1}
    assert inner <= set(generated_pages.public_names())
    assert "Options`" not in text


def test_every_attribute_is_explained() -> None:
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "pyvda").rglob("*.py"))
    written = re.findall(r'"(pyvda_[a-z_0-9]+)"|\b(pyvda_[a-z_0-9]+)=', sources)
    explained = {name for name in names.ATTRIBUTES if name.startswith("pyvda_")}
    # A key of an encoding, which no file has.
    assert {first or second for first, second in written} - {names.OPENED} == explained


def test_every_network_for_fields_is_in_the_reference() -> None:
    kinds, _ = get_args(AnyNetwork)
    assert set(get_args(kinds)) <= set(generated_pages.SECTIONS.values())


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('<a href="none.html">a</a>', "none.html does not exist"),
        ('<a href="#nowhere">a</a>', "names no place"),
        ('<img src="a.png" alt="a.png">', "no alternative text"),
        ('<img src="gone.png" alt="A map">', "gone.png does not exist"),
        ('<script src="https://example.org/a.js"></script>', "from elsewhere"),
    ],
)
def test_a_defect_of_the_site_is_found(tmp_path: Path, body: str, said: str) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    good = '<p id="here"><a href="#here">a</a><img src="a.png" alt="A map"></p>'
    page = tmp_path / "index.html"
    page.write_text(f"<html>{good}</html>")
    assert check_site.problems(tmp_path) == []
    page.write_text(f"<html>{good}{body}</html>")
    (found,) = check_site.problems(tmp_path)
    assert said in found
