"""Expressions: the Common Expression Language of policies, compiled to Python functions at load.

Pure: no I/O, no asyncio. A request calls ``program.evaluate(scope)`` and nothing else of this package.
"""
