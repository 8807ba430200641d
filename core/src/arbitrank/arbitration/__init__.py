"""The life of a request: dispatch, check, merge, decide."""
