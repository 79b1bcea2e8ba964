"""What the bench "sequence" measures with: shots, a judge that knows their motion, and runs in processes of their own."""
