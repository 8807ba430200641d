"""Requests out of scope, by topic, in `negatives.jsonl`, which arbitrank reads without importing this package."""
