"""What happened: one record per request, one per event of the process's life, and counters for a scraper.

Decisions
    Records go to standard error, through one bytearray that a timer flushes: a write per request would cost a system
    call each, and a list of encoded records doubled the resident memory when measured.
    A filter masks every known secret as the last step before bytes leave, whatever produced the line.
"""
