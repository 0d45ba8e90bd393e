"""The operators that ONNX files and torch modules share, on tensors that depend on the input, named as in ONNX."""
