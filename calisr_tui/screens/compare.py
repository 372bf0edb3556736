"""placeholder"""
from textual.screen import Screen
class CompareScreen(Screen): BINDINGS=[]
