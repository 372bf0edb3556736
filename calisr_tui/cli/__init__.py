"""The typer commands, one file a family. None imports torch or textual before it needs it."""
