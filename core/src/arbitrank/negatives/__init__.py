"""Shared negatives: requests that are none of a domain's, from installed packages that hold data alone."""
