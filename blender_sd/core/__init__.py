"""Plain data: the request and its parts, samplers, families, prompt syntax, licences, errors. Standard library only."""
