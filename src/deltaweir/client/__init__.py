"""The surfaces that Python programs use."""
