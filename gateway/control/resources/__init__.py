"""One file per REST resource: its shapes, its handlers, its routes. Rows and rules in between are in ``control``."""
