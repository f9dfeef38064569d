"""The system image: when it is used, made, refused and forgotten, with a julia that is a script."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pyvda.engine.julia import build_image, image
from pyvda.errors import EngineError, InputError

# Does what `build` asks of julia: files, version, an object file, and a start from an image.
JULIA = """#!/bin/sh
here=${0%/*}
case "$*" in
*output-o*)
    echo built >> "$here/builds"
    sleep "$(cat "$here/seconds" 2>/dev/null || echo 0)"
    [ ! -e "$here/broken" ] || { echo "no memory" >&2; exit 1; }
    while [ "$1" != --output-o ]; do shift; done
    echo code > "$2";;
*"exceptions work"*)
    printf '%s\\n' "$here/libjulia.so" "$here" "$here/sys.so" "exceptions work";;
*VERSION\\)*) printf "$(cat "$here/version" 2>/dev/null || echo 1.5.3)";;
*dllist*) echo "$here/libjulia.so";;
*) exit 0;;
esac
"""
COMPILER = """#!/bin/sh
while [ "$1" != -o ]; do shift; done
echo machine code > "$2"
"""


@pytest.fixture
def julia(tmp_path, monkeypatch) -> str:
    """A julia that is a script, with a compiler that is one, and an empty cache."""
    folder = tmp_path / "julia"
    folder.mkdir()
    for name, script in (("julia", JULIA), ("cc", COMPILER)):
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    for name in ("libjulia.so", "sys.so"):
        (folder / name).write_text(name)
    monkeypatch.setattr(build_image, "installed", lambda: True)
    monkeypatch.setattr(build_image, "_available_memory", lambda: 8 << 30)
    monkeypatch.setenv("CC", str(folder / "cc"))
    monkeypatch.setenv("PYVDA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYVDA_SYSIMAGE", "auto")
    return str(folder / "julia")


def builds(julia: str) -> int:
    log = Path(julia).with_name("builds")
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_an_image_is_made_once_and_found(julia) -> None:
    assert image.find(julia) is None
    assert build_image.wanted(julia, "1.5.3")
    path = build_image.build(julia)
    assert path.read_text() == "machine code\n"
    found = image.find(julia)
    assert found is not None
    assert found[0] == path
    assert found[1].library == str(Path(julia).with_name("libjulia.so"))
    assert not found[1].crashes
    assert build_image.build(julia) == path
    assert builds(julia) == 1
    assert sorted(file.suffix for file in path.parent.iterdir()) == [".json", ".lock", ".so"]


def test_processes_that_come_at_once_make_one(julia) -> None:
    Path(julia).with_name("seconds").write_text("1")
    command = [sys.executable, "-m", "pyvda.engine.julia.build_image"]
    environment = {**os.environ, "PYVDA_JULIA": julia}
    waiting = [subprocess.Popen(command, env=environment) for _ in range(2)]
    deadline = time.monotonic() + 600
    while not builds(julia) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not build_image.wanted(julia, "1.5.3")  # it is being made
    assert build_image.why_none(julia) == "it is being made"
    with pytest.raises(build_image.Busy):
        build_image.build(julia, wait=False)
    assert [process.wait(timeout=600) for process in waiting] == [0, 0]
    assert image.find(julia) is not None
    assert builds(julia) == 1


@pytest.mark.parametrize("changed", ["image", "library", "gone", "record"])
def test_an_image_that_is_not_what_was_recorded_is_not_used(julia, changed) -> None:
    path = build_image.build(julia)
    if changed == "image":
        path.write_text("machine")
    elif changed == "library":
        Path(julia).with_name("libjulia.so").write_text("a later version")
    elif changed == "gone":
        path.unlink()
    else:
        image.record_path(path).write_text('{"stamps": []}')
    assert image.find(julia) is None
    assert build_image.wanted(julia, "1.5.3")
    assert build_image.build(julia) == path
    assert image.find(julia) is not None


def test_the_key_is_all_that_machine_code_depends_on(julia, tmp_path, monkeypatch) -> None:
    keys = {image.image_path(julia)}
    source = tmp_path / "source" / "src"
    source.mkdir(parents=True)
    (source / "VDA.jl").write_text("module VDA end")
    monkeypatch.setattr(image, "julia_source", lambda: source / "VDA.jl")
    keys.add(image.image_path(julia))
    (source / "VDA.jl").write_text("module VDA; end")
    keys.add(image.image_path(julia))
    (source / "other.jl").write_text("")
    keys.add(image.image_path(julia))
    assert image.image_path(julia) in keys  # the same again
    monkeypatch.setattr("pyvda.__version__", "0.0.0")
    keys.add(image.image_path(julia))
    monkeypatch.setattr(image, "_processor", lambda: "another processor")
    keys.add(image.image_path(julia))
    Path(julia).write_text(JULIA + "\n# a later version\n")
    keys.add(image.image_path(julia))
    assert len(keys) == 7


def test_a_failure_is_kept_and_not_repeated(julia) -> None:
    broken = Path(julia).with_name("broken")
    broken.touch()
    with pytest.raises(EngineError, match=r"no system image .* ended with 1: no memory"):
        build_image.build(julia)
    assert not build_image.wanted(julia, "1.5.3")
    assert "no memory" in build_image.why_none(julia)
    assert image.find(julia) is None
    assert not list(image.image_path(julia).parent.glob("building-*"))
    broken.unlink()
    build_image.build(julia)  # who asks for it gets it
    assert image.find(julia) is not None


def test_attempts_that_somebody_ended_are_counted(julia) -> None:
    path = image.image_path(julia)
    path.parent.mkdir(parents=True, mode=0o700)
    for attempt in range(4):
        assert build_image.wanted(julia, "1.5.3") == (attempt < 3)
        with path.with_suffix(".attempts").open("a") as log:
            log.write("started\n")


@pytest.mark.parametrize("what", ["folder", "image", "record", "above"])
def test_what_others_can_write_is_not_run(julia, what) -> None:
    path = build_image.build(julia)
    folder = path.parent
    loose = {
        "folder": folder,
        "image": path,
        "record": image.record_path(path),
        "above": folder.parent,
    }[what]
    assert image.find(julia) is not None
    loose.chmod(loose.stat().st_mode | 0o002)
    assert image.find(julia) is None
    assert build_image.wanted(julia, "1.5.3") == (what in ("image", "record"))
    if what in ("folder", "above"):
        with pytest.raises(EngineError, match="by this user alone"):
            build_image.build(julia)


def test_a_link_in_place_of_the_image_is_not_followed(julia, tmp_path) -> None:
    path = build_image.build(julia)
    path.rename(tmp_path / "elsewhere.so")
    path.symlink_to(tmp_path / "elsewhere.so")
    assert image.find(julia) is None


def test_a_cache_that_cannot_be_written_to(julia, tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PYVDA_CACHE", str(tmp_path / "file"))
    assert image.find(julia) is None
    assert not build_image.wanted(julia, "1.5.3")
    with pytest.raises(EngineError):
        build_image.build(julia)


def test_when_none_is_made(julia, monkeypatch) -> None:
    assert build_image.wanted(julia, "1.5.3")
    assert not build_image.wanted(julia, "1.9.0")  # which keeps machine code by itself
    Path(julia).with_name("version").write_text("1.10.4")
    with pytest.raises(build_image.NotNeeded, match=r"1\.10\.4 needs no system image"):
        build_image.build(julia)
    assert not image.image_path(julia).with_suffix(".attempts").exists()
    with monkeypatch.context() as working_copy:
        working_copy.setattr(build_image, "installed", lambda: False)
        assert not build_image.wanted(julia, "1.5.3")
    with monkeypatch.context() as small:
        small.setattr(build_image, "_available_memory", lambda: 2 << 30)
        assert not build_image.wanted(julia, "1.5.3")
    for chosen in ("use", "none"):
        monkeypatch.setenv("PYVDA_SYSIMAGE", chosen)
        assert not build_image.wanted(julia, "1.5.3")
    monkeypatch.setenv("PYVDA_SYSIMAGE", "maybe")
    with pytest.raises(InputError, match="PYVDA_SYSIMAGE is 'maybe', expected one of auto, use"):
        image.find(julia)


def test_no_compiler_no_image(julia, monkeypatch) -> None:
    monkeypatch.setattr(build_image, "c_compiler", lambda: None)
    assert not build_image.wanted(julia, "1.5.3")
    assert build_image.why_none(julia) == "no C compiler"
    with pytest.raises(EngineError, match="needs a C compiler"):
        build_image.build(julia)


def test_none_declines_one_that_is_there(julia, monkeypatch) -> None:
    build_image.build(julia)
    monkeypatch.setenv("PYVDA_SYSIMAGE", "none")
    assert image.find(julia) is None
    assert build_image.why_none(julia) == "PYVDA_SYSIMAGE is none"
    monkeypatch.setenv("PYVDA_JULIA", julia)
    with pytest.raises(EngineError, match="unset it, or set it to auto or use"):
        build_image.build_for_this_machine()
    monkeypatch.setenv("PYVDA_SYSIMAGE", "auto")
    build_image.build_for_this_machine()


def test_images_of_other_versions_are_removed_the_unused_first(julia) -> None:
    folder = image.image_path(julia).parent
    folder.mkdir(parents=True, mode=0o700)
    for k in range(6):
        for suffix in (".json", ".so", ".lock"):
            (folder / f"old{k}{suffix}").write_text("")
        os.utime(folder / f"old{k}.json", (k, k))
    path = build_image.build(julia)
    assert {file.stem for file in folder.glob("*.so")} == {
        path.stem,
        "old2",
        "old3",
        "old4",
        "old5",
    }
    assert not (folder / "old1.json").exists()


def test_a_launcher_is_asked_which_julia_it_chooses(julia, tmp_path) -> None:
    record = image.find(str(build_image.build(julia) and julia))
    assert record is not None
    assert image.is_julia_itself(julia, record[1].bindir)
    launcher = tmp_path / "bin" / "julia"
    launcher.parent.mkdir()
    launcher.write_text(f'exec {julia} "$@"\n')
    assert not image.is_julia_itself(str(launcher), record[1].bindir)


@pytest.mark.parametrize("cache", [None, "relative"])
def test_the_background_process_makes_it_after_its_parent(
    julia, cache, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(build_image.__file__).parents[3]))
    if cache is not None:
        monkeypatch.setenv("PYVDA_CACHE", cache)
    code = (
        "import sys\n"
        "from pyvda.engine.julia import build_image\n"
        "build_image.in_background(sys.argv[1])\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code, julia], check=True, timeout=600)
    deadline = time.monotonic() + 600
    while image.find(julia) is None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert image.find(julia) is not None


# --- with Julia itself ---------------------------------------------------------------------------

START = """
import json, resource, sys
import numpy as np
from pyvda.engine import CostSettings, get_engine
from pyvda.engine.julia.signatures import text_arguments
from pyvda.models.registry import get_model

engine, model = get_engine("libjulia"), get_model("lorenz63")
x = np.random.default_rng(0).standard_normal((2, 24, 3))
y, mask = np.ones_like(x), np.ones_like(x)
x = engine.descend(model, CostSettings(0.01), x, y, mask, step=1.0, iterations=9)
text = text_arguments({"source": "error(1)", "file": "f.jl", "type": ""})
try:
    engine.call("register", **text, handle=np.zeros(1, np.int64))
    said = "nothing"
except Exception as error:
    said = str(error)
used = resource.getrusage(resource.RUSAGE_SELF).ru_utime
print(json.dumps([engine.image, engine.info.threads, said, x.tolist(), used]))
"""


def started(**environment: str) -> list:
    done = subprocess.run(
        [sys.executable, "-c", START], capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYVDA_THREADS": "2", **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def julia_version(command: str) -> str:
    asked = [command, "--startup-file=no", "-e", "print(VERSION)"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout


@pytest.mark.julia
@pytest.mark.slow
def test_julia_starts_from_its_image_and_computes_the_same(tmp_path) -> None:
    from pyvda.engine.julia.start_libjulia import julia_command

    command = julia_command()
    assert command is not None
    may = build_image.may_have(julia_version(command)) and build_image.c_compiler()
    path = build_image.build(command) if may else None
    with_image = started(PYVDA_SYSIMAGE="use")
    without = started(PYVDA_SYSIMAGE="use", PYVDA_CACHE=str(tmp_path))
    assert with_image[0] == (None if path is None else str(path))
    assert without[0] is None
    assert with_image[1:4] == without[1:4]
    assert with_image[1] == 2
    assert "f.jl:1" in with_image[2]
    if path is not None:
        assert with_image[4] < 0.7 * without[4]
