"""The clients' half of a round: who takes part, what each does, what comes of it; the same for every executor."""
