"""Outcomes of answers: how each was drawn, and what users' reactions say of another version."""
