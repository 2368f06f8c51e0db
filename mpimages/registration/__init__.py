"""Motion correction: where each image lies against a reference, and images that are moved back."""
