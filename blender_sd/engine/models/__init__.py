"""Load models from folders and files, and keep them within a budget of memory."""
