"""Every figure that the documentation quotes: `python -m benchmarks.NAME [--quick] [--json]` at the repository's root."""
