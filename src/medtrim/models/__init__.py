"""Dual encoders: transformers' `VisionTextDualEncoderModel` by preset, by name or from a folder."""

from medtrim.models.checkpoint import load_checkpoint, read_facts, save_checkpoint, write_bundle
from medtrim.models.config import PRESETS, ModelConfig, load_preset
from medtrim.models.dual_encoder import EncoderBundle, build_dual_encoder, check_bundle
from medtrim.models.encode import Encoding, encode_images, encode_texts, region_width
from medtrim.models.images import (
    ChannelStatistics,
    channel_statistics,
    input_size,
    make_image_processor,
    to_pixel_values,
)
from medtrim.models.tokenizer import train_wordpiece

__all__ = [
    "PRESETS",
    "ChannelStatistics",
    "EncoderBundle",
    "Encoding",
    "ModelConfig",
    "build_dual_encoder",
    "channel_statistics",
    "check_bundle",
    "encode_images",
    "encode_texts",
    "input_size",
    "load_checkpoint",
    "load_preset",
    "make_image_processor",
    "read_facts",
    "region_width",
    "save_checkpoint",
    "to_pixel_values",
    "train_wordpiece",
    "write_bundle",
]
