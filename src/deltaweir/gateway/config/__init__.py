"""The configuration: its tables, what they may hold, and what changes while the server runs."""
