"""Networks and their maps as ONNX files, which run without torch."""
