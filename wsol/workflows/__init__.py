"""The public functions that do whole jobs, one file each: what a command does, callable."""
