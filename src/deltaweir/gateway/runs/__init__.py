"""One stream at work: its source, its weir, its clocks, and the way of each chunk to a reader."""
