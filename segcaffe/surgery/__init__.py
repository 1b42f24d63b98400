"""Nets rewritten for another purpose: `segawarify` puts the paper's masks around the convolutions of any net."""

from __future__ import annotations

from segcaffe.surgery.guide import Guide
from segcaffe.surgery.options import Crf, Masking, Setting
from segcaffe.surgery.result import SegAware
from segcaffe.surgery.segawarify import segawarify
from segcaffe.surgery.subject import Subject

__all__ = ["Crf", "Guide", "Masking", "SegAware", "Setting", "Subject", "segawarify"]
