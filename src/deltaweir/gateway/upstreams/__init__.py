"""The providers behind the gateway: how they fare, whose turn it is, and where a model goes."""
