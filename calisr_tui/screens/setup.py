"""placeholder"""

from textual.screen import Screen


class SetupScreen(Screen):
    BINDINGS = []
