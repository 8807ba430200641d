"""Domains that run as services of their own, queried over HTTP beside all others."""
