"""Signs that mean the same wherever a run is drawn."""

FULL, LIGHT, SWITCH = "█", "░", "◆"
"""In full fine-tuning; in the light phase; the change from one to the other."""

BARS = "▁▂▃▄▅▆▇█"
"""From nothing to all."""
