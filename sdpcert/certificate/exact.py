"""The names of `sdpcert.arithmetic.exact`, under the path that they had before networks needed them too."""

from sdpcert.arithmetic.exact import Total as Total
from sdpcert.arithmetic.exact import add_product as add_product
from sdpcert.arithmetic.exact import round_up as round_up
from sdpcert.arithmetic.exact import slices as slices
from sdpcert.arithmetic.exact import square_root_up as square_root_up
from sdpcert.arithmetic.exact import two_product as two_product
