"""What the bench "texture" measures in processes of their own."""
