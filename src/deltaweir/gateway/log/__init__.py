"""What the log says: of streams, refusals and upstreams; never content, never a key."""
