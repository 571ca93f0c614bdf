"""What leaves PyTorch: plain networks, and files that other tools run."""
