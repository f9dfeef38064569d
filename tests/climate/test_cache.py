"""What simulations gave is found again by all that it depends on, for models of a Python file."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pyvda.climate import cache
from pyvda.climate.cache import kept
from pyvda.models.registry import get_model, resolve
from pyvda.notices import Notice

FILE = """
import torch, pyvda
RULES = {"variables": ("u", "v"), "time_step": 0.1, "spinup": 1.0}

def turning(x):
    return torch.stack((x[..., 1], -x[..., 0]), -1)

def slower(x):
    return torch.stack((0.5 * x[..., 1], -0.5 * x[..., 0]), -1)

plain = pyvda.torch_model(turning, **RULES)
one = pyvda.torch_model(lambda x: -x, **RULES)
two = pyvda.torch_model(lambda x: -2 * x, **RULES)

def chosen(which=1):
    f = turning if which == 1 else slower
    return pyvda.torch_model(f, **RULES, name="oscillator")

def closed(rate=1.0):
    def decay(x):
        return -rate * x
    return pyvda.torch_model(decay, **RULES)

def numbered(a=1.0):
    def decay(x, a):
        return -a * x
    return pyvda.torch_model(decay, parameters={"a": a}, **RULES)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYVDA_CACHE", str(tmp_path / "cache"))
    (tmp_path / "models.py").write_text(FILE)
    return tmp_path


def number_of(model, number):
    """Return the number that is kept for `model`, which is `number` when none is yet."""
    found = kept("test", model, "", lambda: {"n": np.array(number)}, lambda found: True)
    return int(found["n"])


def test_a_plain_function_is_kept_for_other_processes(folder: Path) -> None:
    assert number_of(resolve(f"{folder}/models.py:plain"), 1) == 1
    assert number_of(resolve(f"{folder}/models.py:plain"), 2) == 1
    assert len(list((folder / "cache").iterdir())) == 1


@pytest.mark.parametrize(
    "names",
    [
        ("one", "two"),
        ("plain", "one"),
    ],
)
def test_models_of_one_file_are_told_apart(folder: Path, names) -> None:
    a, b = (resolve(f"{folder}/models.py:{name}") for name in names)
    assert number_of(a, 1) == 1
    assert number_of(b, 2) == 2


@pytest.mark.parametrize(
    ("factory", "values"),
    [
        ("chosen", {"which": 2}),
        ("closed", {"rate": 2.0}),
        ("numbered", {"a": 2.0}),
    ],
)
def test_the_arguments_of_a_factory_belong_to_the_key(folder: Path, factory, values) -> None:
    name = f"{folder}/models.py:{factory}"
    assert number_of(resolve(name), 1) == 1
    assert number_of(resolve(name, values), 2) == 2


@pytest.mark.parametrize("name", ["one", "closed"])
def test_what_the_text_does_not_say_is_kept_for_that_object_only(folder: Path, name) -> None:
    model = resolve(f"{folder}/models.py:{name}")
    assert number_of(model, 1) == 1
    assert number_of(model, 2) == 1
    assert not (folder / "cache").exists()


def test_a_module_beside_the_file_may_change(folder: Path) -> None:
    (folder / "constants_of_mine.py").write_text("RATE = 1.0\n")
    text = FILE.replace("import torch, pyvda", "import torch, pyvda\nimport constants_of_mine")
    (folder / "models.py").write_text(text)
    assert number_of(resolve(f"{folder}/models.py:plain"), 1) == 1
    assert not (folder / "cache").exists()


def test_the_time_step_counts_where_it_decides_the_way_to_the_attractor(folder: Path) -> None:
    model = replace(resolve(f"{folder}/models.py:plain"), spinup=None)
    assert number_of(model, 1) == 1
    assert number_of(replace(model, time_step=0.01), 2) == 2


def test_a_model_of_pyvda_s_own_is_kept_by_its_parameters(folder: Path) -> None:
    assert number_of(get_model("lorenz63"), 1) == 1
    assert number_of(get_model("lorenz63"), 2) == 1
    assert number_of(get_model("lorenz63", rho=20.0), 3) == 3


NO_FOLDER = {
    "not writable": {"PYVDA_CACHE": "/proc/cache"},
    "a file": {"PYVDA_CACHE": "{file}"},
    "no home": {"HOME": ""},
    "home not writable": {"HOME": "/proc/self"},
}


@pytest.mark.parametrize("environment", NO_FOLDER.values(), ids=NO_FOLDER)
def test_without_a_folder_nothing_is_kept_which_is_said_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    for name in ("PYVDA_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        if value:
            monkeypatch.setenv(name, value.format(file=folder / "models.py"))
    if "HOME" not in os.environ and "PYVDA_CACHE" not in os.environ:
        monkeypatch.setattr("pwd.getpwuid", _unknown)
    monkeypatch.chdir(folder)
    cache._say_once.cache_clear()
    model = resolve(f"{folder}/models.py:plain")
    with pytest.warns(Notice, match=r"^simulations .* are not kept .*; set PYVDA_CACHE") as told:
        found = [number_of(model, number) for number in (1, 2)]
    assert found == [1, 2]
    assert len(told) == 1
    assert [path.name for path in folder.iterdir()] == ["models.py"]


def _unknown(number: int) -> None:
    raise KeyError(f"getpwuid(): uid not found: {number}")


@pytest.mark.slow
def test_two_processes_at_once_leave_one_whole_file(folder: Path) -> None:
    program = (
        "import sys, numpy as np\n"
        "from pyvda.climate.cache import kept\n"
        "from pyvda.models.registry import resolve\n"
        "model = resolve(sys.argv[1])\n"
        "for n in range(20):\n"
        "    made = kept('k', model, str(n), lambda: {'n': np.full(1000, n)}, lambda found: True)\n"
        "    assert (made['n'] == n).all()\n"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", program, f"{folder}/models.py:plain"])
        for _ in range(2)
    ]
    assert [one.wait(timeout=600) for one in both] == [0, 0]
    files = list((folder / "cache").iterdir())
    assert len(files) == 20
    assert not [path for path in files if path.name.startswith(".")]
