"""The subcommands of `python -m training`, one file each."""
