"""Tuning of the decision settings: what the core learns of the domains together, and no domain alone."""
