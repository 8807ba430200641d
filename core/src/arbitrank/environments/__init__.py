"""Environments of domains: each package with its own core, Python and libraries, upgraded while a service answers."""
