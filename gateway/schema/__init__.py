"""Declarative shapes: what a node of a document must look like, and the frozen value it becomes.

A shape is built once, at import, from the functions of ``gateway.schema.shapes``. Reading applies it to a node,
reports *every* problem with its code and position, and returns the value or ``INVALID``. The same shape renders
itself as JSON Schema, so that documentation and validation cannot drift apart.

    LIMIT = record(Limit, name=field(text(minimum=1)), capacity=field(integer(1, 100)), enforce=field(boolean(), True))
    problems = Problems("limits.yaml")
    root = parse_document(source, problems)
    limit = LIMIT.read(root, Reader(problems))

Invariants
    1. Reading never raises and never stops at the first problem.
    2. Results hold tuples, strings, numbers and dataclasses; only ``anything()`` returns dicts and lists.
    3. No message contains a value of the document (TP-24), only names of keys.
"""
