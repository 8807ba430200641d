"""arbitrank: which of many independently built domains should answer a request."""
