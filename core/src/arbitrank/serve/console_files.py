"""Files of the console: a fixed set, read once, so that no name in a call reaches another file."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from arbitrank.pages import TEMPLATES

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""Content security policy of the console: nothing inline, nothing from elsewhere, no frame around it."""

HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}
"""Headers of every file. A browser keeps it, and asks each time whether it is still the same."""

SHARED = ("style.css", "plots.css", "plots.js")
"""Files that reports of `evaluate` and `impact` contain as well."""

_FOLDER = Path(__file__).with_name("console")
_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


class ConsoleFile(NamedTuple):
    """A file of the console: its content, its media type, and the tag that changes with its content."""

    content: bytes
    media_type: str
    tag: str


@cache
def console_files() -> dict[str, ConsoleFile]:
    """The files of the console by name; `index.html` is its page."""
    paths = [*sorted(_FOLDER.iterdir()), *(TEMPLATES / name for name in SHARED)]
    return {path.name: _read(path) for path in paths if path.suffix in _TYPES}


def _read(path: Path) -> ConsoleFile:
    content = path.read_bytes()
    return ConsoleFile(content, _TYPES[path.suffix], f'"{sha256(content).hexdigest()[:16]}"')
