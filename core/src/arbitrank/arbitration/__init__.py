"""The life of a request: select the domains, query them, merge their readings, sort, decide."""
