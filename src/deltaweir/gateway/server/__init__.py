"""The gateway as processes: one, or several that answer at one address."""
