"""The table of C signatures is the same for Python and Julia, and decides what crosses."""

import ctypes
import re

import numpy as np
import pytest

from pyvda.engine.julia import signatures
from pyvda.engine.julia.signatures import c_arguments, text_arguments


def test_groups_are_written_out():
    cost = signatures.signatures()["cost"]
    assert cost[:4] == (("int", "handle"), ("reals", "values"), ("int", "fields"), ("int", "D"))
    assert cost[-2:] == (("bytes", "message"), ("int", "capacity"))
    assert cost[-10] == ("int", "count")
    assert signatures.prototype("cost")._argtypes_[0] is ctypes.c_int64


def test_every_call_is_in_the_table():
    source = signatures.julia_source().parent / "boundary"
    text = "".join(path.read_text(encoding="utf-8") for path in source.glob("*.jl"))
    written = re.findall(r"^(?:function )?c_(\w+)\(a\)", text, re.M)
    assert sorted(written) == sorted(signatures.signatures())


def test_arguments_come_in_the_order_of_the_table() -> None:
    given = {
        "out": np.zeros((2, 3)), "x": np.ones((2, 3)), "what": True, "count": np.int32(2),
        "channels": 3, "D": 3, "observation_function": 7,
    }  # fmt: skip
    *numbers, x, out = c_arguments("observe", given)
    assert numbers == [7, 3, 3, 2, 1]
    assert (x.value, out.value) == (given["x"].ctypes.data, given["out"].ctypes.data)
    assert c_arguments("observe", given | {"out": None})[-1] is None


def test_addresses_and_texts() -> None:
    weights = [np.ones((2, 2)), np.zeros(3)]
    given = {
        "bytes": 8, "field": np.zeros(3, np.int64), "windows": 1, "layers": 2,
        "sizes": np.zeros(10, np.int64), "weights": weights, "x": np.zeros(2, np.float32),
        "y": np.zeros(2),
    }  # fmt: skip
    found = c_arguments("convolutions", given)[5]
    assert list(found) == [weight.ctypes.data for weight in weights]
    assert text_arguments({"file": "é"}) == {"file": "é".encode(), "file_bytes": 2}
    given = text_arguments({"source": "", "file": "f.jl", "type": "T"})
    buffer = ctypes.create_string_buffer(4)
    found = c_arguments("register", given | {"handle": np.zeros(1, np.int64)})
    assert found[2].value == b"f.jl"
    described = {"handle": 1, "values": None, "fields": 0, "text": buffer, "text_bytes": 4}
    assert c_arguments("describe", described)[3] == ctypes.addressof(buffer)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x": np.zeros((2, 3), np.float32)}, "observe: x is an array of float32"),
        ({"x": np.zeros((3, 2)).T}, "C-contiguous: False"),
        ({"out": np.zeros((2, 3), int)}, "out is an array of int64"),
        ({"K": 2}, "observe: K missing or unknown"),
        ({"D": "3x"}, "invalid literal"),
    ],
)
def test_what_does_not_fit_the_table_does_not_cross(change: dict, said: str) -> None:
    given = {
        "observation_function": 1, "D": 3, "channels": 3, "count": 2, "what": 0,
        "x": np.zeros((2, 3)), "out": np.zeros((2, 3)),
    }  # fmt: skip
    assert len(c_arguments("observe", given)) == 7
    with pytest.raises((TypeError, ValueError), match=said):
        c_arguments("observe", given | change)
    del given["count"]
    with pytest.raises(TypeError, match="count missing"):
        c_arguments("observe", given)
