"""`python -m pyvda` is the command `pyvda`."""

from pyvda.cli.main import main

if __name__ == "__main__":
    main()
