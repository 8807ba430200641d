"""Fitting of calibration maps and their selection: a map is used only where it helps.

A map is chosen by its negative log-likelihood on parts of the data that it was not fitted to. Temperature and affine
maps work on log-odds (Platt 1999; Guo et al. 2017, arXiv 1706.04599) and are regularised towards the identity, the more
the fewer the data; isotonic regression (Zadrozny & Elkan 2002) is tried where there are many.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.isotonic import IsotonicRegression

from arbitrank.learn.calibration import IDENTITY, Affine, Calibrator, Isotonic
from arbitrank.probability import Floats, fit_logistic, log_loss, log_odds

_FOLDS = 5
_FEW = 50  # outcomes of the scarcer kind below which held-out ones can't be trusted to choose a map
LEAST = 2 * _FEW
"""Requests below which no map is tried."""

_MANY = 5_000  # outcomes from which on isotonic regression is tried
_SHRINK = 20.0  # the prior of the identity counts as much as so many outcomes
_LEAST = 1e-3  # a falling map would rank a worse reading above a better one


def choose(p: Floats, y: Floats, counts: Floats | None = None, *, seed: int = 0) -> Calibrator:
    """The calibrator with the lowest NLL on held-out fifths of the outcomes; the identity where none beats it.

    `p` are claimed probabilities and `y` outcomes 0 or 1, of shape (n,); `counts` says how many outcomes each stands
    for, where traffic was sampled. A map has to win by more than the standard error of its gain, and none is tried for
    where either outcome was seen less than 50 times.
    """
    return chosen(p, y, counts, seed=seed)[0]


def chosen(p: Floats, y: Floats, counts: Floats | None = None, *, seed: int = 0) -> tuple[Calibrator, Floats]:
    """The calibrator that `choose` gives, and the losses of the outcomes under it where they were held out."""
    before = log_loss(p, y)
    if min(np.count_nonzero(y), np.count_nonzero(y == 0.0)) < _FEW:
        return IDENTITY, before
    # The scale of the counts is arbitrary, and the data are as many as were seen.
    weight = np.ones_like(p) if counts is None else counts / counts.mean()
    fitters: list[Callable[[Floats, Floats, Floats], Calibrator]] = [fit_temperature, fit_affine]
    if len(p) >= _MANY:
        fitters.append(fit_isotonic)
    fold = np.random.default_rng(seed).permutation(len(p)) % _FOLDS
    best: Calibrator = IDENTITY
    best_gain, losses = 0.0, before
    for fitter in fitters:
        after = np.empty_like(p)
        for f in range(_FOLDS):
            held = fold == f
            after[held] = log_loss(fitter(p[~held], y[~held], weight[~held])(p[held]), y[held])
        gain = before - after
        mean = float(np.average(gain, weights=weight))
        error = float(np.sqrt(np.mean((weight * (gain - mean)) ** 2) / len(p)))
        if mean > max(best_gain, error):
            best, best_gain, losses = fitter(p, y, weight), mean, after
    return best, losses


def fit_temperature(p: Floats, y: Floats, weight: Floats | None = None) -> Affine:
    """The slope of the log-odds with the greatest likelihood, regularised towards 1."""
    slope = fit_logistic(log_odds(p)[:, None], y, np.ones(1), _SHRINK, weight)[0]
    return Affine(max(float(slope), _LEAST))


def fit_affine(p: Floats, y: Floats, weight: Floats | None = None) -> Affine:
    """Slope and shift of the log-odds with the greatest likelihood, regularised towards 1 and 0."""
    z = log_odds(p)
    slope, shift = fit_logistic(np.stack([z, np.ones_like(z)], axis=1), y, np.array([1.0, 0.0]), _SHRINK, weight)
    return Affine(max(float(slope), _LEAST), float(shift))


def fit_isotonic(p: Floats, y: Floats, weight: Floats | None = None) -> Isotonic:
    """The rising step function of least squares; its ends are kept off 0 and 1 by the rule of succession."""
    model = IsotonicRegression(y_min=1.0 / (len(p) + 2.0), y_max=1.0 - 1.0 / (len(p) + 2.0), out_of_bounds="clip")
    model.fit(p, y, sample_weight=weight)
    return Isotonic(tuple(map(float, model.X_thresholds_)), tuple(map(float, model.y_thresholds_)))
