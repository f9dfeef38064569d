"""The Julia source is found inside an installed package, or beside it in a checkout."""

import pytest

from pyvda.engine.julia import source
from pyvda.errors import EngineError


@pytest.mark.parametrize("inside", [True, False])
def test_where_it_is_found(tmp_path, monkeypatch, inside: bool) -> None:
    module = tmp_path / "pyvda" / "engine" / "julia" / "source.py"
    module.parent.mkdir(parents=True)
    monkeypatch.setattr(source, "__file__", str(module))
    with pytest.raises(EngineError, match=r"no julia/src/VDA\.jl in .*reinstall pyvda"):
        source.julia_source()
    (tmp_path / "julia" / "src").mkdir(parents=True)
    beside = tmp_path / "julia" / "src" / "VDA.jl"
    beside.touch()
    assert source.julia_source() == beside.resolve()
    if inside:  # comes first
        (tmp_path / "pyvda" / "julia" / "src").mkdir(parents=True)
        own = tmp_path / "pyvda" / "julia" / "src" / "VDA.jl"
        own.touch()
        assert source.julia_source() == own.resolve()
