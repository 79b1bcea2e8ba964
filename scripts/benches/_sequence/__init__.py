"""What the bench "sequence" measures with: shots, a judge that knows their motion, runs in processes of their own."""
