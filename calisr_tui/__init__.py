"""CaliSr's terminal app and command line: everything here only reads what the engine writes."""
