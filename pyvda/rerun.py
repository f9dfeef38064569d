"""Repeat the run that made an analysis, from what its file says, and compare the results."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from pyvda import run_record
from pyvda.errors import EngineError, InputError
from pyvda.io import netcdf
from pyvda.io.sources import sources
from pyvda.io.writing.outputs import check_output, existing, is_zarr
from pyvda.models.registry import resolve
from pyvda.notices import notice

_INPUT_ERROR = 2  # exit code
_SAID_ONCE = 3  # names of files or variables in a message


def rerun(
    analysis: str | os.PathLike[str] | xr.Dataset,
    output: str | os.PathLike[str] | None = None,
    *,
    observations: Any = None,
    **keywords: Any,
) -> xr.Dataset:
    """Repeat the run that made an analysis.

    From the same files, with the same version on the same machine, the result has the same bits
    (see `differences`).

    The run may execute code: models and operators in files (models.py:rossler) that the analysis
    names. Repeat only runs of analyses that you trust. The julia is that of PYVDA_JULIA now.

    Parameters
    ----------
    analysis : path or Dataset
        As `assimilate` made it.
    output : path, optional
        Where to save the new analysis.
    observations : Dataset, optional
        What was assimilated, where it was not a file that is still there.
    **keywords
        Keywords of `assimilate` in place of those of the run; needed for those that no file can
        hold, such as a function.

    Returns
    -------
    Dataset
        The new analysis, in memory.

    Raises
    ------
    InputError
        The file does not say how it was made; a file that the run has read is missing or has
        changed; or a keyword could not be recorded.

    Examples
    --------
    >>> again = pyvda.rerun("analysis.nc")  # doctest: +SKIP
    """
    if output is not None:
        check_output(output, overwrite=True)
    made = analysis if isinstance(analysis, xr.Dataset) else netcdf.open_dataset(analysis)
    run = _recorded(made)
    _mention_versions(run)
    place = None if isinstance(analysis, xr.Dataset) else Path(analysis)
    folder = _folder(run, place, with_input=observations is None)
    by_command = bool(run["command"]) and observations is None and not keywords
    if by_command:
        found = _by_command(run, folder)
    else:
        with contextlib.chdir(folder), _environment(run):
            found = _by_call(run, observations, keywords)
    if output is not None:
        netcdf.save_analysis(found, output)
    return found


def differences(analysis: xr.Dataset, again: xr.Dataset) -> list[str]:
    """Return the variables that do not have the same bits in both, those missing in one included.

    Parameters
    ----------
    analysis, again : Dataset
        An analysis, and that of `rerun`.
    """
    every = dict.fromkeys([*analysis.variables, *again.variables])
    return [str(name) for name in every if not _same(analysis, again, str(name))]


def _same(analysis: xr.Dataset, again: xr.Dataset, name: str) -> bool:
    if name not in analysis.variables or name not in again.variables:
        return False
    one, other = analysis.variables[name], again.variables[name]
    return one.dtype == other.dtype and one.equals(other)


def _recorded(analysis: xr.Dataset) -> dict[str, Any]:
    try:
        run = json.loads(analysis.attrs["pyvda_configuration"])["run"]
        return {
            key: run[key]
            for key in ("command", "settings", "options", "input", "files", "folder", "engine",
                        "environment", "versions")
        } | {"keeps_state": run.get("keeps_state", False)}  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            "the file does not say how it was made (attribute pyvda_configuration); give an "
            "analysis by this or a later version of `pyvda assimilate`"
        ) from error


def _mention_versions(run: Mapping[str, Any]) -> None:
    now = run_record.versions()
    other = [
        f"{name} {before} (now {now.get(name, 'absent')})"
        for name, before in run["versions"].items()
        if now.get(name) != before
    ]
    if other:
        notice(
            f"the analysis was made with {', '.join(other)}, so that the result may differ in its "
            "last digits or more"
        )


def _folder(run: Mapping[str, Any], analysis: Path | None, with_input: bool) -> Path:
    """Return the folder from which all files of the run are as they were.

    Raises
    ------
    InputError
        There is none.
    """
    places = [Path(run["folder"]), Path.cwd(), *([analysis.resolve().parent] if analysis else [])]
    wanted = dict(run["files"])
    if not with_input:
        for path in existing([run["input"]["path"]]):
            wanted.pop(path, None)
    changed: list[str] = []
    for place in dict.fromkeys(places):
        found = run_record.unchanged({"files": wanted}, place) if place.is_dir() else list(wanted)
        if not found and place.is_dir():
            return place
        changed = changed or found
    raise InputError(
        f"{_listed(changed)}, which the run has read, changed since or cannot be found in "
        f"{run['folder']}; put it back as it was, or run `pyvda assimilate` anew: "
        f"pyvda {' '.join(run['command']) or 'assimilate'}"
    )


def _listed(all_names: list[str]) -> str:
    more = len(all_names) - _SAID_ONCE
    return ", ".join(all_names[:_SAID_ONCE]) + (f" and {more} more" if more > 0 else "")


@contextlib.contextmanager
def _environment(run: Mapping[str, Any]) -> Iterator[None]:
    """Restore the engine and the environment variables of the run."""
    wanted = _variables(run)
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _variables(run: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment variables of a run; a file can name no program (PYVDA_JULIA)."""
    given = run["environment"]
    known = {name: str(given[name]) for name in run_record.ENVIRONMENT if name in given}
    return {"PYVDA_ENGINE": run["engine"], **known}


def _by_command(run: Mapping[str, Any], folder: Path) -> xr.Dataset:
    """Run the command line again, in a process of its own, with another output."""
    asked = list(run["command"])
    if asked[0] != "assimilate":
        raise InputError(
            f"the analysis was made by `pyvda {asked[0]}`, and only `pyvda assimilate` can be "
            "repeated; give an analysis by it"
        )
    with tempfile.TemporaryDirectory(prefix="pyvda-") as own:
        before = run_record.outputs(asked)
        path = Path(own) / f"again{'.zarr' if before and is_zarr(before[-1]) else '.nc'}"
        # Of an option that is given twice, the last one counts.
        asked += ["--output", str(path), "--overwrite", "--quiet"]
        if run["keeps_state"]:  # by an option or in a file of options; the user's stays as it is
            asked += ["--state", str(Path(own) / "state")]
        environment = {**os.environ, **_variables(run)}
        environment["PYTHONPATH"] = os.pathsep.join(os.path.abspath(p) for p in sys.path if p)
        # No timeout: how long the run takes is up to the user's data and options.
        done = subprocess.run(
            [sys.executable, "-P", "-m", "pyvda", *asked],
            cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            said = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
            kind = InputError if done.returncode == _INPUT_ERROR else EngineError
            raise kind(f"the run could not be repeated: {said.removeprefix('pyvda: ')}")
        return netcdf.open_dataset(path)


def _by_call(run: Mapping[str, Any], observations: Any, keywords: Mapping[str, Any]) -> xr.Dataset:
    """Call `assimilate` again."""
    from pyvda.assimilate import assimilate

    recorded = {**run["settings"], **run["options"]}
    chosen = {
        name: run_record.decoded(name, value)
        for name, value in recorded.items()
        if name not in keywords and value is not None
    }
    chosen |= keywords
    # Defaults are left out: some of them must not be stated beside others.
    chosen = {n: v for n, v in chosen.items() if n in keywords or not _is_default(n, v)}
    block = run["input"]["block"]
    if observations is None:
        observations = _opened(run["input"], chosen.pop("group", None), keywords.get("model"))
    if block is not None and "block" not in chosen:
        chosen["block"] = block
    return assimilate(observations, **chosen).load()


def _is_default(name: str, value: Any) -> bool:
    from pyvda.settings import Settings

    field = Settings.model_fields.get(name)
    plain = isinstance(value, str | bool | int | float)
    return field is not None and plain and field.default == value


def _opened(given: Mapping[str, Any], group: str | None, model: Any) -> xr.Dataset:
    """Open the observations as the run did; a `model` replaces the one they were opened with."""
    if given["path"] is None:
        raise InputError(
            "the analysis was made of observations in memory; give them again in Python: "
            "pyvda.rerun(analysis, observations=...)"
        )
    if "variable" not in given:
        return _as_before(sources.as_dataset(given["path"], group=group).load(), given)
    named = ("variable", "group", "grid_step", "good_flags")
    how = {name: run_record.decoded(name, given.get(name)) for name in named}
    opened_with = given.get("model")
    if opened_with is not None:
        model = run_record.decoded("model", opened_with) if model is None else resolve(model)
        how["model"] = model
    return _as_before(netcdf.open_observations(given["path"], **how), given)


def _as_before(ds: xr.Dataset, given: Mapping[str, Any]) -> xr.Dataset:
    """Return the observations; refuse those of other sizes than the run had.

    The user has selected a part of the file, or joined it with others (`xarray.open_mfdataset`).
    """
    for dim, size in given.get("sizes", {}).items():
        if ds.sizes.get(dim, size) != size:
            raise InputError(
                f"the analysis was made of observations with {dim}={size}, but {given['path']} has "
                f"{dim}={ds.sizes[dim]}; give the observations again in Python: "
                "pyvda.rerun(analysis, observations=...)"
            )
    return ds
