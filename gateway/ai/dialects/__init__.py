"""Wire formats of the providers, one file each: paths, credential headers, error bodies, usage fields."""
