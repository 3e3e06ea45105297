"""What goes over the wire: server-sent events and HTTP/1.1, without any I/O."""
