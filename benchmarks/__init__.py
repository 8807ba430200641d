"""Every figure that the docs quote: `python -m benchmarks.NAME [--quick] [--json]` at the repository's root."""
