"""The live screen and its replay: one run, drawn from the table of panes."""
