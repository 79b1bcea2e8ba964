"""The public calls, one module per thing a script does, over one `runtime.Runtime`."""
