"""LightGBM, imported when a boosted model needs it, and its trees bound to its C function for one row.

That function is the fastest way for a few rows.
"""

from __future__ import annotations

import ctypes
import weakref
from typing import Any

import numpy as np

from arbitrank.errors import ArbitrankError
from arbitrank.probability import Floats

_DOUBLES, _RAW = 1, 1  # LightGBM's C_API_DTYPE_FLOAT64 and C_API_PREDICT_RAW_SCORE
_ROW = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
"""Holds the interpreter's lock: a row takes microseconds, and no other thread may use its buffers meanwhile."""

FEW = 64
"""Rows up to which row by row is faster."""


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


class Trees:
    """The raw scores of a booster's trees, in one thread: called with rows, float64 of shape (n, features)."""

    def __init__(self, booster: Any) -> None:
        library = lightgbm().basic._LIB
        self._booster = booster
        self._width = booster.num_feature()
        config = ctypes.c_void_p()
        status = library.LGBM_BoosterPredictForMatSingleRowFastInit(
            *(booster._handle, _RAW, 0, -1, _DOUBLES, self._width, b"num_threads=1", ctypes.byref(config))
        )
        if status or not config.value:
            raise lightgbm().basic.LightGBMError(library.LGBM_GetLastError().decode("utf-8", "replace"))
        # Not at exit, where LightGBM may already be unloaded.
        weakref.finalize(self, library.LGBM_FastConfigFree, config).atexit = False
        self._config = config.value
        self._row = _ROW(("LGBM_BoosterPredictForMatSingleRowFast", library))
        self._length = ctypes.c_int64()
        self._length_at = ctypes.addressof(self._length)

    def contributions(self, rows: Floats) -> Floats:
        """Shapley values of each feature for each row's sum, and the mean of the training rows: shape (n, F + 1)."""
        found: Floats = self._booster.predict(rows, pred_contrib=True, num_threads=1)
        return found

    def __call__(self, rows: Floats) -> Floats:
        """The trees' sum for each row, shape (n,)."""
        n = len(rows)
        if n > FEW:
            scores: Floats = self._booster.predict(rows, raw_score=True, num_threads=1)
            return scores
        if rows.shape[1] != self._width or rows.dtype != np.float64 or not rows.flags.c_contiguous:
            raise ValueError(f"rows of shape {rows.shape} and {rows.dtype}, expected float64 of width {self._width}")
        found = np.empty(n)
        row, config, length = self._row, self._config, self._length_at
        # Faster than `ctypes.data`.
        at, out = rows.__array_interface__["data"][0], found.__array_interface__["data"][0]
        step = 8 * self._width
        for i in range(n):
            if row(config, at + i * step, length, out + 8 * i):
                raise lightgbm().basic.LightGBMError(f"the trees refused row {i}")
        return found
