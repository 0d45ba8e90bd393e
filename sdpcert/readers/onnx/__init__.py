"""ONNX files."""

from sdpcert.readers.onnx.reader import read_onnx as read_onnx
