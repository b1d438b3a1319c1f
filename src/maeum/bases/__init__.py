"""Pretrained encoders that come without a hub: ``maeum base NAME`` turns them into Hugging Face folders."""
