"""Files that hold weights alone: `.npz`, `.mat` and `.safetensors`."""
