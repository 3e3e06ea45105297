"""Who asks, and how much that key may use."""
