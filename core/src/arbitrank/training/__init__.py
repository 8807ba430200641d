"""Training of many domains side by side: each a task in a process of its own, with an outcome of its own."""
