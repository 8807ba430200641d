"""The log of answers and of what became of them: written by every process that answers, read by all that learns."""
