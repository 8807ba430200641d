"""Learning of a domain: features, losses, re-rankers and their training."""
