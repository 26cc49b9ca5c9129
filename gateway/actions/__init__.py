"""The action types of a policy, one file each.

An action file holds exactly three things: a frozen configuration, its declared shape, and ``compile``, which turns
the configuration into a callable. Actions never import each other; what two of them need lives a layer below.
The table of all of them is explicit: nothing registers itself by being imported.
"""
