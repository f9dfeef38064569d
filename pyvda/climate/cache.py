"""Results of simulations, kept for the next run: one file each in the user's cache folder.

A file is found again by everything that its numbers depend on: the recipe, the model's source and
its parameters. Results of a model without a complete source (a function typed at a prompt, or one
with a closure) are kept for the life of the process only, for that very object.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.io.writing.atomic import replacing
from pyvda.models.model import Model
from pyvda.notices import notice

log = logging.getLogger("pyvda")

Arrays = Mapping[str, Array]
_of_this_process: dict[tuple[str, Model, str], Arrays] = {}
_FILES = 4  # that were read last and are kept in memory
_read: OrderedDict[tuple[Path, str, int, int], Arrays] = OrderedDict()


def cache_folder() -> Path:
    """Return the folder for what can be made again.

    It is $PYVDA_CACHE, else $XDG_CACHE_HOME/pyvda, else the platform's folder for caches, which may
    not exist yet.

    Raises
    ------
    OSError
        The user has no home folder: there is no place for a cache.
    """
    own = os.environ.get("PYVDA_CACHE")
    if own:
        return Path(own)
    shared = os.environ.get("XDG_CACHE_HOME")
    if shared:
        return Path(shared) / "pyvda"
    import platformdirs

    try:
        found = platformdirs.user_cache_path("pyvda", appauthor=False)
    except (KeyError, RuntimeError):
        raise OSError("the user has no home folder") from None
    if not found.is_absolute():  # ~ stands for no folder
        raise OSError("the user has no home folder")
    return found


def kept(
    kind: str,
    model: Model,
    recipe: str,
    make: Callable[[], Arrays],
    valid: Callable[[Arrays], bool],
) -> Arrays:
    """Return arrays from the cache, or make and keep them.

    Parameters
    ----------
    kind : str
        First part of the file's name.
    model : Model
    recipe : str
        Everything besides the model that the arrays depend on.
    make : callable
        () to the arrays by name.
    valid : callable
        Whether arrays that were read have the shapes that are expected.
    """
    identity = _identity(model)
    if identity is None:
        place = (kind, model, recipe)
        if place not in _of_this_process:
            _of_this_process[place] = make()
        return _of_this_process[place]
    key = f"{recipe} {identity}"
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    name = re.sub(r"[^\w.-]+", "_", model.name)[:40]
    file = f"{kind}-{name}-{digest}.npz"
    found = _load(file, key, valid)
    if found is None:
        found = make()
        try:
            _save(file, key, found)
        except (OSError, InputError) as error:
            _say_once(str(error).partition(";")[0])
    return found


@functools.cache
def _say_once(reason: str) -> None:
    notice(
        "simulations of the model are not kept for the next run, which will take as long "
        f"({reason}); set PYVDA_CACHE to a folder that can be written to"
    )


def _identity(model: Model) -> str | None:
    """Return everything that makes the model, as text; None where there is no such text."""
    source = model.source_digest
    if source is None or not (model.torch is None or model.torch.complete):
        return None
    fields = " ".join(
        f"{name}={value.hex() if isinstance(value, float) else value}"
        for name, value in model.fields
    )
    drawn = " drawn" if model.start is not None and model.start.drawn else ""
    way = f"{model.start}{drawn} {model.spinup} {model.interval}"
    # Without a spin-up and an interval of its own the model's time step decides both.
    dependent = model.kind == "step" or model.spinup is None or model.interval is None
    step = model.time_step.hex() if dependent else ""
    return f"{model.name} {model.state_size} {fields} {source} {way} {step}"


def _load(file_name: str, key: str, valid: Callable[[Arrays], bool]) -> Arrays | None:
    """Return what the file holds; None if there is none, or not of this key, or it is not valid."""
    try:
        path = cache_folder() / file_name
    except OSError:
        return None
    try:
        state = path.stat()
        as_read = (path, key, state.st_mtime_ns, state.st_size)
        if as_read in _read:
            _read.move_to_end(as_read)
            return _read[as_read]
        with np.load(path, allow_pickle=False) as file:
            if str(file["key"]) != key:
                return None
            found: dict[str, Any] = {name: file[name] for name in file.files if name != "key"}
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        log.warning("making %s again, it cannot be read (%s)", path, error)
        return None
    if not valid(found):
        return None
    _read[as_read] = found
    while len(_read) > _FILES:
        _read.popitem(last=False)
    return found


def _save(file_name: str, key: str, arrays: Arrays) -> None:
    path = cache_folder() / file_name
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial, open(partial, "wb") as file:
        np.savez(file, allow_pickle=False, **{"key": np.array(key), **arrays})
