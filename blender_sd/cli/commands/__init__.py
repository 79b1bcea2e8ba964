"""One module for each command: HELP, `add_arguments(parser)` and `run(asked)`, which returns the exit code."""
