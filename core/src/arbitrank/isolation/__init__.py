"""Domains in processes of their own: whatever one does there, the others' answers go out in time."""
