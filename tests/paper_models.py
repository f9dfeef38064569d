"""Learned models and tables of the paper in a small form."""

from dataclasses import replace

import torch

from pyvda.learned.architecture import Architecture
from pyvda.learned.description import Pattern
from pyvda.learned.model import LearnedModel
from pyvda.models.registry import get_preset
from pyvda.paper import (
    rows,
    tables,
)
from pyvda.validation_errors import validated


def model(preset="lorenz63-blanked", prior="two-scale-genn", solver="conv") -> LearnedModel:
    torch.manual_seed(0)
    sections = {"prior": {"kind": prior}, "solver": {"kind": solver}}
    architecture = validated(Architecture, sections, "here")
    return LearnedModel(architecture, Pattern.of(preset, get_preset(preset)), 7.0, 11.0, 2)


def small(monkeypatch, name="table1", *keys: str) -> None:
    """Leave only these rows in a table, and shorten the descent."""
    table = rows.TABLES[name]
    kept = tuple(row for row in table.rows if row.key in keys)
    short = {"options": {"iterations": 30}, "quick": {"iterations": 10}}
    kept = tuple(replace(row, **short) if row.key == "fsgd" else row for row in kept)
    monkeypatch.setitem(tables.TABLES, name, replace(table, rows=kept))
