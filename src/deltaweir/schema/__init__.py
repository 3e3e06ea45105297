"""The shapes of requests, chunks and replies; pure, and public as ``deltaweir.types``."""
