"""The documentation's sources: every page and public name is in it. `make docs` executes the pages.

The site is not built here: what needs no Sphinx is checked, and the checks of the built site on
small sites with one defect each.
"""

import importlib.util
import inspect
import json
import re
import subprocess
import sys
import zlib
from collections.abc import Callable
from datetime import date
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, get_args

import other_packages
import pytest
import xarray as xr

import pyvda
from pyvda import names, operators, plotting, progress
from pyvda.fields.learned.configuration import AnyNetwork
from pyvda.paper import table_cells
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
inventories = loaded(DOCS / "inventories.py")
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
        if re.search(r"plt\.(figure|subplots)\(|\b(vda|pyvda)\.plot\(|\bdrawn\(|\bImage\(", cell)
    ]
    assert cells
    assert [name for name, cell in cells if not re.search(r"^    alt: \S+", cell, re.M)] == []


def stored(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DOCS / "results" / f"{name}.json").read_text("utf-8"))
    return found


SETTINGS = {"B": "lorenz63-blanked", "L": "lorenz63", "S": "lorenz96"}
PATTERNS = {
    "half": "half of the data missing", "small": "error variance 0.5", "large": "error variance 8"
}  # fmt: skip


def score(name: str) -> str:
    """Return a stored number in three digits: `B.direct` of a table, `patterns.L.half.direct`."""
    first, *keys = name.split(".")
    if first == "note":
        folder = ROOT / "pyvda/learned/weights" / keys[0]
        note = json.loads((folder / "training.json").read_text("utf-8"))["note"]
        return re.sub(r".* from (\S+) to (\S+)", r"\1 → \2", note)
    if first == "patterns":
        setting, pattern, method, *field = keys
        value = {
            (row["preset"], row["pattern"], row["method"]): row[field[0] if field else "mean"]
            for row in stored("patterns")["rows"]
        }[SETTINGS[setting], PATTERNS[pattern], method]
    elif first == "levers":
        (value,) = (
            row["scores"]["r_score"]["mean"] for row in stored("levers")["rows"]
            if row.get("model") == keys[0]
        )  # fmt: skip
    elif keys[-1] in ("parameters", "windows", "minutes"):
        return cost_of(first, *keys)
    else:
        key, field = [*keys, "r_score"][:2]
        rows = stored("table2" if first == "S" else "table1")["rows"]
        (row,) = (row for row in rows if row["row"] == key)
        value = row["results"][SETTINGS[first]]["scores"][field]["mean"]
    return f"{value:#.3g}"


def cost_of(setting: str, row: str, what: str) -> str:
    """Return parameters, training windows or minutes of a row, as sentences have them."""
    found = {
        one["row"]: one["results"]
        for one in stored("table2" if setting == "S" else "table1")["rows"]
    }[row][SETTINGS[setting]]
    if what == "minutes":
        return table_cells.training_minutes(found)
    number = (
        table_cells.parameters(found) if what == "parameters" else table_cells.windows_seen(found)
    )
    return f"{int(number):,}".replace(",", " ") if int(number) > 9999 else number


# Parts of sentences of results.md with numbers of its tables, and of the notes of two weights.
SENTENCES = """
({L.fsgd.ode_score} on Lorenz-63)
{B.direct-small.parameters} parameters, the same {B.genn-conv.windows} windows, six times
R {B.genn-conv} against {B.direct-small} and {L.genn-conv} against {L.direct-small}; GENN with
aG-LSTM is worse, {B.genn-lstm}, and on `lorenz63` {L.genn-lstm},
better than both, in no more minutes: R {B.direct} and {L.direct}.
({S.genn-conv} and {S.genn-lstm} against {S.direct-small}; it had {S.direct-small.minutes} minutes,
they {S.genn-conv.minutes} and {S.genn-lstm.minutes})
of `direct` ({S.direct})
ODE-score is {L.genn-conv-unsupervised.ode_score} on Lorenz-63
that of RK4 is {L.fsgd.ode_score}.
30 epochs → 100 | {levers.genn-conv} → {B.genn-conv} |
own first stage | {S.direct} → {S.shooting} |
from `shooting` | {S.annealed-once} → {S.annealed-warm} |
{note.lorenz96-shooting}, {note.lorenz96-genn-lstm} (96 and 192 validation windows)
window ({patterns.L.half.genn-conv.median} against {patterns.L.half.direct.median},
blanked {patterns.B.half.genn-conv.median} against {patterns.B.half.direct.median})
the mean is {patterns.L.half.genn-conv} (blanked {patterns.B.half.genn-conv});
it has {patterns.L.half.genn-conv-gaps} ({patterns.B.half.genn-conv-gaps}),
of its size {patterns.L.half.direct-small-gaps} ({patterns.B.half.direct-small-gaps}),
({patterns.L.small.direct} against {patterns.L.small.genn-conv}
and {patterns.L.large.direct} against {patterns.L.large.genn-conv},
blanked {patterns.B.small.direct} against {patterns.B.small.genn-conv}
and {patterns.B.large.direct} against {patterns.B.large.genn-conv})
(half missing: {patterns.S.half.genn-conv} against {patterns.S.half.direct},
"""


def unfounded(page: str, sentences: str) -> list[str]:
    """Return the sentences that a page has otherwise, and its decimals that are in none of them."""
    text = " ".join(re.sub(r"```.*?```", "", page, flags=re.S).split())
    missing = []
    for line in sentences.strip().splitlines():
        sentence = re.sub(r"\{(.*?)\}", lambda found: score(found[1]), line)
        missing += [] if sentence in text else [sentence]
        text = text.replace(sentence, "")
    rest = re.sub(r"`[^`]*`|section \S+", "", text)
    settings = {"0.01", "0.05"}  # weights of the cost, time steps
    found = re.findall(r"(?<![\w.])\d+\.\d+(?:e[-+]\d+)?(?!\w|\.\d)", rest)
    return missing + [number for number in found if number not in settings]


def test_scores_in_sentences_are_those_of_the_tables() -> None:
    assert unfounded(PAGES["results"], SENTENCES) == []


def test_a_sentence_with_another_score_is_found() -> None:
    page = "R is 0.664 and 0.638.\n```{code-cell} python3\nx = 0.5\n```"
    assert unfounded(page, "R is {B.genn-conv} and {B.direct}.") == []
    assert unfounded(page, "R is {B.genn-conv}") == ["0.638"]
    swapped = "R is {B.direct} and {B.genn-conv}."
    assert unfounded(page, swapped) == ["R is 0.638 and 0.664.", "0.664", "0.638"]


# Numbers with a point and percentages that other pages have outside of executed code: versions,
# default values, thresholds and settings. A measured number is printed by a cell instead.
STATED = {
    "explanation/adjoints": "0.02",
    "explanation/engine": "1.10 1.5",
    "fields": "2 %",
    "howto/other_packages": "0.01",
    "howto/parameters": "0.1",
    "speed": "0.01",
    "start/install": "1.5 1.9 3.11",
    "trust": "2 % 3.5 5 % 6 % 7 % 10 % 12 % 25 % 95 %",
    "tutorials/gappy_file": "0.02",
    "tutorials/tables": "0.05",
}


@pytest.mark.parametrize("name", sorted(PAGES.keys() - {"results"}))
def test_other_pages_have_no_measured_number_outside_of_code(name: str) -> None:
    text = re.sub(r"\A---.*?\n---\n|```.*?```", "", PAGES[name], flags=re.S)
    if name == "speed":  # the paper's own scores, beside those of its descent
        for table, quoted in (
            ("table1", "R {} and cost {} for FSGD"),
            ("table2", "R {}, cost {}."),
        ):
            (row,) = (row for row in stored(table)["rows"] if row["row"] == "fsgd")
            sentence = quoted.format(row["paper"]["r_score"], row["paper"]["four_dvar"])
            assert sentence in " ".join(text.split())
            text = " ".join(text.split()).replace(sentence, "")
    text = re.sub(r"`[^`]*`|\$[^$]*\$", "", text)
    number = r"(?<![\w.])(\d+\.\d+(?:e[-+]\d+)?(?!\w|\.\d)|\d+ %)"
    assert set(re.findall(number, text)) <= set(re.findall(number, STATED.get(name, "")))


def test_ranges_of_the_trainings_are_those_of_the_tables() -> None:
    ranges = []
    for table, setting in (("table1", "lorenz63"), ("table2", "lorenz96")):
        entries = [
            one for row in stored(table)["rows"] for name, one in row["results"].items()
            if name.startswith(setting) and row["scheme"] in ("supervised", "unsupervised")
        ]  # fmt: skip
        minutes = [int(m) for one in entries if (m := table_cells.training_minutes(one)).isdigit()]
        ranges += [min(minutes), max(minutes)]
    sentence = "From {} to {} minutes on Lorenz-63 and from {} to {} on Lorenz-96".format(*ranges)
    assert sentence in " ".join(PAGES["results"].split())


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


def test_every_name_of_the_package_is_public() -> None:
    assert {*dir(pyvda)} == {*pyvda.__all__}
    assert {*dir(plotting)} == {*plotting.__all__}
    assert {*dir(operators)} == {*operators.__all__}
    for module in (pyvda, operators, plotting):
        assert len((module.__doc__ or "").split()) > 3


def test_every_method_of_a_public_class_has_a_docstring() -> None:
    classes = {name: thing for name, thing in public_things().items() if isinstance(thing, type)}
    assert classes
    for name, kind in classes.items():
        for method in (m for m in dir(kind) if not m.startswith("_")):
            found = inspect.getattr_static(kind, method)
            if callable(found) or isinstance(found, property | classmethod | staticmethod):
                text = inspect.getdoc(getattr(kind, method)) or ""
                assert len(text.split()) > 3, f"{name}.{method}"


@pytest.mark.parametrize("data", [xr.Dataset(), xr.DataArray()], ids=["Dataset", "DataArray"])
def test_every_method_of_the_accessor_has_a_docstring_a_row_and_an_example(data) -> None:
    methods = [name for name in dir(data.vda) if not name.startswith("_") and name != "data"]
    cells = [
        cell for text in PAGES.values()
        for cell in re.findall(r"```\{code-cell\} python3\n(.*?)```", text, re.S)
    ]  # fmt: skip
    assert {"assimilate", "plot", "score"} <= set(methods)
    for name in methods:
        assert len((getattr(data.vda, name).__doc__ or "").split()) > 3, name
        assert f"| `ds.vda.{name}(" in PAGES["reference/api"], name
        assert any(f".vda.{name}(" in cell for cell in cells), name


def without_example(public: dict[str, Any], code: str) -> set[str]:
    """Return the names that neither `code` nor the examples of their docstrings use.

    Uses are `pyvda.NAME`, `operators.NAME`, `plotting.NAME`, and an import of the name.
    """
    imported = re.findall(r"from pyvda(?:\.\w+)* import \(?([\w, \n]+)", code)
    used = set(re.findall(r"\w+", " ".join(imported)))
    missing = set()
    for name, thing in public.items():
        module, _, short = name.rpartition(".")
        called = re.search(rf"\b{module.rpartition('.')[2]}\.{short}\b", code)
        examples = re.findall(r"^ *(?:>>>|\.\.\.) .*", thing.__doc__ or "", re.M)
        own = re.search(rf"\b{short}\b", "\n".join(examples))
        missing |= set() if called or own or short in used else {name}
    return missing


def public_things() -> dict[str, Any]:
    names_of = (name.rpartition(".") for name in generated_pages.public_names())
    return {f"{m}.{n}": getattr(importlib.import_module(m), n) for m, _, n in names_of}


def test_every_public_name_has_an_example() -> None:
    code = [block for text in PAGES.values() for block in re.findall(r"```.*?```", text, re.S)]
    assert without_example(public_things(), "\n".join(code)) == set()


def test_a_word_of_a_code_block_is_no_example() -> None:
    thing = {"pyvda.check": re.sub, "pyvda.operators.Linear": None}
    assert without_example(thing, "pyvda check a.yaml  # Linear") == set(thing)
    assert without_example(thing, "pyvda.check(m); operators.Linear(h)") == set()
    assert without_example(thing, "from pyvda import a, check\noperators.Linear") == set()


def test_results_of_other_packages_are_of_the_scripts_shown() -> None:
    found = json.loads((DOCS / "results/other_packages.json").read_text("utf-8"))
    scripts = {path.name for path in (DOCS / "howto/peers").glob("*.py")}
    assert {f"{name}_case.py" for name in found["packages"]} == scripts
    assert set(re.findall(r"peers/(\w+\.py)", PAGES["howto/other_packages"])) == scripts
    assert {f"{name}_case.py" for name in other_packages.PACKAGES} == scripts
    assert date.fromisoformat(found["date"]) <= date.today()
    assert re.fullmatch(r"\d+\.\d+\.\d+", found["pyvda"])


@pytest.fixture
def sh(monkeypatch) -> Callable[[str], None]:
    """The magic %%sh of the pages."""
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE", "PYTHONUNBUFFERED"):  # set by the kernel, too
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(progress, "BAR_AFTER", progress.BAR_AFTER)
    registered = {}

    class Shell:
        def register_magic_function(self, function, kind, name):
            registered[kind, name] = function

    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=Shell))
    loaded(DOCS / "kernel.py")
    return lambda cell: registered["cell", "sh"]("", cell)


def test_commands_of_a_page_print_as_on_a_terminal(sh, capsys) -> None:
    print_both = "import sys; print(1); print(2, file=sys.stderr); print(3)"
    sh(f"{sys.executable} -c '{print_both}'\necho 4 >&2\necho 5\n")
    assert capsys.readouterr().out == "1\n2\n3\n4\n5\n"


def test_a_command_that_fails_fails_the_page(sh, capsys) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        sh("echo before\nfalse\necho after\n")
    assert capsys.readouterr().out == "before\n"


def test_a_page_shows_no_progress_of_commands(sh, monkeypatch, capsys) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY", -1.0)
    with progress.shown("train") as report:
        for done in (1, 2, 3):
            report(done, 8, "loss 0.1")
    line = capsys.readouterr().err
    assert line.count("\n") == 2
    sh(f"cat <<end\npyvda: a notice\n{line}done\nend\n")
    assert capsys.readouterr().out == "pyvda: a notice\ndone\n"


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
    modules = set(re.findall(r"`([a-z_]+\.[\w.]+)`", generated_pages.sections()))
    assert modules <= {*generated_pages.public_names(), "network.days", "torch.compile"}


def test_every_attribute_is_explained() -> None:
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "pyvda").rglob("*.py"))
    written = re.findall(r'"(pyvda_[a-z_0-9]+)"|\b(pyvda_[a-z_0-9]+)=', sources)
    explained = {name for name in names.ATTRIBUTES if name.startswith("pyvda_")}
    # A key of an encoding, which no file has.
    assert {first or second for first, second in written} - {names.OPENED} == explained


@pytest.mark.parametrize("site", inventories.SITES)
def test_classes_of_other_packages_are_there(site: str, tmp_path: Path) -> None:
    address, path = inventories.mapping(tmp_path)[site]
    head, _, lines = Path(path).read_bytes().partition(b"zlib.\n")
    assert address.startswith("https://")
    assert head.startswith(b"# Sphinx inventory version 2\n")
    for line in zlib.decompress(lines).decode().splitlines():
        name, kind, _, page, _ = line.split(" ")
        module, _, short = name.rpartition(".")
        assert isinstance(getattr(import_module(module or "builtins"), short), type)
        assert kind == "py:class"
        assert page.endswith((f"#{name}", "#$"))
        assert inventories.linked(f"{short}, optional") == f":py:class:`{short} <{name}>`, optional"


def test_types_are_linked_as_whole_words() -> None:
    assert inventories.linked("interval of `float` or Figures") == "interval of `float` or Figures"


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


def test_a_figure_that_a_cell_did_not_show_is_found(tmp_path: Path) -> None:
    site, docs = tmp_path / "site", tmp_path / "docs"
    (site / "howto").mkdir(parents=True)
    (docs / "howto").mkdir(parents=True)
    (docs / "howto/a.md").write_text("    alt: A map\n    alt: A network's curve\n")
    (docs / "howto/b.md").write_text("no figure\n")
    page = '<img src="a.png" alt="A map"><img src="b.png" alt="A network\'s curve">'
    (site / "howto/a.html").write_text(page)
    assert check_site.missing_figures(site, docs) == []
    (site / "howto/a.html").write_text('<img src="a.png" alt="A map">')
    (found,) = check_site.missing_figures(site, docs)
    assert found.startswith("howto/a.html: no figure")
