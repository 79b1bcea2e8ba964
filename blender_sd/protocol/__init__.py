"""The ground floor: what an order, its events and its errors are, and how they travel. Standard library and numpy only."""
