"""Methods without a model on real fields with gaps and tracks, and the speed of interpolation.

    python benchmarks/fields.py [chlorophyll radar alboran twin qg passes speed million]
    python benchmarks/fields.py chlorophyll --only oi "network, stack" --draw select

Data are read from the folder that PYVDA_DATA names (default ../shared/data), and said to be absent
where they are. What a draw hides is hidden from everything, the fit of the covariance included; the
draws are those of the data's README, of which `test` is reported; with `--draw select`, on which
networks and their means were chosen, rows are printed alone. With `--only` the other rows of a part
stay as they are. `twin` observes maps of sea level along the tracks of four satellites, `qg` a
simulated ocean along those of two, `passes` withholds real ones. Networks are trained here, one
after the other, into build/fields, for each draw by itself; a training that was interrupted goes
on, and one that is there is not repeated: their rows have the time of training. The parts are put
into benchmarks/results/fields.json. Costs are times of the processor, as the machine may be busy,
those of training by the clock. Speed is given by both; PYVDA_THREADS=1 makes it that of one core.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import time
from pathlib import Path

import numpy as np
import store
import xarray as xr

import pyvda
from pyvda.engine import get_engine
from pyvda.engine.data import InterpolationData, Selection, Targets
from pyvda.fields.assimilate import estimated, withheld_of
from pyvda.fields.covariance import Factor, SpaceTimeCovariance
from pyvda.fields.eof import diffusion, filled
from pyvda.fields.field import opened
from pyvda.fields.fitted import fit_field_covariance
from pyvda.fields.gridded import Cells
from pyvda.fields.learned.configuration import FieldConfiguration
from pyvda.fields.learned.shipped import FOLDER, names
from pyvda.fields.learned_points.configuration import PointConfiguration
from pyvda.fields.methods import FIELD_METHODS, LEARNED
from pyvda.fields.paired import ratio_of_errors
from pyvda.fields.points import read as read_points
from pyvda.fields.predictions import Predictions, distances, point_distances, ratio, scores
from pyvda.fields.spectral_scores import map_scores
from pyvda.fields.target import on_grid
from pyvda.learned.shipped import TRAINING_FILE, read_json
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
STACK = {
    "network": {"kind": "stack", "hidden": [48, 48], "dropout": 0.2},
    "optimiser": {"rate": 2e-3, "weight_decay": 1e-2},
    "training": {"epochs": 120, "batch_size": 16, "averaging": 0.99, "select": "nll"},
}  # fmt: skip
AS_USED = {"augment": False, "validation": 0.1}
FEWER = {"nearest": 8, "within_days": 10.0}  # data of the first guess than `oi` uses, for speed
UNET = {  # with as many weights as the stack, and a training that takes about as long
    "network": {"kind": "unet", "days": 1, "widths": [6, 8]},
    "optimiser": {"rate": 2e-3, "weight_decay": 1e-2},
    "training": {"epochs": 60, "batch_size": 8, "averaging": 0.99, "select": "nll"},
}  # fmt: skip
TRAININGS = {
    "chlorophyll": {
        "stack": (STACK, {"draws": 8, **FEWER, **AS_USED}),
        "unet": (UNET, {"draws": 4, **FEWER, **AS_USED}),
    },
    "radar": {"stack": (STACK, {"draws": 8, **FEWER, "within_days": 10 / 24, **AS_USED})},
}
NETWORKS = {
    "chlorophyll": [("network, unet", ["unet"], {}), ("network, stack", ["stack"], {})],
    "radar": [("network, stack", ["stack"], {})],
}
YARDSTICKS = ("network, unet",)  # that rows are compared with beside the first
FILES = {
    "chlorophyll": ("newfoundland_chl_modis_2015_grid.nc", "log10_chl", "sea_bins"),
    "radar": ("monterey_hfradar_201701.nc", "u,v", None),
}
RUNS = Path(__file__).parents[1] / "build/fields"
FUNCTIONS = "matern52/matern32,exponential"
SMOOTH = "matern32/matern32,matern32/matern32"
TWIN = {
    "points": {"draws": 6, "samples": 20_000},
    "network": {"kind": "neighbours", "data": 40},
    "training": {"epochs": 12},
}
MORE = {"nearest": 30, "nearest_other": 10}  # data of an estimate, twice as many as usual
# Of sea level in m, by hand from passes that no row reports.
SEA_LEVEL = {
    "nugget": 0.00045,
    "track_variance": 8.9e-5,
    "track_km": 18.0,
    "factors": [
        {"variance": 0.00259, "km": 122.0, "days": 35.9, "time": "matern32"},
        {"variance": 0.0006, "km": 346.0, "days": 9.8},
    ],
}


def main() -> None:
    """Run the chosen parts and print their rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--only", nargs="+", help="of the methods, those whose name begins so")
    parser.add_argument("--draw", default="test", choices=["test", "select"])
    arguments = parser.parse_args()
    found = {}
    for part in arguments.parts:
        if part in ("speed", "million"):
            found[part] = list(PARTS[part]())
        elif part != "qg" and not DATA.is_dir():
            print(f"{part}: {DATA} is absent, so that it is left out; set PYVDA_DATA")
        else:
            found[part] = list(PARTS[part](arguments))
    for row in (row for new in found.values() for row in new):
        row["machine"] = store.in_words()
    if arguments.draw == "test" and found:
        path = store.RESULTS / "fields.json"
        known = json.loads(path.read_text("utf-8")) if path.exists() else {}
        known.pop("machine", None)
        for part, new in found.items() if arguments.only else ():
            made = {
                (row["method"], row.get("variable")): row for row in [*known.get(part, []), *new]
            }
            found[part] = list(made.values())
        print(f"written to {store.write('fields', known | found)}")


def rows(part: str, arguments: argparse.Namespace):
    """Yield the scores of each method on a draw."""
    file, variables, mask = FILES[part]
    hidden = _draw(part, arguments.draw)
    field = opened(xr.open_dataset(DATA / file), variables, mask=mask)
    read = {name: field.read(name) for name in field.variables}
    withheld = withheld_of(field, hidden)
    engine, first = get_engine(), {}
    cases = [(title, FIELD_METHODS[name], options) for title, name, options in CASES[part]]
    cases += [
        (title, LEARNED, {"trained": names, **options}) for title, names, options in NETWORKS[part]
    ]
    for title, method, options in cases:
        if arguments.only and not title.startswith(tuple(arguments.only)):
            continue
        cost = {}
        if "trained" in options:
            folders, cost = trained(part, options["trained"], arguments.draw)
            options = {n: v for n, v in options.items() if n != "trained"} | {"checkpoint": folders}
        start = time.process_time()
        estimates = estimated(
            field, read, withheld, method, method.options(**options), engine, silent,
            where=withheld,
        )  # fmt: skip
        seconds = time.process_time() - start
        for variable, estimate in estimates.items():
            values = read[variable].values
            at = withheld & np.isfinite(values)
            predictions = Predictions(
                np.zeros(at.sum(), int), np.nonzero(at)[0], (values - estimate.value)[at],
                (estimate.stdev**2 + estimate.noise)[at],
                distances(field, np.isfinite(values) & ~withheld, at),
            )  # fmt: skip
            row = {"method": title, "variable": variable, **scores(predictions)}
            row |= {"processor_seconds": round(seconds, 1), **cost}
            if method is not LEARNED:
                row["constants"] = estimate.configuration
            of_variable = first.setdefault(variable, {})
            for other, theirs in of_variable.items():
                row.setdefault("compared", {})[other] = ratio(predictions, theirs, 0)
            if not of_variable or title in YARDSTICKS:
                of_variable[title] = predictions
            print(part, {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()})
            yield row


def _draw(part: str, draw: str) -> xr.DataArray:
    if part == "radar":
        return xr.open_dataset(DATA / "draws_radar.nc")[draw]
    return xr.open_dataset(DATA / f"draws_chl_{draw}.nc").withheld


def trained(part: str, names: list[str], draw: str) -> tuple[tuple[str, ...], dict[str, object]]:
    """Return the folders of trainings without what a draw withholds, and what they cost.

    They are made where they are missing.
    """
    file, variables, mask = FILES[part]
    RUNS.mkdir(parents=True, exist_ok=True)
    withhold = RUNS / f"{part}-{draw}.nc"
    if not withhold.exists():
        _draw(part, draw).astype(np.int8).rename("withheld").to_netcdf(withhold)
    cost = {"training_seconds": 0.0, "threads": None}
    folders = []
    for name in names:
        sections, data = TRAININGS[part][name]
        field = {"observations": str(DATA / file), "variable": variables, "mask": mask}
        configuration = FieldConfiguration(
            field=field | {"withhold": str(withhold)} | data, **sections
        )
        folder = RUNS / f"{part}-{name}-{draw}"
        train(configuration, folder, resume=True, report=print)
        made = json.loads((folder / "training.json").read_text())
        cost["training_seconds"] += made["wall_seconds"]
        cost["threads"] = made["hardware"]["torch_threads"]
        folders.append(str(folder))
    return tuple(folders), cost


def speed():
    """Yield points a second, of all and of each thread, by the number of data of a point."""
    rng = np.random.default_rng(0)
    count, side = 20_000, 1000.0
    engine = get_engine()
    for data_of_a_point, points in ((20, 40_000), (60, 40_000), (100, 20_000), (240, 4_000)):
        where = side * rng.uniform(size=(count + points, 2))
        position = np.pad(where, ((0, 0), (0, 1)))
        data = InterpolationData(
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
        for _ in range(16):
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


def alboran(arguments: argparse.Namespace):
    """Yield DINEOF's own example by its own protocol, and the same under clouds, over draws.

    The example's settings (SmallExample/dineof.init of github.com/aida-alvera/DINEOF) name no file
    of clouds, and the program then withholds single values at random, one in a hundred of all and
    40 more at most: its own 2258 have no correlation from one to the next. The mean of the whole
    field is subtracted, the filter has alpha 0.01 and numit 3, and the number of modes is that with
    the least error of these values. DINEOF's reference output has 0.4445 degC. The other row
    withholds as many in clouds of at least 500 points of other days.
    """
    ds = xr.open_dataset(DATA / "alboran_sst_avhrr_2017.nc")
    field = opened(ds, "sst", mask="sea")
    read = field.read("sst").values
    matrix = (read - np.nanmean(read)).T
    there = np.isfinite(matrix)
    wanted = int(min(0.01 * there.size + 40, 0.03 * there.size))
    smooth = diffusion(field.days, np.sqrt(2 * 0.01 * 3))
    published = {
        "published": 0.4445,
        "published_by_modes": [0.5062, 0.4446, 0.4445, 0.4734, 0.4729],
    }
    for method, drawn, theirs in (
        ("eof, DINEOF's protocol", _values, published),
        ("eof, under clouds", _clouds, {}),
    ):
        if arguments.only and not method.startswith(tuple(arguments.only)):
            continue
        errors = []
        for seed in range(10):
            hidden = drawn(there.T, seed, wanted).T
            left = there & ~hidden
            trial = np.where(left, matrix, 0.0)
            row = []
            for modes in range(1, 6):
                limit = 1e-3 * float(np.nanstd(matrix))
                trial, found = filled(trial, left, modes, smooth, 300, limit)
                row.append(float(np.sqrt(((found.product - matrix)[hidden] ** 2).mean())))
            errors.append(row)
        of_draws = np.min(errors, axis=1)
        row = {
            "method": method, "variable": "sst", "rmse": float(of_draws.mean()),
            "spread": float(of_draws.std(ddof=1)), "by_draw": of_draws.tolist(),
            "by_modes": np.mean(errors, axis=0).tolist(), **theirs,
        }  # fmt: skip
        print("alboran", row)
        yield row


def _values(observed, seed, wanted):
    """Return single values at random, (T, P) of bool."""
    hidden = np.zeros_like(observed)
    chosen = np.random.default_rng(seed).choice(np.flatnonzero(observed), wanted, replace=False)
    hidden.flat[chosen] = True
    return hidden


def _clouds(observed, seed, wanted, cloud=500):
    """Return what clouds of other days hide, (T, P) of bool."""
    rng = np.random.default_rng(seed)
    hidden = np.zeros_like(observed)
    while hidden.sum() < wanted:
        time, donor = rng.choice(len(observed), 2, replace=False)
        under = observed[time] & ~observed[donor] & ~hidden[time]
        if under.sum() >= cloud:
            start = rng.integers(0, under.sum() - cloud + 1)
            hidden[time, np.flatnonzero(under)[start : start + cloud]] = True
    return hidden


def twin(arguments: argparse.Namespace):
    """Yield maps of sea level from simulated tracks of four satellites, days 63 to 76.

    Covariances are fitted to the tracks before, and around the mean of the maps of days 0 to 49,
    which also tell the local variance and are what the network is trained on. Functions of the
    covariance and the network were chosen on the days 50 to 62, those of the draw `select`.
    """
    maps = xr.open_dataset(DATA / "med_adt_duacs_2005q2.nc").load()
    tracks = xr.open_dataset(DATA / "twin_tracks.nc").load()
    days = np.arange(len(maps.time)) + 0.5
    maps = maps.assign_coords(time=("time", days, {"units": "days"}))
    at = {n: tracks[n].astype(float) for n in ("lat", "lon")}
    seen = maps.adt.interp(time=tracks.day.clip(days[0], days[-1]), **at)
    rows = xr.Dataset(
        {"adt": ("obs", (seen + tracks.noise).values, {"units": "m"}),
         "pass_id": ("obs", tracks.pass_id.values)},
        {"time": ("obs", tracks.day.values, {"units": "days"}),
         **{n: ("obs", one.values) for n, one in at.items()}},
    )  # fmt: skip
    rows = rows.isel(obs=np.isfinite(rows.adt.values))
    past = rows.isel(obs=rows.time.values < 63)
    maps.adt.attrs["units"] = "m"
    before = maps[["adt"]].isel(time=slice(50))
    mean = before.mean("time", keep_attrs=True)
    chosen = slice(63, 77) if arguments.draw == "test" else slice(50, 63)
    truth = (maps.adt[chosen] - mean.adt).values
    times = f"{days[chosen][0]}/{days[chosen][-1]}/1"
    local = {"mean": before, "local_variance": True}
    smooth = {"functions": SMOOTH, "fit_by": "passes"}
    network = "network, oi with local variance"
    first = {}
    for title, options in (
        ("oi, fitted", {"functions": FUNCTIONS, "fit_by": "likelihood"}),
        ("oi, fitted by passes", {"functions": FUNCTIONS, "fit_by": "passes"}),
        ("oi, constants by hand", {"covariance": _alone(SEA_LEVEL)}),
        ("oi, smooth, fitted by passes", smooth),
        ("oi, smooth, fitted by passes, local variance", smooth | local),
        (network, {"mean": before}),
    ):
        if arguments.only and not title.startswith(tuple(arguments.only)):
            continue
        cost, how = {}, {"mean": mean} | options
        if title == network:
            how["checkpoint"], cost = trained_on_maps(past, before)
        start = time.process_time()
        if "functions" in how:
            covariance, _ = fit_field_covariance(past, "adt", **how)
            how = {n: how[n] for n in how if n not in ("functions", "fit_by")}
            how["covariance"] = covariance
        if title != network:
            how["method"] = "oi"
        found = pyvda.assimilate(rows, variable="adt", grid=maps, times=times, **how)
        analysis = (found.adt - mean.adt).values
        row = map_scores(analysis, truth, maps.lat.values, maps.lon.values)._asdict()
        squares = (analysis - truth) ** 2
        row = {name: value for name, value in row.items() if np.isfinite(value)}
        row = {"method": title, "variable": "adt", **row,
               "calibration": float(np.nanmean(squares / found.adt_stdev.values**2)),
               "processor_seconds": round(time.process_time() - start, 1), **cost,
               "constants": json.loads(found.attrs["pyvda_configuration"])["variables"]["adt"]
               ["covariance"]}  # fmt: skip
        known = np.isfinite(squares)
        day = np.nonzero(known)[0]
        if first:
            row["compared"] = {
                name: ratio_of_errors(day, squares[known], theirs, 0)._asdict()
                for name, theirs in first.items()
            }
        if "smooth" in title:
            first[title] = squares[known]
        print("twin", row)
        yield row


def trained_on_maps(past, before):
    """Return the folder of a training on complete maps and simulated tracks, and what it cost."""
    RUNS.mkdir(parents=True, exist_ok=True)
    tracks, truth = RUNS / "twin-tracks.nc", RUNS / "twin-truth.nc"
    past.to_netcdf(tracks)
    before.where(before.adt.notnull().all("time")).to_netcdf(truth)
    configuration = PointConfiguration(
        points={"observations": str(tracks), "variable": "adt", "truth": str(truth),
                "mean": str(truth), "local_variance": True, "functions": SMOOTH, **TWIN["points"]},
        network=TWIN["network"], training=TWIN["training"],
    )  # fmt: skip
    folder = RUNS / "twin"
    train(configuration, folder, resume=True, report=print)
    made = json.loads((folder / "training.json").read_text())
    return folder, {"training_seconds": made["wall_seconds"], "left_out": made["validation"]}


def qg(arguments: argparse.Namespace):
    """Yield maps of a simulated ocean from tracks of two altimeters, by methods of each kind.

    `oi` alone knows the tracks; around the mean it knows that of 40 other simulated states, as
    networks, which were trained on simulations, and 4D-Var's background do. `eof` has the means of
    the tracks in the cells of the grid.
    """
    truth = pyvda.simulate("quasi-geostrophic", 1, 1, steps=31, parameters={"n": 65})
    tracks = pyvda.observe(truth, "qg-altimetry", 3)
    fitted = {"functions": "gaussian/matern32,exponential", "fit_by": "likelihood"}
    of_states = ("oi, fitted, around the mean of simulations", "4D-Var, the model known")
    states, mean, around = None, 0.0, None
    if not arguments.only or any(title.startswith(tuple(arguments.only)) for title in of_states):
        states = pyvda.simulate("quasi-geostrophic", 40, 3, steps=2, parameters={"n": 65})
        mean = states.psi.mean(("window", "time")).fillna(0.0)
        at_tracks = mean.interp(y=tracks.y, x=tracks.x).values
        around = tracks.assign(psi=tracks.psi - at_tracks)
    turned = {"turned": "sign y"}  # leaves this ocean's dynamics as they are
    cases = [
        ("oi, fitted", tracks, "oi", {}),
        (of_states[0], around, "oi", {}),
        ("eof", in_cells(tracks, truth), "eof", {}),
        *((f"network, {name}", tracks, name, {}) for name in names()),
        *((f"network, {name}, mean of turns", tracks, name, turned) for name in names()),
        (of_states[1], tracks, "incremental", {}),
    ]
    for title, given, method, more in cases:
        if arguments.only and not title.startswith(tuple(arguments.only)):
            continue
        start = time.process_time()
        if method == "incremental":  # the file of the tracks names the model
            options = {"method": method, "growth": 4, "covariance": pyvda.fit_covariance(states)}
        elif method == "eof":
            options = {"method": method, "variable": "psi", "mask": "sea"}
        else:
            options = {"variable": "psi", "grid": truth}
            options |= {"method": method} if method == "oi" else {"checkpoint": method}
        if method == "oi":
            options["covariance"], _ = fit_field_covariance(given, "psi", **fitted)
        found = pyvda.assimilate(given, **options, **more)
        analysis = found.psi.squeeze() + (mean if given is around else 0.0)
        error = (truth.psi.squeeze("window") - analysis.values).values
        at = np.isfinite(error)
        variance = found.psi_stdev.squeeze().values[at] ** 2
        nothing = np.zeros(at.sum(), int)
        predictions = Predictions(nothing, nothing, error[at], variance, nothing)
        row = {"method": title, "variable": "psi", **scores(predictions),
               "processor_seconds": round(time.process_time() - start, 1)}  # fmt: skip
        if method in names():
            row["training_seconds"] = read_json(FOLDER / method, TRAINING_FILE)["wall_seconds"]
        print("qg", row)
        yield row


def in_cells(tracks, truth):
    """Return the means of the tracks in the cells of the truth's grid, NaN in the others."""
    points = read_points(tracks, "psi")
    field = on_grid(points, truth)
    values = Cells.of(field, points).values(points.values["psi"]).values
    return field.ds.assign(
        psi=(field.ds.psi.dims, field.on_grid(values), field.ds.psi.attrs),
        sea=(field.space, field.sea.astype("int8")),
    )


def passes(arguments: argparse.Namespace):
    """Yield scores on real passes of all altimeters that were withheld, the draw `test`."""
    ds = xr.open_dataset(DATA / "med_adt_alongtrack_2014.nc").load()
    draws = xr.open_dataset(DATA / "draws_tracks.nc").load()
    rows = ds.drop_vars("track").assign(pass_id=draws.pass_id)
    hidden = draws[arguments.draw].values.astype(bool)
    mean = xr.open_dataset(DATA / "med_adt_duacs_2005q2.nc").adt.mean("time").to_dataset()
    mean.adt.attrs["units"] = "m"
    fitted = {"functions": FUNCTIONS, "fit_by": "likelihood"}
    by_passes = "oi, fitted by passes"
    by_hand = {"covariance": _alone(SEA_LEVEL)}
    independent = _alone(SEA_LEVEL | {"track_variance": 0.0})
    networks = {f"network, {by_passes}, more data": False}
    networks[f"network, {by_passes}, more data, combined"] = True
    points = read_points(rows, "adt")
    first = {}
    for title, options in (
        ("oi, fitted", fitted),
        (by_passes, fitted | {"fit_by": "passes"}),
        (f"{by_passes}, more data", fitted | {"fit_by": "passes"} | MORE),
        (
            f"{by_passes}, more data, combined",
            fitted | {"fit_by": "passes", "combined": True} | MORE,
        ),
        ("oi, constants by hand", by_hand),
        ("oi, by hand, errors independent", {"covariance": independent}),
        ("oi, by hand, around maps of 2005", by_hand | {"mean": mean}),
        *((title, {}) for title in networks),
    ):
        if arguments.only and not title.startswith(tuple(arguments.only)):
            continue
        cost, how = {}, {"method": "oi"}
        if title in networks:
            folder, cost = trained_on_passes(
                rows, hidden, arguments.draw, fitted | MORE | {"combined": networks[title]}
            )
            how = {"checkpoint": folder}
        start = time.process_time()
        found = pyvda.assimilate(
            rows, variable="adt", grid="10:10:1,38:38:1", withhold=hidden, **how, **options
        )
        constants = json.loads(found.attrs["pyvda_configuration"])["variables"]["adt"]
        known = constants["covariance"]
        noise = known["nugget"] + known.get("track_variance", 0.0)
        predictions = Predictions(
            np.zeros(hidden.sum(), int), points.track[hidden],
            found.adt_point_innovation.values[hidden],
            found.adt_point_stdev.values[hidden] ** 2 + noise,
            point_distances(points, ~hidden, hidden),
        )  # fmt: skip
        row = {"method": title, "variable": "adt", **scores(predictions),
               "processor_seconds": round(time.process_time() - start, 1),
               **cost, "constants": constants}  # fmt: skip
        if first:
            row["compared"] = {n: ratio(predictions, one, 0) for n, one in first.items()}
        if not first or (title.endswith(("more data", "combined")) and title not in networks):
            first[title] = predictions
        print("passes", row)
        yield row


def trained_on_passes(rows, hidden, draw, options):
    """Return the folder of a training without the passes that a draw hides, and what it cost."""
    RUNS.mkdir(parents=True, exist_ok=True)
    file = RUNS / f"passes-{draw}.nc"
    rows.assign(withheld=("obs", hidden.astype(np.int8))).to_netcdf(file)
    configuration = PointConfiguration(
        points={"observations": str(file), "variable": "adt", "withhold": "withheld",
                **options},
        training={"epochs": 8},
    )  # fmt: skip
    folder = RUNS / f"passes-{draw}{'-combined' if options['combined'] else ''}"
    train(configuration, folder, resume=True, report=print)
    made = json.loads((folder / "training.json").read_text())
    cost = {"training_seconds": made["wall_seconds"], "passes_left_out": made["validation"]}
    return folder, cost


def _alone(constants):
    return {"variables": {"adt": constants}}


def million():
    """Yield the seconds of one day of a field of a million points under clouds, constants given."""
    side, days = 1000, 7
    rng = np.random.default_rng(0)
    values = rng.normal(size=(days, side, side))
    y, x = np.mgrid[:side, :side]
    for t in range(days):
        for _ in range(60):
            centre = rng.uniform(0, side, 2)
            values[t, np.hypot(y - centre[0], x - centre[1]) < 80] = np.nan
    ds = xr.Dataset(
        {"sst": (("time", "lat", "lon"), values)},
        {"time": np.datetime64("2020-01-01", "ns") + np.arange(days) * np.timedelta64(1, "D"),
         "lat": ("lat", np.linspace(30, 40, side), {"units": "degrees_north"}),
         "lon": ("lon", np.linspace(0, 12, side), {"units": "degrees_east"})},
    )  # fmt: skip
    covariance = SpaceTimeCovariance(
        factors=(Factor(variance=0.7, km=80.0, days=5.0), Factor(variance=0.3, km=15.0, days=1.0)),
        nugget=0.05,
    )
    field = opened(ds, "sst")
    read = {"sst": field.read("sst")}
    where = np.zeros(read["sst"].values.shape, bool)
    where[days // 2] = True
    method = FIELD_METHODS["oi"]
    options = method.options(
        covariance={"variables": {"sst": covariance.as_dict()}}, nearest=12, nearest_other=2,
        within_days=3.0,
    )  # fmt: skip
    engine = get_engine()
    start = np.array([time.perf_counter(), time.process_time()])
    estimated(field, read, None, method, options, engine, silent, where=where)
    clock, processor = np.array([time.perf_counter(), time.process_time()]) - start
    row = {"points": int(where.sum()), "observed": float(np.isfinite(values[days // 2]).mean()),
           "data": 4 * (12 + 2 * (days - 1)), "seconds": round(clock, 1),
           "processor_seconds": round(processor, 1), "engine": str(engine.info)}  # fmt: skip
    print("million", row)
    yield row


PARTS = {
    "chlorophyll": functools.partial(rows, "chlorophyll"),
    "radar": functools.partial(rows, "radar"),
    "alboran": alboran,
    "twin": twin,
    "qg": qg,
    "passes": passes,
    "speed": speed,
    "million": million,
}


if __name__ == "__main__":
    main()
