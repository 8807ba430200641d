"""How a domain learns: features, losses, re-rankers and their training."""
