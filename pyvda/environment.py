"""The environment variables that pyvda reads, each with its description: stated here once."""

VARIABLES: dict[str, str] = {
    "PYVDA_ENGINE": "The engine that computes: auto, juliacall, libjulia or torch. Default: auto, "
    "which is juliacall if it can start, else libjulia, else torch.",
    "PYVDA_JULIA": "Path of the julia command; none: do without Julia. Default: the julia on the "
    "PATH.",
    "PYVDA_THREADS": "Number of threads of an engine. Default: the number of cores that the "
    "process may use.",
    "PYVDA_KERNELS": "Where the operations of learned models run on a CPU: auto, julia or torch. "
    "Default: auto, which is Julia if it runs already, as in training and for many windows.",
    "PYVDA_SYSIMAGE": "The system image with pyvda's compiled Julia code, for Julia before 1.9: "
    "auto (use it; build it in the background where there is none), use, or none. Default: auto.",
    "PYVDA_CACHE": "Folder of climatologies, libraries of states and system images. Default: "
    "pyvda in XDG_CACHE_HOME or the system's folder for caches.",
    "PYVDA_KEEP_LIBUNWIND": "1: leave the libunwind of the process in place when libjulia starts.",
}
