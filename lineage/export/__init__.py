"""What ML Metadata knows, in formats that other programs read: one pure function each, from a Scope to text; see `formats`."""
