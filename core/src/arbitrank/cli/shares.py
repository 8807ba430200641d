"""Numbers of the command line, a share or another one in a range."""

from __future__ import annotations

import math
from typing import Any

import click


class Share(click.FloatRange):
    """A number in a range; unlike click's own type, it refuses NaN, and names the share that a percentage is."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number; fails where it is outside the range."""
        text = str(value).strip()
        try:
            given = float(text.removesuffix("%").replace(",", "."))
        except ValueError:
            self.fail(f"{text!r} is no number in the range {self._describe_range()}.", param, ctx)
        percent = text.endswith("%") or (self.max == 1.0 and 2.0 <= given <= 100.0)
        if percent or "," in text:
            number = given / 100.0 if percent and self.max == 1.0 else given
            self.fail(f"{text} is not in the range {self._describe_range()}, expected {number:g}.", param, ctx)
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not in the range {self._describe_range()}.", param, ctx)
        return number
