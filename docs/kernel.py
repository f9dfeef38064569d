"""What the kernels of the pages run first, so that outputs are plain text and whole lines."""


def _prepare() -> None:
    import os
    import subprocess
    import sys

    from IPython import get_ipython

    import pyvda.progress

    # A kernel asks its commands for colours, which a page would show as escape codes.
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE"):
        os.environ.pop(name, None)
    # A bar that has disappeared would leave an empty box.
    pyvda.progress.BAR_AFTER = float("inf")

    def sh(line: str, cell: str) -> None:
        """Run a cell by sh; IPython's own magic breaks lines where a pipe was read."""
        done = subprocess.run(["sh", "-ec", cell], capture_output=True, text=True)
        print(done.stderr, end="", file=sys.stderr)
        print(done.stdout, end="")
        done.check_returncode()

    get_ipython().register_magic_function(sh, "cell", "sh")


_prepare()
del _prepare
