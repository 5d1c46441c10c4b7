"""Models of others as workloads: a Hugging Face folder or an ONNX file becomes a YAML and its weights."""
