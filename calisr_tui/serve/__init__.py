"""The terminal app in a browser: one app process a tab, behind a token.

The page is static and everything it loads comes from this server; the terminal in it is that of
textual-serve (xterm.js). What the page and an app say to each other goes through one websocket.
"""
