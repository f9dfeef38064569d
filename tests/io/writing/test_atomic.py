"""Outputs appear whole, replace whole, or do not appear."""

import contextlib
import errno
import json
import os
import threading
import time
from pathlib import Path

import pytest

from pyvda.errors import InputError
from pyvda.io.writing.atomic import replacing, write_json


@pytest.mark.parametrize("folder", [False, True])
def test_success_replaces(tmp_path, folder):
    path = tmp_path / "out"
    for text in ("first", "second"):
        with replacing(path) as temporary:
            assert temporary.parent == tmp_path
            file = temporary / "data" if folder else temporary
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
            assert not path.exists() or text == "second"
        assert (path / "data" if folder else path).read_text() == text
        assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, RuntimeError, TypeError])
def test_failure_leaves_the_old_output(tmp_path, folder, error):
    (tmp_path / "out").write_text("old")

    def fail(temporary):
        if folder:
            temporary.mkdir()
        (temporary / "data" if folder else temporary).write_text("half")
        raise error

    with pytest.raises(error), replacing(tmp_path / "out") as temporary:
        fail(temporary)
    assert os.listdir(tmp_path) == ["out"]
    assert (tmp_path / "out").read_text() == "old"


def test_folder_that_cannot_take_its_place_is_put_back(tmp_path, monkeypatch):
    path = tmp_path / "store"
    path.mkdir()
    (path / "data").write_text("old")
    rename = os.rename

    def refuse(source, target):
        if str(source).endswith(".partial"):
            raise PermissionError(13, "Permission denied")
        rename(source, target)

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(InputError, match="Permission denied"), replacing(path) as temporary:
        temporary.mkdir()
    assert os.listdir(tmp_path) == ["store"]
    assert (path / "data").read_text() == "old"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_full_disk(tmp_path):
    def write(temporary):
        temporary.write_text("begun")
        with open("/dev/full", "w") as device:
            device.write("x")

    message = r"no space left writing .*/out; free space"
    with pytest.raises(InputError, match=message), replacing(tmp_path / "out") as temporary:
        write(temporary)
    assert not os.listdir(tmp_path)


def test_missing_folder(tmp_path):
    with pytest.raises(InputError, match="nowhere does not exist"):
        replacing(tmp_path / "nowhere" / "out").__enter__()


def test_a_folder_to_which_threads_still_write_is_removed(tmp_path) -> None:
    """As threads do that write other chunks of a store when one of them fails."""
    stop = time.monotonic() + 0.5

    def late(folder) -> None:
        while time.monotonic() < stop:
            with contextlib.suppress(OSError):
                (folder / f"{time.monotonic_ns()}").write_text("chunk")

    def failing(folder) -> None:
        folder.mkdir()
        threads.append(threading.Thread(target=late, args=(folder,)))
        threads[0].start()
        time.sleep(0.1)
        raise ValueError("failed")

    threads: list[threading.Thread] = []
    with pytest.raises(ValueError, match="failed"), replacing(tmp_path / "a.zarr") as folder:
        failing(folder)
    threads[0].join()
    assert list(tmp_path.iterdir()) == []


def test_json_is_written_whole_or_not_at_all(tmp_path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": [1.5, None]})
    assert json.loads(path.read_text("utf-8")) == {"a": [1.5, None]}
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text("utf-8")) == {"a": [1.5, None]}
    assert list(tmp_path.iterdir()) == [path]


def test_every_file_of_a_folder_is_on_the_disk_before_it_has_its_name(
    tmp_path, monkeypatch
) -> None:
    synchronised: list[str] = []

    def record(descriptor: int) -> None:
        synchronised.append(os.readlink(f"/proc/self/fd/{descriptor}"))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", record)
        with replacing(tmp_path / "store") as folder:
            fill(folder)
    below = {path.relative_to(folder) for path in map(Path, synchronised) if folder in path.parents}
    written = {p.relative_to(tmp_path / "store") for p in (tmp_path / "store").rglob("*")}
    assert below == written
    assert str(folder) in synchronised


def test_a_file_of_a_folder_that_does_not_reach_the_disk_is_an_error(tmp_path, monkeypatch) -> None:
    def fail(descriptor: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("7"):
            raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(InputError, match="store"), replacing(tmp_path / "store") as folder:
        fill(folder)
    assert not list(tmp_path.iterdir())


def fill(folder: Path) -> None:
    for number in range(20):
        (folder / "c").mkdir(parents=True, exist_ok=True)
        (folder / "c" / str(number)).write_text("a chunk")
