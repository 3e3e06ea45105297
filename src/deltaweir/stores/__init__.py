"""Where what must outlive a stream is kept."""
