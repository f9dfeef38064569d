"""Models in a Python file of the user's: `models.py:rossler`."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from pyvda.errors import InputError
from pyvda.models.model import Model


def from_file(path: str | Path, name: str, parameters: Mapping[str, float] | None = None) -> Model:
    """Return the model called `name` in a Python file, with some parameters changed.

    Parameters
    ----------
    path : path
        The file is run each time, so that a changed file gives a changed model.
    name : str
        Name of a `Model` in the file, or of a function of parameters that returns one.
    parameters : mapping of str to float, optional

    Raises
    ------
    InputError
        When the file cannot be run (with its line), or has no such model.
    """
    file = Path(path)
    module = executed(file)
    found = getattr(module, name, None)
    if found is None:
        models = [key for key, value in vars(module).items() if isinstance(value, Model)]
        raise InputError(
            f"{path} has no model {name!r}, found {', '.join(models) or 'none'}; name a model, or "
            "a function that returns one"
        )
    from pyvda.models.registry import made

    model = made(f"{path}:{name}", found, dict(parameters or {}))
    if model.torch is None or model.torch.digest is not None:
        return model
    source = file.read_bytes()
    of = json.dumps([name, dict(parameters or {})], sort_keys=True, default=repr)
    digest = hashlib.sha256(source + b"\0" + of.encode()).hexdigest()[:16]
    functions = (model.torch.function, model.torch.tangent_linear, model.torch.adjoint)
    complete = not _has_neighbours(file, source) and all(
        f is None or _stands_in(module, f) for f in functions
    )
    return replace(model, torch=replace(model.torch, digest=digest, complete=complete))


def _stands_in(module: ModuleType, function: Any) -> bool:
    """Tell whether a function depends on its module's text alone.

    A plain function at the module's top does: a closure has values that the text leaves
    open, several lambdas have one name, and an object may hold anything.
    """
    inner = getattr(function, "function", function)  # a function of a field, or one of JAX
    return (
        isinstance(inner, FunctionType)
        and inner.__module__ == module.__name__
        and inner.__closure__ is None
        and inner.__defaults__ is None
        and inner.__kwdefaults__ is None
        and vars(module).get(inner.__qualname__) is inner
    )


def _has_neighbours(file: Path, source: bytes) -> bool:
    """Tell whether a file imports modules beside it, whose text may change, too."""
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                return True
            imported.add((node.module or "").split(".")[0])
    folder = file.resolve().parent
    return any((folder / name).is_dir() or any(folder.glob(f"{name}.*")) for name in imported)


_of_command: ContextVar[dict[tuple[Path, bytes], ModuleType] | None] = ContextVar(
    "modules of a command", default=None
)


@contextmanager
def executed_once() -> Iterator[None]:
    """Within it, a file is executed once, as long as its content stays the same."""
    token = _of_command.set({})
    try:
        yield
    finally:
        _of_command.reset(token)


def executed(file: Path) -> ModuleType:
    """Return the module that a Python file of the user's makes when it is executed.

    Raises
    ------
    InputError
        There is no such file, or it fails, with its line.
    """
    if not file.is_file():
        raise InputError(f"there is no file {file}; give the path of a Python file")
    known = _of_command.get()
    if known is None:
        return _executed(file)
    key = file.resolve(), file.read_bytes()
    if key not in known:
        known[key] = _executed(file)
    return known[key]


def _executed(file: Path) -> ModuleType:
    name = f"_pyvda_file_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise InputError(f"{file} is no Python file; give one whose name ends in .py")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up while it runs. Afterwards it goes again: functions of a
    # module that no other process can import must travel to workers by value.
    sys.modules[name] = module
    sys.path.insert(0, str(file.resolve().parent))
    try:
        # Not by the loader, whose cache takes a file that was changed within a second for the same.
        exec(compile(file.read_bytes(), str(file), "exec"), module.__dict__)
    except InputError:
        raise
    except SyntaxError as error:
        raise InputError(f"{file}, line {error.lineno}: {error.msg}; correct the file") from error
    except (Exception, SystemExit) as error:  # sys.exit() in the file would end the program
        frames = traceback.extract_tb(error.__traceback__)
        lines = [f.lineno for f in frames if Path(f.filename).resolve() == file.resolve()]
        at = f", line {lines[-1]}" if lines else ""
        message = (str(error).strip().splitlines() or [""])[0]
        raise InputError(
            f"{file}{at}: {type(error).__name__}: {message}; correct the file"
        ) from error
    finally:
        sys.path.remove(str(file.resolve().parent))
        sys.modules.pop(name, None)
    return module
