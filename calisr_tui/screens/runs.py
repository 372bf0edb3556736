"""placeholder"""
from textual.screen import Screen
class RunsScreen(Screen): BINDINGS=[]
