"""The command line: arguments in, exit status out. No behaviour lives here that a library caller would miss."""
