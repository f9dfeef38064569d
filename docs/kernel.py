"""What the kernels of the pages run first, so that outputs are plain text and whole lines."""


def _prepare() -> None:
    import os
    import re
    import subprocess

    from IPython import get_ipython

    import pyvda.progress

    # A kernel asks its commands for colours, which a page would show as escape codes.
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE"):
        os.environ.pop(name, None)
    os.environ["PYTHONUNBUFFERED"] = "1"  # output and messages in the order of a terminal
    # A bar that has disappeared would leave an empty box.
    pyvda.progress.BAR_AFTER = float("inf")

    def sh(line: str, cell: str) -> None:
        """Run a cell by sh; IPython's own magic breaks lines where a pipe was read.

        Unlike there, the cell ends at the first command that fails, so that none fails unseen.
        """
        done = subprocess.run(
            ["sh", "-ec", cell], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        # Lines of progress, which commands print after a minute.
        print(re.sub(r"(?m)^pyvda: .*\d+ min left.*\n", "", done.stdout), end="")
        done.check_returncode()

    get_ipython().register_magic_function(sh, "cell", "sh")


_prepare()
del _prepare
