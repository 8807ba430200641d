"""The open arbitration benchmark: published requests, one command, one table, and anybody's system in it."""
