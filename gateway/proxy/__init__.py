"""The downstream side: listener, request path, answers. The only writer to a client's connection."""
