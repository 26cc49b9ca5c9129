"""The composition root: the only place that builds things, owns tasks and knows every part.

parts       what lives as long as the process: pool, metrics, limiter state, secrets, log
build       settings → snapshot; everything is validated before anything is swapped (SV-20)
process     listeners, signals, drain, service manager (SV-20 to SV-23)
demo        the same with the built-in demo provider behind it
"""
