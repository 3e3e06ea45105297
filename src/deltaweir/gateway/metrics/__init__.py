"""What all streams add up to, for whoever asks ``GET /metrics``."""
