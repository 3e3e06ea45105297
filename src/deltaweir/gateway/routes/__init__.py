"""The routes that clients call."""
