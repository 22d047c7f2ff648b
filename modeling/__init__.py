"""The meeting point with the user's model module: its contract, its batches, its centralised training, its export."""
