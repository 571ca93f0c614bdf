"""What leaves PyTorch: files that other tools run."""
