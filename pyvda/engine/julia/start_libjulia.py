"""Start Julia from its shared library: no Julia package, no registry, no network.

For offline machines: HPC nodes, CI, a distribution's own Julia (>= 1.5). The `julia` command itself
is queried for its paths, since distributions place the library and the system image in different
folders.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import json
import logging
import os
import shutil
import signal
import subprocess
from typing import NamedTuple

from pyvda.engine.julia import image
from pyvda.engine.julia.engine import StartedJulia
from pyvda.engine.julia.source import julia_source
from pyvda.errors import EngineError

log = logging.getLogger("pyvda")

_ASK = r"""
using Libdl
println(abspath(first(filter(p -> occursin(r"^libjulia\.", basename(p)), dllist()))))
println(Sys.BINDIR)
println(abspath(Sys.BINDIR, unsafe_string(Base.JLOptions().image_file)))
flush(stdout)
f() = try; error(); catch; println("exceptions work"); end
f()
"""
_WORKS = "exceptions work"
# A process of its own under the workaround of boundary/exceptions.jl, before this one is changed.
_TRY = f"""
include(ARGS[1])
forget_compiled_code!() && survives_exceptions() && println("{_WORKS}")
"""
_CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS)
_ANSWER_SECONDS = 120  # a Julia on a network file system may take half a minute to start


class Answers(NamedTuple):
    """Paths and properties that a julia reports.

    Attributes
    ----------
    library, bindir, image : str
        Julia's library, the folder of its command, and its system image.
    crashes : bool
        Whether an exception ends it.
    """

    library: str
    bindir: str
    image: str
    crashes: bool


def declined() -> bool:
    """Tell whether the user declines Julia by PYVDA_JULIA=none."""
    return os.environ.get("PYVDA_JULIA", "").lower() == "none"


def check_not_declined() -> None:
    """Raise EngineError where the user declines Julia."""
    if declined():
        raise EngineError("PYVDA_JULIA is none, which declines Julia; unset it to start Julia")


def julia_command() -> str | None:
    """Return the `julia` to use: PYVDA_JULIA if set, else the one on PATH, else None."""
    if declined():
        return None
    return shutil.which(os.environ.get("PYVDA_JULIA") or "julia")


def loading() -> str:
    """Return the Julia code that loads VDA into Main.

    From version 1.9 on VDA is loaded as a package, whose machine code Julia then caches between
    processes (`julia/src/precompile.jl`); before, or where it cannot be cached, from its source.
    """
    source = julia_source()
    include = f"include({quoted(source)})"
    package = (
        f"pushfirst!(LOAD_PATH, {quoted(source.parents[1])}); "
        f"try; @eval Main import VDA; catch; {include}; finally; popfirst!(LOAD_PATH); end"
    )
    return f'(if VERSION < v"1.9"; {include}; else; {package}; end; nothing)'


def quoted(text: object) -> str:
    """Return `text` as a Julia string literal."""
    return json.dumps(str(text), ensure_ascii=False).replace("$", "\\$")


def start() -> StartedJulia:
    """Start Julia on the calling thread, load VDA, and return its entry points."""
    check_not_declined()
    command = julia_command()
    if command is None:
        raise EngineError("no julia found: put it on PATH or name it in PYVDA_JULIA")
    if os.path.expanduser("~") == "~":  # an unknown user, for whom Julia ends the process
        os.environ["HOME"] = os.sep
    found = image.find(command)
    if found is not None and image.is_julia_itself(command, found[1].bindir):
        answers = _answers(found[1])
    else:
        answers = ask(command)
        if found is not None and answers != _answers(found[1]):
            found = None
    # Debian's libjulia loads a libunwind whose _Unwind_Resume must not precede the compiler's: a
    # C++ exception in any library loaded later (such as matplotlib's) would abort the process.
    with contextlib.suppress(OSError):
        ctypes.CDLL("libgcc_s.so.1", mode=ctypes.RTLD_GLOBAL)
    # RTLD_GLOBAL: the system image looks its symbols up in the process.
    try:
        load_triton()
        julia = ctypes.CDLL(answers.library, mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise EngineError(f"the library of {command} cannot be loaded: {error}") from None
    _initialise(julia, answers.bindir, answers.image if found is None else str(found[0]))
    julia.jl_eval_string.restype = ctypes.c_void_p
    julia.jl_string_ptr.restype = ctypes.c_char_p
    julia.jl_string_ptr.argtypes = [ctypes.c_void_p]

    def evaluate(code: str) -> str:
        """Evaluate `code` in Main and return its value as text, or raise an EngineError."""
        wrapped = (
            f"try; string({code}); "
            'catch e; "!" * sprint(showerror, e); end'
        )  # fmt: skip
        value = julia.jl_eval_string(wrapped.encode())
        if not value:
            raise EngineError(f"Julia could not evaluate {code!r}")
        text = (julia.jl_string_ptr(value) or b"").decode()
        if text.startswith("!"):
            raise EngineError(f"Julia: {text[1:].splitlines()[0] if text[1:] else 'no message'}")
        return text

    if found is None:
        evaluate(loading())
    if answers.crashes:
        refused = keeps_libunwind() or (workaround_refusal(command) if found is None else None)
        if refused is None and evaluate("VDA.forget_compiled_code!()") != "true":
            refused = "the workaround could not be applied"
        if refused:
            log.warning("an exception in Julia will end this process by a crash: %s", refused)
    version = evaluate("VERSION")
    return StartedJulia(
        version=version,
        threads=int(evaluate("Threads.nthreads()")),
        address=lambda name: int(evaluate(f"VDA.entry_point({quoted(name)})")),
        image=None if found is None else str(found[0]),
    )


def load_triton() -> None:
    """Load triton, where it is installed, which must not be loaded after Julia.

    It comes with PyTorch's CUDA builds, which import it late, and has an LLVM of its own: with that
    of an old Julia already in the process, loading it ends the process by a crash.
    """
    if importlib.util.find_spec("triton") is not None:
        with contextlib.suppress(Exception):  # one that cannot be loaded here is not loaded later
            importlib.import_module("triton")


def _answers(record: image.ImageRecord) -> Answers:
    return Answers(record.library, record.bindir, record.base, record.crashes)


def ask(command: str) -> Answers:
    """Ask a julia for its files, and whether it survives an exception.

    Raises
    ------
    EngineError
        When it does not run.
    """
    try:
        asked = _run(command, _ASK)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"{command} does not run: {error}") from None
    lines = asked.stdout.splitlines()
    if len(lines) < 3:
        raise EngineError(f"{command} does not run: {_reason(asked)}")
    return Answers(lines[0], lines[1], lines[2], _crashed(asked))


def _run(command: str, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    question = [command, "--startup-file=no", "-e", code, *arguments]
    return subprocess.run(
        question, capture_output=True, text=True, check=False, timeout=_ANSWER_SECONDS
    )


def _reason(asked: subprocess.CompletedProcess[str]) -> str:
    """Return what Julia said of its failure, which comes before its stack trace."""
    lines = [line.strip() for line in (asked.stderr + asked.stdout).splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith(("error", "fatal"))]
    return next(iter([*errors, *lines]), f"exit code {asked.returncode}")


def _crashed(asked: subprocess.CompletedProcess[str]) -> bool:
    """Tell whether Julia answered all questions and then crashed at the exception."""
    code = asked.returncode
    died = code in {-s for s in _CRASHES} or code in {128 + s for s in _CRASHES}
    return died and len(asked.stdout.splitlines()) == 3


def workaround_refusal(command: str) -> str | None:
    """Return why the workaround of `julia/src/boundary/exceptions.jl` is not for this process.

    Debian 11's Julia crashes at exceptions on Debian 12. The workaround overwrites two functions of
    libunwind in memory: another Julia process must survive exceptions under it first.
    """
    if refused := keeps_libunwind():
        return refused
    try:
        tried = _run(command, _TRY, str(julia_source().parent / "boundary" / "exceptions.jl"))
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"the workaround could not be tried ({error})"
    if tried.returncode == 0 and tried.stdout.split("\n")[0] == _WORKS:
        return None
    return "its libunwind does not fit, and the workaround does not help; use another Julia"


def keeps_libunwind() -> str | None:
    """Return why the user does not want the workaround, or None."""
    if os.environ.get("PYVDA_KEEP_LIBUNWIND") == "1":
        return "PYVDA_KEEP_LIBUNWIND=1 declines the workaround"
    return None


def _initialise(julia: ctypes.CDLL, bindir: str, image: str) -> None:
    for name in ("jl_init_with_image", "jl_init_with_image__threading", "jl_init_with_image_file"):
        function = getattr(julia, name, None)
        if function is not None:
            function.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
            function.restype = None
            function(bindir.encode(), image.encode())
            return
    raise EngineError(f"{julia._name} has no jl_init_with_image; use Julia 1.5 or newer")
