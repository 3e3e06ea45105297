"""Weights of the embedded model: what there is, what a file holds, and how to get it."""
