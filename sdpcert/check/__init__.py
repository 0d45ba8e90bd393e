"""The independent certificate checker: one program, which needs the standard library and for large networks NumPy."""

from . import checker as checker  # first: it says so if Python is too old for the other files
from .part import Part as Part
from .reading import Rejected as Rejected
from .reading import Unreadable as Unreadable
from .tree import Content as Content
from .tree import read_content as read_content
from .verdict import CheckResult as CheckResult
from .verdict import HasDocument as HasDocument
from .verdict import check as check
from .verdict import check_document as check_document
from .verdict import document_of as document_of
