"""The service: arbitrank over HTTP, with tokens, a policy, limits and metrics."""
