"""The screens: setup, live, runs, compare, replay, help, and small dialogs."""
