"""HTTP service: authentication, policy, limits, metrics and workers around a live arbitrator."""
