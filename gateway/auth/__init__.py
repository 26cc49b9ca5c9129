"""Who is asking: gateway keys, held as hashes only.

A key's text exists once, when it is made. The table maps hash to identity, so that a lookup costs the same for ten
keys as for a hundred thousand, and a copy of the store opens nothing.
"""
