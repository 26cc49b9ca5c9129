"""Expressions: text to tree to Python closure. Pure: no I/O, no clock, no event loop.

Decision: expressions are compiled once, when a policy is loaded, to closures or generated functions; nothing is
interpreted per request. Everything that can be known then is reported then: names, arity, types, and which variables
an expression reads, so that a body is buffered only if somebody looks at it.
"""
