"""What is said of a machine is ready for JSON and true."""

import json
import os
from importlib.metadata import version
from pathlib import Path

import pyvda
from pyvda import machine


def test_the_machine_of_a_result() -> None:
    found = json.loads(json.dumps(machine.machine("torch")))
    assert found["pyvda"] == pyvda.__version__
    assert found["numpy"] == version("numpy")
    assert found["engine"].startswith("torch ")
    assert len(found["date"].split("-")) == 3
    assert 1 <= found["cores"] <= os.cpu_count()


def test_a_package_that_is_absent_is_no_error() -> None:
    assert machine.installed("numpy") == version("numpy")
    assert machine.installed("no-such-package") == "not installed"


def test_a_system_that_tells_little(monkeypatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert machine.cores() == os.cpu_count()
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert machine.cores() == 1
    monkeypatch.setattr(Path, "read_text", lambda *_: "model name : A\tB\nmodel name : C\n")
    assert machine.processor_name() == "A\tB"
    monkeypatch.setattr(Path, "read_text", lambda *_: "cores: 3\n")
    monkeypatch.setattr(machine.platform, "processor", lambda: "")
    monkeypatch.setattr(machine.platform, "machine", lambda: "riscv64")
    assert machine.processor_name() == "riscv64"
