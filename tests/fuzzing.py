"""What the tests with malformed input share.

PYVDA_FUZZ_EXAMPLES sets how many examples each of them gets (default 10);
`make test-exhaustive` takes a thousand.
"""

import os
import warnings
from collections.abc import Callable
from typing import Any

import hypothesis
import xarray as xr
from hypothesis import HealthCheck

from pyvda.errors import EngineError, InputError

EXAMPLES = int(os.environ.get("PYVDA_FUZZ_EXAMPLES", "10"))
fuzzed = hypothesis.settings(
    max_examples=EXAMPLES, deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)  # fmt: skip


def outcome(call: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """Return what a call returns, loaded; None where it is refused in one sentence.

    Any exception but InputError and EngineError passes through, and a message of several lines or
    none fails.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = call(*arguments, **keywords)
            return found.load() if isinstance(found, xr.Dataset) else found
        except (InputError, EngineError) as error:
            said = str(error).strip()
    assert said, "a refusal without a sentence"
    assert "\n" not in said, said
    return None
