"""Files that hold weights alone: `.npz`, `.mat` and `.safetensors`."""

from sdpcert.readers.arrays.reader import read_arrays as read_arrays
