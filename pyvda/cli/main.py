"""The command line: assembles the commands, one file each, and turns errors into exit codes.

Only the module of the command that runs is imported: `pyvda --help` reads the others' first lines.
Exit code 0 on success, 1 when something failed, 2 when the input cannot be used.
"""

from __future__ import annotations

import ast
import atexit
import gc
import logging
import os
import sys
import warnings
from collections.abc import Callable, Collection
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

import pyvda
from pyvda.errors import EngineError, InputError, TrainingError
from pyvda.io.writing.history import command_line
from pyvda.notices import Notice, when_begun

_COMMANDS = (
    "simulate", "observe", "covariance", "assimilate", "rerun", "forecast", "train", "score",
    "crossvalidate", "check", "diagnose", "plot", "reproduce", "info",
)  # fmt: skip
_INTERRUPTED = 130  # typer's exit code for Ctrl-C
# New objects between two collections of cycles, which Python's default, 700, would make a good part
# of a short command. Loading modules makes some 400 000, which all stay: the first are rarer still.
_NEW_OBJECTS, _NEW_OBJECTS_AT_FIRST, _FIRST_COLLECTIONS = 5000, 50_000, 8
# An idle thread of OpenBLAS spins for 2 to the power of this number of clock ticks, then it sleeps.
# Its default, 26, is 30 ms for each core and each library with an OpenBLAS of its own (numpy,
# scipy, Julia): https://github.com/OpenMathLib/OpenBLAS/issues/5171
_SPIN_OF_OPENBLAS = "20"


class _Commands(TyperGroup):
    """The commands; the one to run is imported from its module."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and command_of(command.name or ""), rest


class _Command(TyperCommand):
    """A command that names `--parameter` where its option for a model was taken for `--set`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        options = {option for parameter in self.params for option in parameter.opts}
        if "--parameter" in options and "--set" not in options:
            for argument, value in zip(args, [*args[1:], "name=value"], strict=True):
                if argument.partition("=")[0] == "--set":
                    given = argument.partition("=")[2] or value
                    raise InputError(
                        f"{ctx.info_name} has no option --set; give a parameter or a size of the "
                        f"model by --parameter {given}"
                    )
        return super().parse_args(ctx, args)


def _typer(**options: Any) -> typer.Typer:
    return typer.Typer(
        add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich", **options
    )


def command_of(name: str) -> Any:
    """Return a command with its options, from its module."""
    module = import_module(f"pyvda.cli.{name}")
    examples = "\n\n".join(f"  {line}" for line in module.EXAMPLES)
    one = _typer()
    one.command(name, cls=_Command, epilog=f"[bold]Example[/bold]\n\n{examples}")(
        getattr(module, name)
    )
    return typer.main.get_command(one)


def _first_line(name: str) -> Callable[[], None]:
    """Return a function with name and docstring of a command, read from its file."""
    tree = ast.parse(Path(__file__).with_name(f"{name}.py").read_text("utf-8"))
    found = next(f for f in tree.body if isinstance(f, ast.FunctionDef) and f.name == name)

    def command() -> None: ...

    command.__name__, command.__doc__ = name, ast.get_docstring(found)
    return command


def _print_version(asked: bool) -> None:
    if asked:
        print(f"pyvda {pyvda.__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and end."
        ),
    ] = False,
) -> None: ...


app = _typer(
    cls=_Commands,
    callback=_options,
    help="Variational data assimilation of netCDF observations.",
    no_args_is_help=True,
)
for _name in _COMMANDS:
    app.command(_name)(_first_line(_name))


def main() -> None:
    """Run the command line and turn errors into one sentence and an exit code."""
    _expect_unicode()
    _open_standard_streams()
    _expect_folder()
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", _SPIN_OF_OPENBLAS)  # read when numpy is loaded
    _collect_rarely()
    atexit.register(gc.freeze)  # an interpreter that ends looks through all objects several times
    said = _HeldBack()
    _show_messages(said)
    _show_notices(said, quiet={"-q", "--quiet"} & set(sys.argv))
    try:
        with command_line(sys.argv[1:]), said:
            app(prog_name="pyvda", standalone_mode=True)
    except InputError as error:
        print(f"pyvda: {error}", file=sys.stderr)
        sys.exit(2)
    except (EngineError, TrainingError) as error:
        print(f"pyvda: {error}", file=sys.stderr)
        sys.exit(1)
    except SystemExit as stop:
        if stop.code != _INTERRUPTED:
            raise
        print("pyvda: interrupted", file=sys.stderr)
        sys.exit(1)


def _expect_unicode() -> None:
    """Start again in Python's UTF-8 mode where names of files would have to be ASCII.

    Libraries could then neither open files of other names nor print what is not ASCII.
    """
    arguments = sys.argv[1:]
    of_command = bool(arguments) and sys.orig_argv[-len(arguments) :] == arguments
    begun_again = os.environ.get("PYTHONUTF8") == "1"  # in vain: Python was told otherwise
    if of_command and not begun_again and sys.getfilesystemencoding() != "utf-8":
        os.environ["PYTHONUTF8"] = "1"  # of workers
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def _open_standard_streams() -> None:
    """Open in place of standard streams that are closed, as those of a daemon, the null device.

    A file that is opened later would otherwise have their number, and get what libraries print.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115


def _expect_folder() -> None:
    """End the command where the current folder is gone, which libraries do not survive."""
    try:
        os.getcwd()
    except OSError:
        print(
            "pyvda: the current folder does not exist any more; change to another (cd)",
            file=sys.stderr,
        )
        sys.exit(2)


def _collect_rarely() -> None:
    """Have Python look for cycles of objects rarely, and more rarely while modules are loaded."""
    left = _FIRST_COLLECTIONS

    def collected(phase: str, _: object) -> None:
        nonlocal left
        left -= phase == "stop"
        if left == 0 and collected in gc.callbacks:
            gc.callbacks.remove(collected)
            gc.set_threshold(_NEW_OBJECTS)

    gc.set_threshold(_NEW_OBJECTS_AT_FIRST)
    gc.callbacks.append(collected)


class _HeldBack:
    """Lines on stderr, once each, from when the work of a command begins, or when it ends.

    A refusal before drops them: it is one sentence.
    """

    def __init__(self) -> None:
        self._lines: dict[str, bool] = {}  # and whether it is printed
        self._begun = False
        when_begun(self.release)

    def say(self, line: str) -> None:
        self._lines.setdefault(line, False)
        if self._begun:
            self.release()

    def release(self) -> None:
        self._begun = True
        for line in [line for line, printed in self._lines.items() if not printed]:
            self._lines[line] = True
            print(f"pyvda: {line}", file=sys.stderr, flush=True)

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or not issubclass(kind, InputError):
            self.release()


class _Messages(logging.Handler):
    """Shows log messages of pyvda as one line each, held back like notices; errors at once."""

    def __init__(self, said: _HeldBack) -> None:
        super().__init__()
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR:
            print(f"pyvda: {record.getMessage()}", file=sys.stderr)
        else:
            self._said.say(record.getMessage())


def _show_messages(said: _HeldBack) -> None:
    """Print log messages of pyvda as one line each; of libraries, errors only."""
    handler = _Messages(said)
    handler.addFilter(_is_for_users)
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def _is_for_users(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] == "pyvda" or record.levelno >= logging.ERROR


def _show_notices(said: _HeldBack, *, quiet: Collection[str]) -> None:
    """Print pyvda's notices as one line each, once, without the place in the source.

    Warnings of libraries that concern the user's file are printed as one line, too; others only
    if Python was asked for warnings (-W, PYTHONWARNINGS); none becomes an error.
    """

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, Notice) or category.__name__ == "SerializationWarning":
            if not quiet:
                said.say(" ".join(str(message).split()).rstrip("."))
        elif sys.warnoptions:
            before(message, category, *where, **more)

    before = warnings.showwarning
    # An error in place of a warning of a library would end the command in the midst of its work;
    # torch warns when it is imported, in workers too.
    if any(option.partition(":")[0] == "error" for option in sys.warnoptions):
        warnings.simplefilter("default")
        os.environ["PYTHONWARNINGS"] = "default"
    warnings.simplefilter("always", Notice)
    warnings.showwarning = show
