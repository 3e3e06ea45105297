"""Streams that outlive their connection: kept, read by many, stopped, shared between gateways."""
