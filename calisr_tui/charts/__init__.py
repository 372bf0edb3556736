"""Pure drawing: figures in, text out. No widget, no screen, no Textual."""
