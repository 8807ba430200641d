"""A process that follows the store while it answers: hot swap, shadow, canary, and what is counted of them."""
