"""The dual encoder, its presets, tokenizer and image processor, and checkpoints that plain transformers loads."""
