"""Methods without a model on real fields with gaps, and the speed of optimal interpolation.

    python benchmarks/fields.py [chlorophyll radar speed]
    python benchmarks/fields.py chlorophyll --only network

Data are read from the folder that PYVDA_DATA names (default ../shared/data), and said to be absent
where they are. What a draw hides is hidden from everything, the fit of the covariance included; the
draws are those of the data's README, of which `test` is reported. Networks are trained here, one
after the other, into build/fields; a training that was interrupted goes on, and one that is there
is not repeated: their rows have the time of training. With all parts it writes
benchmarks/results/fields.json. Speed is given by the clock and, for a busy machine, by the time of
the processor; PYVDA_THREADS=1 makes both that of one core.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import store
import xarray as xr

from pyvda.engine import get_engine
from pyvda.engine.data import FieldData, Selection, Targets
from pyvda.fields.assimilate import estimated, withheld_of
from pyvda.fields.crossvalidation import Predictions, distances, ratio, scores
from pyvda.fields.field import opened
from pyvda.fields.learned.configuration import FieldConfiguration
from pyvda.fields.methods import FIELD_METHODS, LEARNED
from pyvda.progress import silent
from pyvda.training.train import train

DATA = Path(os.environ.get("PYVDA_DATA", Path(__file__).parents[2] / "shared/data"))
MID = {
    "season_days": 22.5,
    "variables": {
        "log10_chl": {
            "nugget": 0.00067,
            "factors": [
                {"variance": 0.0351, "km": 270.0, "days": 0.2},
                {"variance": 0.0038, "km": 20.0, "days": 2.0},
                {"variance": 0.021, "km": 160.0, "days": 34.0},
            ],
        }
    },
}
CASES = {
    "chlorophyll": [
        ("oi, fitted", "oi", {}),
        ("oi, constants by hand", "oi", {"covariance": MID}),
        ("eof", "eof", {}),
        ("eof, no filter", "eof", {"filter_days": 0.0}),
    ],
    "radar": [("oi, fitted", "oi", {}), ("eof", "eof", {})],
}
# Networks: what is trained for each row, and of which trainings it is the mean.
UNET = {
    "network": {"kind": "unet", "days": 5, "widths": [24, 48, 72], "dropout": 0.1},
    "optimiser": {"rate": 2e-3, "weight_decay": 1e-2},
    "training": {"epochs": 60, "batch_size": 8, "averaging": 0.99, "select": "rmse"},
}
VARIATIONAL = {
    "network": {
        "kind": "variational", "days": 2, "width": [3, 5, 5], "features": 16, "latent": 12,
        "factors": [1, 4, 4], "iterations": 4, "head": [16, 32],
    },
    "optimiser": {"rate": 2e-3, "weight_decay": 1e-2},
    "training": {"epochs": 40, "batch_size": 4, "averaging": 0.99, "select": "rmse"},
}  # fmt: skip
TRAININGS = {
    "chlorophyll": {
        "unet": (UNET, {"draws": 10}),
        "plain": (UNET, {"draws": 10, "first_guess": "mean"}),
        "variational": (VARIATIONAL, {"draws": 10}),
    },
    "radar": {"unet": (UNET, {"draws": 10})},
}
NETWORKS = {
    "chlorophyll": [
        ("network, U-Net from the mean", ["plain"]),
        ("network, U-Net", ["unet"]),
        ("network, prior and solver", ["variational"]),
        ("network, mean of the three", ["unet", "plain", "variational"]),
    ],
    "radar": [("network, U-Net", ["unet"])],
}
FILES = {
    "chlorophyll": ("newfoundland_chl_modis_2015_grid.nc", "log10_chl", "sea_bins",
                    "draws_chl_test.nc", "withheld"),
    "radar": ("monterey_hfradar_201701.nc", "u,v", None, "draws_radar.nc", "test"),
}  # fmt: skip
RUNS = Path(__file__).parents[1] / "build/fields"
PARTS = [*CASES, "speed"]


def main() -> None:
    """Run the chosen parts and print their rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=PARTS)
    parser.add_argument("--only", help="of the methods, those whose name begins so")
    arguments = parser.parse_args()
    found = {}
    for part in arguments.parts:
        if part == "speed":
            found[part] = list(speed())
        elif not DATA.is_dir():
            print(f"{part}: {DATA} is absent, so that it is left out; set PYVDA_DATA")
        else:
            found[part] = list(rows(part, arguments.only))
    if not arguments.only and set(found) == set(PARTS):
        print(f"written to {store.write('fields', found)}")


def rows(part: str, only: str | None):
    """Yield the scores of each method on the draw `test`."""
    file, variables, mask, draws, draw = FILES[part]
    hidden = xr.open_dataset(DATA / draws)[draw]
    field = opened(xr.open_dataset(DATA / file), variables, mask=mask)
    read = {name: field.read(name) for name in field.variables}
    withheld = withheld_of(field, hidden)
    engine, first = get_engine(), {}
    cases = [(title, FIELD_METHODS[name], options) for title, name, options in CASES[part]]
    cases += [(title, LEARNED, {"trained": names}) for title, names in NETWORKS[part]]
    for title, method, options in cases:
        if only and not title.startswith(only):
            continue
        cost = {}
        if "trained" in options:
            folders, cost = trained(part, options["trained"])
            options = {"checkpoint": folders}
        start = time.perf_counter()
        estimates = estimated(
            field, read, withheld, method, method.options(**options), engine, silent,
            where=withheld,
        )  # fmt: skip
        seconds = time.perf_counter() - start
        for variable, estimate in estimates.items():
            values = read[variable].values
            at = withheld & np.isfinite(values)
            predictions = Predictions(
                np.zeros(at.sum(), int), np.nonzero(at)[0], (values - estimate.value)[at],
                (estimate.stdev**2 + estimate.noise)[at],
                distances(field, np.isfinite(values) & ~withheld, at),
            )  # fmt: skip
            row = {"method": title, "variable": variable, **scores(predictions)}
            row |= {"seconds": round(seconds, 1), **cost, "constants": estimate.configuration}
            of_variable = first.setdefault(variable, {})
            for other, theirs in of_variable.items():
                row.setdefault("compared", {})[other] = ratio(predictions, theirs, 0)
            if not of_variable or title.startswith("network, U-Net"):
                of_variable[title] = predictions
            print(part, {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()})
            yield row


def trained(part: str, names: list[str]) -> tuple[tuple[str, ...], dict[str, object]]:
    """Return the folders of trainings, made where they are missing, and what they cost."""
    file, variables, mask, draws, draw = FILES[part]
    RUNS.mkdir(parents=True, exist_ok=True)
    withhold = RUNS / f"{part}.nc"
    if not withhold.exists():
        hidden = xr.open_dataset(DATA / draws)[draw]
        hidden.rename("withheld").astype(np.int8).to_netcdf(withhold)
    cost = {"training_seconds": 0.0, "threads": None}
    folders = []
    for name in names:
        sections, data = TRAININGS[part][name]
        field = {"observations": str(DATA / file), "variable": variables, "mask": mask}
        configuration = FieldConfiguration(
            field=field | {"withhold": str(withhold)} | data, **sections
        )
        folder = RUNS / f"{part}-{name}"
        train(configuration, folder, resume=True, report=print)
        made = json.loads((folder / "training.json").read_text())
        cost["training_seconds"] += made["wall_seconds"]
        cost["threads"] = made["hardware"]["torch_threads"]
        folders.append(str(folder))
    return tuple(folders), cost


def speed():
    """Yield points a second of one thread and of all, by the number of data of a point."""
    rng = np.random.default_rng(0)
    count, side = 20_000, 1000.0
    engine = get_engine()
    for data_of_a_point, points in ((20, 40_000), (60, 40_000), (100, 20_000), (240, 4_000)):
        where = side * rng.uniform(size=(count + points, 2))
        position = np.pad(where, ((0, 0), (0, 1)))
        data = FieldData(
            position[:count], where[:count], (1.0, 1.0, 0.0), np.zeros(count),
            rng.normal(size=count), np.full(count, 0.1), np.zeros(count), np.zeros(count, bool),
            np.array([0, count]), np.zeros(1),
        )  # fmt: skip
        asked = Targets(
            position[count:], where[count:], np.arange(points), np.zeros(points),
            np.zeros(points, int),
        )  # fmt: skip
        selection = Selection(data_of_a_point // 4, 0, 1.0, np.inf)
        seconds = []
        for _ in range(6):
            start = np.array([time.perf_counter(), time.process_time()])
            engine.optimal_interpolation(data, asked, selection, np.array([[1.0, 0, 60, 0, 5]]))
            seconds.append(np.array([time.perf_counter(), time.process_time()]) - start)
        clock, processor = np.min(seconds[1:], axis=0)
        row = {
            "data": data_of_a_point,
            "points_per_second": round(points / clock),
            "points_per_processor_second": round(points / processor),
            "engine": str(engine.info),
        }
        print("speed", row)
        yield row


if __name__ == "__main__":
    main()
