"""Widgets that draw a run: status line, SRS table, switch timeline, charts, log."""
