"""Every figure that the documentation quotes: `python -m benchmarks.NAME [--quick] [--json]` from the repository's root."""
