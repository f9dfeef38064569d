"""Tiles that cover a domain, overlap, and are blended smoothly.

A tile has a border all around, except at the edges of the domain, where its estimates lack what is
beyond. Its weights are zero there, grow over `RAMP` points, and are normalised by their sum.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pyvda.engine.data import Array
from pyvda.fields.learned.frames import Tile

RAMP = 8


def tiles(sea: Array, size: int, border: int, cell: int) -> list[Tile]:
    """Return the tiles that have sea in their interior.

    Parameters
    ----------
    sea : (Y, X) of bool
    size : int
        Points of a side that a tile counts for.
    border : int
        Points beyond, on each side.
    cell : int
        Tiles start at multiples of it, as the coarsest cells of a network do.
    """
    rows, columns = (list(_spans(n, size, border, cell)) for n in sea.shape)
    return [
        Tile(y, x) for y, inner_y in rows for x, inner_x in columns if sea[inner_y, inner_x].any()
    ]


def weights(shape: tuple[int, int], tile: Tile, border: int) -> Array:
    """Return the weights of a tile's estimates, (h, w)."""
    sides = []
    for length, span in zip(shape, tile, strict=True):
        place = np.arange(span.start, span.stop)
        side = np.ones(len(place))
        for at_edge, distance in (
            (span.start == 0, place - span.start),
            (span.stop == length, span.stop - 1 - place),
        ):
            if not at_edge:
                beyond = np.clip((distance - (border - RAMP) + 0.5) / RAMP, 0.0, 1.0)
                side *= 0.5 - 0.5 * np.cos(np.pi * beyond)
        sides.append(side)
    return np.multiply.outer(*sides)


def _spans(length: int, size: int, border: int, cell: int) -> Iterator[tuple[slice, slice]]:
    """Yield the points of a tile along one axis, and those it counts for."""
    if length <= size + 2 * border:
        yield slice(0, length), slice(0, length)
        return
    size = max(cell, size // cell * cell)
    border = -(-border // cell) * cell
    for start in range(0, length, size):
        stop = min(start + size, length)
        yield slice(max(0, start - border), min(length, stop + border)), slice(start, stop)
