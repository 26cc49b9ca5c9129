"""The management side: its own listener, its own API, the reload. Never on the path of a model request."""
