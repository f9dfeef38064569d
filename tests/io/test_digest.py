"""A digest changes with every file, its name and its contents."""

import os

from pyvda.io import digest
from pyvda.io.digest import of_path


def test_a_digest_knows_every_file_of_a_folder(tmp_path):
    folder = tmp_path / "store"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "0").write_text("x")
    one = of_path(folder)
    assert of_path(folder) == one
    (folder / "a" / "0").write_text("y")
    assert of_path(folder) != one
    (folder / "a" / "0").write_text("x")
    (folder / "a" / "0").rename(folder / "a" / "1")
    assert of_path(folder) != one


def test_a_large_file_is_sampled_from_end_to_end(tmp_path, monkeypatch):
    monkeypatch.setattr(digest, "_WHOLE", 1000)
    monkeypatch.setattr(digest, "_PIECES", 4)
    monkeypatch.setattr(digest, "_PIECE", 100)
    path = tmp_path / "a"
    path.write_bytes(os.urandom(5000))
    before = of_path(path)
    assert of_path(path) == before
    for place in (0, 4999):
        values = bytearray(path.read_bytes())
        values[place] ^= 1
        path.write_bytes(values)
        assert of_path(path) != before
        before = of_path(path)
    path.write_bytes(path.read_bytes() + b"x")
    assert of_path(path) != before


def test_a_large_folder_of_small_files_is_sampled(tmp_path, monkeypatch):
    monkeypatch.setattr(digest, "_WHOLE", 1000)
    monkeypatch.setattr(digest, "_PIECES", 4)
    monkeypatch.setattr(digest, "_PIECE", 10)
    for number in range(50):
        (tmp_path / f"{number:02}").write_bytes(os.urandom(100))
    before = of_path(tmp_path)
    assert len(digest._places(5000)) == 4
    (tmp_path / "10").write_bytes(os.urandom(100))  # between two pieces
    assert of_path(tmp_path) == before
    (tmp_path / "00").write_bytes(os.urandom(100))
    changed = of_path(tmp_path)
    assert changed != before
    (tmp_path / "25").write_bytes(b"of another size")
    assert of_path(tmp_path) != changed
