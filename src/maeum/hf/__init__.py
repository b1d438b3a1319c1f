"""The one place that calls transformers, accelerate and huggingface_hub.

Those packages change their names every year; when they do, only this package changes. Nothing here imports them
at module level, so ``import maeum`` stays quick and works without the extra.
"""
