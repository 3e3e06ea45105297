"""What those who run a gateway see of it, read at most once a second."""
