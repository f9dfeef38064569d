"""The device that a learned model runs on."""

from __future__ import annotations

from pyvda.errors import InputError


def usable_device(wanted: str) -> str:
    """Return the device of a name, "auto" being CUDA if it is available.

    Raises
    ------
    InputError
        This machine has no such device.
    """
    import torch

    device = wanted
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = str(torch.device(device))
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, ImportError) as error:
        # For a device that torch was built without, torch's message is long and mostly internal.
        unknown = isinstance(error, NotImplementedError | ImportError)
        reason = "torch has no such device here" if unknown else str(error).splitlines()[0][:80]
        raise InputError(f"the device {wanted!r} cannot be used ({reason}); choose cpu") from None
    return device
