"""Domains in worker processes: the others answer in time, whatever one of them does."""
