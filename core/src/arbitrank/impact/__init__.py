"""Effect of a candidate version on all domains, and the gate before promotion."""
