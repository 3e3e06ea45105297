"""Sockets, TLS, proxies and pools: the only place that opens connections."""
