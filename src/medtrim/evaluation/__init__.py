"""What an aligned model is worth: retrieval, classification, and intervals for both."""
