"""Operators on values that depend on the input, shared by the readers of ONNX files and of torch modules."""
