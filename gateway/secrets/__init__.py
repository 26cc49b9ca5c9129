"""Secret values: where they come from, how they are held, and what keeps them from leaving.

Threat model
    Protects   provider keys, vault secrets and key material against: logs, records, error bodies, events, traces of
               decisions, a copied store or backup without its key, core dumps of log processors.
    Does not   protect against someone who can read this process's memory or act as its user.

Rules
    1. A value appears only through ``Secret.reveal``; every other rendering is ``***``.
    2. The store holds ciphertext; only ``crypto`` knows the cipher.
    3. Sources are read-only and are asked again when they change, so that a rotation needs no reload.

Anything that adds a source, a place where a value is rendered, or a new reader of plaintext revises this page.
"""
