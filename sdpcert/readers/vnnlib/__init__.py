"""VNN-LIB files in: which inputs a question is about, and which outputs would be unsafe (`read_property`)."""

from sdpcert.readers.vnnlib.property import Case as Case
from sdpcert.readers.vnnlib.property import Constraint as Constraint
from sdpcert.readers.vnnlib.property import InputBox as InputBox
from sdpcert.readers.vnnlib.property import Property as Property
from sdpcert.readers.vnnlib.reader import read_property as read_property
