"""LightGBM, imported when a boosted model needs it, with advice where the import fails."""

from __future__ import annotations

from typing import Any

from arbitrank.errors import ArbitrankError


def lightgbm() -> Any:
    """The LightGBM module. Raises `ArbitrankError` that says what to install where it is absent or its OpenMP is."""
    try:
        import lightgbm as module
    except ImportError as error:
        raise ArbitrankError(f"a boosted model needs LightGBM: {error}; run: pip install lightgbm") from error
    except OSError as error:
        raise ArbitrankError(
            f"LightGBM needs the system's OpenMP: {error}; install it, as in: apt-get install libgomp1"
        ) from error
    return module


def missing() -> str | None:
    """Reason why LightGBM cannot be imported, with what to install; None where it can."""
    try:
        lightgbm()
    except ArbitrankError as error:
        return str(error)
    return None
