"""Requests that are passed to an upstream as they are."""
