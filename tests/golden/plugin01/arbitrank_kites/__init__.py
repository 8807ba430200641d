"""A plugin as it was written for arbitrank 0.1; its imports and its contract must keep working."""
