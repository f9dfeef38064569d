"""The README is one screen, its links resolve, and its Python runs as it stands."""

import re
from pathlib import Path

import xarray as xr

import pyvda

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
SCREEN = 60  # lines of a file that is rendered on one


def test_it_is_one_screen() -> None:
    assert len(README.splitlines()) <= SCREEN


def test_its_links_and_images_are_there() -> None:
    links = [*re.findall(r"\]\(([^)]+)\)", README), *re.findall(r'src="([^"]+)"', README)]
    assert len(links) > 15
    assert [link for link in links if not (ROOT / link).is_file()] == []


def test_its_python_runs(tmp_path, monkeypatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len([line for line in code.splitlines() if line]) <= 10
    monkeypatch.chdir(tmp_path)
    Path("demo").mkdir()
    truth = pyvda.simulate("lorenz63", windows=2, seed=1)
    pyvda.save_analysis(pyvda.observe(truth, "lorenz63-blanked", seed=2), "demo/obs.nc")
    names: dict = {}
    exec(code, names)
    assert names["forecast"].sizes["time"] == 50
    with xr.open_dataset("learned.nc") as learned:
        error = float(((learned["analysis"] - truth["truth"]) ** 2).mean())
    assert error < 5.0
