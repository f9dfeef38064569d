"""The table of C signatures is read identically by Python and by Julia."""

import ctypes

from pyvda.engine.julia import signatures


def test_groups_are_written_out():
    cost = signatures.signatures()["cost"]
    assert cost[:4] == (("int", "handle"), ("reals", "values"), ("int", "fields"), ("int", "D"))
    assert cost[-2:] == (("bytes", "message"), ("int", "capacity"))
    assert cost[-10] == ("int", "count")
    assert signatures.prototype("cost")._argtypes_[0] is ctypes.c_int64


def test_every_call_is_in_the_table():
    source = signatures.julia_source().parent / "boundary"
    text = "".join(path.read_text(encoding="utf-8") for path in source.glob("*.jl"))
    for name, arguments in signatures.signatures().items():
        head = text.split(f"function c_{name}(", 1)[1].split(")", 1)[0]
        assert len(head.split(",")) == len(arguments), name
