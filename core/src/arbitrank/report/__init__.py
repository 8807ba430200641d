"""Quality report of one domain alone: its readings, its probabilities, its claims against others, and its data."""
