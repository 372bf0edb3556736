"""The event log: the only way from a run to whoever looks at it."""
