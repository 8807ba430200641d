"""Requests, corpora and hypotheses as JSON: decoding, checks, and what is reported of their faults."""
