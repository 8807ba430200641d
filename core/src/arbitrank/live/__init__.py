"""Following of the store while requests are answered: hot swap, canary, shadow, and their comparison."""
