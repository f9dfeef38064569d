"""The command line: the README's commands; bad input: one sentence, exit code 2, no output."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from command_line import run
from typer.testing import CliRunner

import pyvda
from pyvda.cli.main import app
from pyvda.io.netcdf import open_dataset

COMMANDS = sorted(command.callback.__name__ for command in app.registered_commands)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    truth = pyvda.simulate("lorenz63", 5, 1)
    pyvda.save_analysis(truth, folder / "truth.nc")
    pyvda.save_analysis(pyvda.observe(truth, "lorenz63", 2), folder / "obs.nc")
    return folder


def test_version_and_help(monkeypatch, capsys) -> None:
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"pyvda {pyvda.__version__}\n"
    assert run(monkeypatch, "--help") == 0
    printed = capsys.readouterr().out
    assert "Variational data assimilation of netCDF observations." in printed
    assert "--version" in printed


def test_the_commands_of_the_readme(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    for line in (
        "simulate lorenz63 --windows 4 --seed 1 -o truth.nc",
        "observe truth.nc --preset lorenz63 --seed 2 -o obs.nc",
        "assimilate obs.nc --model lorenz63 --method fsgd --iterations 200 -o analysis.nc",
        "score analysis.nc --truth truth.nc --json scores.json",
        "plot analysis.nc --truth truth.nc -o analysis.png",
        "info",
    ):
        assert run(monkeypatch, *line.split()) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    assert "r_score" in printed
    assert "4 windows: 4 iteration limit" in printed
    assert str(pyvda.get_engine().info) in printed
    assert "lorenz96-two-scale" in printed
    scores = json.loads(Path("scores.json").read_text())["scores"]
    truth, analysis = open_dataset("truth.nc")["truth"], open_dataset("analysis.nc")["analysis"]
    assert scores["r_score"]["mean"] == pytest.approx(float(((analysis - truth) ** 2).mean()))
    assert scores["r_score"]["low"] < scores["r_score"]["mean"] < scores["r_score"]["high"]
    assert Path("analysis.png").read_bytes().startswith(b"\x89PNG")


def test_analyses_side_by_side(folder, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    for count, name in ((5, "short.nc"), (500, "long.nc")):
        assert (
            run(monkeypatch, "assimilate", folder / "obs.nc", "--iterations", count, "-o", name)
            == 0
        )
    capsys.readouterr()
    truth = folder / "truth.nc"
    arguments = ("score", "short.nc", "long.nc", "--truth", truth, "--json", "both.json")
    assert run(monkeypatch, *arguments) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[:2] for line in lines[:2]] == [["r_score", "short.nc"], ["r_score", "long.nc"]]
    assert float(lines[0][2]) > float(lines[1][2])
    scores = json.loads(Path("both.json").read_text())
    assert scores["long.nc"]["scores"]["r_score"]["mean"] == pytest.approx(float(lines[1][2]), 1e-3)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command) -> None:
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert f"pyvda {command}" in result.output.split("Example")[1]


def test_quiet_prints_nothing(folder, tmp_path, monkeypatch, capfd) -> None:
    arguments = ["assimilate", folder / "obs.nc", "--iterations", 5, "-q", "-o", tmp_path / "a.nc"]
    assert run(monkeypatch, *arguments) == 0
    assert run(monkeypatch, "score", tmp_path / "a.nc", "--truth", folder / "truth.nc", "-q") == 0
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_a_configuration_file_gives_the_options(folder, tmp_path, monkeypatch) -> None:
    config = tmp_path / "options.yaml"
    config.write_text("model: lorenz63\niterations: 7\nlambda1: 0.02\n")
    out = tmp_path / "a.nc"
    arguments = ["assimilate", folder / "obs.nc", "--config", config, "-q", "-o", out]
    assert run(monkeypatch, *arguments, "--set", "check_every=3") == 0
    configuration = json.loads(open_dataset(out).attrs["pyvda_configuration"])
    assert configuration["options"]["iterations"] == 7
    assert configuration["options"]["check_every"] == 3
    assert configuration["cost"]["lambda1"] == 0.02


def test_blocks_from_the_command_line(folder, tmp_path, monkeypatch) -> None:
    common = ["assimilate", folder / "obs.nc", "--iterations", 50, "-q"]
    assert run(monkeypatch, *common, "-o", tmp_path / "whole.nc") == 0
    state = ["--state", tmp_path / "state"]
    assert run(monkeypatch, *common, *state, "--block", 2, "-o", tmp_path / "blocks.nc") == 0
    whole, blocks = open_dataset(tmp_path / "whole.nc"), open_dataset(tmp_path / "blocks.nc")
    np.testing.assert_array_equal(whole["analysis"].values, blocks["analysis"].values)
    assert sorted(p.name for p in tmp_path.glob("state*")) == ["state", "state.2", "state.4"]


def _without_values(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign(observation=ds["observation"] * np.nan)


BAD_FILES = {
    "infinite": (lambda ds: ds.assign(observation=ds["observation"].fillna(np.inf)), "infinite"),
    "nothing": (_without_values, "observation has no values"),
    "state": (lambda ds: ds.isel(state=slice(0, 2)), "state of 2 components, lorenz63 has 3"),
    "twice": (lambda ds: ds.isel(time=[0, 1, 1, 2, 3]), "occurs twice"),
    "uneven": (lambda ds: ds.isel(time=[0, 1, 2, 8, 9, 10, 16]), "time"),
    "variable": (lambda ds: ds.rename(observation="a").assign(b=ds["observation"]), "a, b"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_gets_one_sentence(name, folder, tmp_path, monkeypatch, capsys) -> None:
    spoil, message = BAD_FILES[name]
    pyvda.save_analysis(spoil(open_dataset(folder / "obs.nc")), tmp_path / "bad.nc")
    _refused(monkeypatch, capsys, tmp_path, message, tmp_path / "bad.nc")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--model", "lorenz96"], "state of 3 components, lorenz96 has 40"),
        (["--variable", "nothing"], "nothing"),
        (["--set", "iteration=5"], "unknown key iteration;"),
        (["--set", "iterations"], "name=value"),
        (["--method", "4dvar"], "choose one of"),
        (["--engine", "fortran"], "unknown engine"),
        (["--config", "missing.yaml"], "missing.yaml"),
        (["--truth", "missing.nc"], "does not exist"),
    ],
)
def test_a_bad_option_gets_one_sentence(more, message, folder, tmp_path, monkeypatch, capsys):
    _refused(monkeypatch, capsys, tmp_path, message, folder / "obs.nc", *more)


@pytest.mark.parametrize("given", [["--set", "state_size=36"], ["--set=state_size=36"]])
def test_a_size_of_the_model_given_as_an_option(given, tmp_path, monkeypatch, capsys) -> None:
    """The sentence names --parameter, with which the same command works."""
    monkeypatch.chdir(tmp_path)

    def remedy(*arguments: str) -> list[str]:
        assert run(monkeypatch, *arguments, *given) == 2
        error = capsys.readouterr().err.strip()
        assert "\n" not in error, error
        found = re.search(r"--parameter \S+", error)
        assert found is not None, error
        return found[0].split()

    simulate = ["simulate", "lorenz96", "--windows", "2", "-q", "-o", "truth.nc"]
    assert run(monkeypatch, *simulate, *remedy(*simulate)) == 0
    truth = open_dataset("truth.nc")
    assert truth["truth"].sizes["state"] == 36
    pyvda.save_analysis(pyvda.observe(truth, variance=1.0, every=4, seed=2), Path("obs.nc"))
    assimilate = ["assimilate", "obs.nc", "--iterations", "5", "-q", "-o", "analysis.nc"]
    assimilate += ["--model", "lorenz96"]
    assert run(monkeypatch, *assimilate, *remedy(*assimilate)) == 0


def test_an_unknown_key_in_a_configuration(folder, tmp_path, monkeypatch, capsys) -> None:
    for text, message in (
        ("model: lorenz63\niteratons: 7\n", "unknown key iteratons;"),
        ("- a list\n", "holds no options"),
        ("a: [1,\n", "cannot be read as YAML"),
    ):
        config = tmp_path / "options.yaml"
        config.write_text(text)
        _refused(monkeypatch, capsys, tmp_path, message, folder / "obs.nc", "--config", config)


def test_a_truncated_file(folder, tmp_path, monkeypatch, capsys) -> None:
    whole = (folder / "obs.nc").read_bytes()
    (tmp_path / "cut.nc").write_bytes(whole[: len(whole) // 2])
    _refused(monkeypatch, capsys, tmp_path, "cannot be read", tmp_path / "cut.nc")


def test_a_folder_that_does_not_exist(folder, tmp_path, monkeypatch, capsys) -> None:
    def read(*_: object, **__: object) -> None:
        pytest.fail("the file was read before the output was looked at")

    monkeypatch.setattr("pyvda.io.netcdf.open_observations", read)
    out = tmp_path / "no" / "a.nc"
    assert run(monkeypatch, "assimilate", folder / "obs.nc", "-o", out) == 2
    assert "does not exist; create it first" in capsys.readouterr().err


def test_a_full_disk(folder, tmp_path, monkeypatch, capsys) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small tmpfs needs root")
    try:
        arguments = ["assimilate", folder / "obs.nc", "--iterations", 5, "-o", disk / "a.nc"]
        assert run(monkeypatch, *arguments) == 2
        assert "no space left" in capsys.readouterr().err
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)  # HDF5 may hold the file


def test_unknown_presets_and_wrong_files(folder, tmp_path, monkeypatch, capsys) -> None:
    for arguments, message in (
        (["simulate", "lorenz", "-o", tmp_path / "t.nc"], "unknown preset"),
        (["observe", folder / "obs.nc", "--preset", "lorenz63", "-o", tmp_path / "o.nc"], "truth"),
        (["score", folder / "obs.nc", "--truth", folder / "truth.nc"], "pyvda assimilate"),
        (["plot", folder / "obs.nc", "-o", tmp_path / "p.png"], "'analysis'"),
        (["plot", folder / "obs.nc", "--windows", "x", "-o", tmp_path / "p.png"], "0,1,2"),
    ):
        assert run(monkeypatch, *arguments) == 2
        error = capsys.readouterr().err.strip()
        assert message in error
        assert "\n" not in error
    assert list(tmp_path.iterdir()) == []


def _refused(monkeypatch, capsys, tmp_path, message, *arguments) -> None:
    out = tmp_path / "out" / "analysis.nc"
    out.parent.mkdir(exist_ok=True)
    assert run(monkeypatch, "assimilate", *arguments, "-o", out) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error, error
    assert list(out.parent.iterdir()) == []


def test_the_default_model_is_said_unless_quiet(tmp_path, monkeypatch, caplog) -> None:
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(1).standard_normal((1, 20, 3))
    ds = xr.Dataset({"observation": (("window", "time", "state"), values)})
    ds.to_netcdf("obs.nc")
    line = ("assimilate", "obs.nc", "--time-step", "0.01", "--iterations", "5", "-o", "analysis.nc")
    said = "no model was named: the default, lorenz63, is used; --model names another"
    assert run(monkeypatch, *line, "--quiet") == 0
    assert said not in caplog.messages
    assert run(monkeypatch, *line, "--model", "lorenz63") == 0
    assert said not in caplog.messages
    assert run(monkeypatch, *line) == 0
    assert caplog.messages.count(said) == 1


def test_a_process_that_ends_does_not_look_through_what_it_has_loaded() -> None:
    look = (
        "import atexit, gc\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > len(gc.get_objects())))\n"
        "from pyvda.cli.main import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", look, "--version"], capture_output=True, text=True, timeout=300
    )
    assert done.stdout.splitlines() == [f"pyvda {pyvda.__version__}", "True"], done.stderr


def test_a_command_collects_cycles_rarely_and_more_rarely_while_modules_are_loaded() -> None:
    look = (
        "import atexit, gc\n"
        "at_first = lambda: [(gc.get_threshold()[0], gc.collect(0))[0] for _ in range(10)]\n"
        "atexit.register(lambda: print(*at_first()))\n"
        "from pyvda.cli.main import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", look, "--version"], capture_output=True, text=True, timeout=300
    )
    said = " ".join(["50000"] * 8 + ["5000"] * 2)
    assert done.stdout.splitlines()[1:] == [said], done.stderr


@pytest.mark.parametrize(("given", "spin"), [({}, "20"), ({"OPENBLAS_THREAD_TIMEOUT": "9"}, "9")])
def test_idle_threads_of_linear_algebra_soon_sleep(given, spin) -> None:
    look = (
        "import atexit, os, sys\n"
        "atexit.register(lambda: print(early, os.environ['OPENBLAS_THREAD_TIMEOUT']))\n"
        "from pyvda.cli.main import main\n"
        "early = 'numpy' in sys.modules\n"
        "main()\n"
    )
    kept = {k: v for k, v in os.environ.items() if k != "OPENBLAS_THREAD_TIMEOUT"}
    done = subprocess.run(
        [sys.executable, "-c", look, "--version"],
        capture_output=True, text=True, timeout=300, env=kept | given,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == f"False {spin}", done.stderr


def test_closed_standard_streams_do_not_hinder(folder, tmp_path) -> None:
    command = [
        sys.executable, "-m", "pyvda", "assimilate", str(folder / "obs.nc"), "--engine", "torch",
        "--iterations", "2", "-o", str(tmp_path / "a.nc"),
    ]  # fmt: skip
    shell = " ".join(map(shlex.quote, command)) + " <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", shell]).returncode == 0
    with xr.open_dataset(tmp_path / "a.nc") as found:
        assert np.isfinite(found.analysis).all()


def test_a_current_folder_that_is_gone_is_said(tmp_path) -> None:
    (tmp_path / "gone").mkdir()
    shell = f"cd gone && rmdir ../gone && {shlex.quote(sys.executable)} -m pyvda info"
    done = subprocess.run(["sh", "-c", shell], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "pyvda: the current folder does not exist any more; change to another (cd)"
    )


@pytest.mark.parametrize("flags", [[], ["-X", "utf8=0"]])
def test_names_of_files_in_an_ascii_locale(folder, tmp_path, flags) -> None:
    """Also where Python is told not to use UTF-8: libraries need it."""
    path = tmp_path / "größe.nc"
    path.write_bytes((folder / "obs.nc").read_bytes())
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, *flags, "-m", "pyvda", "assimilate", str(path)]
    done = subprocess.run(
        [*command, "--model", "lorenz63", "-o", str(tmp_path / "größe.csv")],
        env={**os.environ, **ascii_only}, capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert "größe.csv: the output is netCDF or zarr" in done.stderr.decode()


def test_a_pipe_is_no_output(folder, tmp_path, monkeypatch, capsys) -> None:
    os.mkfifo(tmp_path / "a.json")
    done = run(monkeypatch, "diagnose", folder / "fsgd.nc", "--json", tmp_path / "a.json")
    assert done == 2
    assert "not an ordinary file" in capsys.readouterr().err


def test_warnings_of_libraries_are_no_errors(folder, tmp_path) -> None:
    command = [sys.executable, "-W", "error", "-m", "pyvda", "assimilate", str(folder / "obs.nc")]
    done = subprocess.run(
        [*command, "--engine", "torch", "--iterations", "2", "-o", str(tmp_path / "a.nc")],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
