"""Artifacts, their versions, and the aliases that say which of them serves."""
