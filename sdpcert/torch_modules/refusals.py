"""Why torch functions are refused, by name, with what to do instead."""

from __future__ import annotations

from sdpcert.readers.operators.linear import NORM

GENERAL = (
    "it has no exact form as an affine map or an elementwise slope-restricted function; "
    "certify what is before and what is after it as modules of their own"
)
_LOGITS = "it is not elementwise; return the logits and apply it outside"
_ATTENTION = (
    "attention has no global Lipschitz constant; on a region, bounds of its queries, keys and values would be needed"
)
_NORM = (
    "it divides by a norm of its input, so no slope is bounded near zero (on a region, a norm that stays away from "
    "zero would be needed); use batch normalisation, subtract the mean alone, or take a layer of sdpcert.layers"
)
_STEEP = "its slope is not bounded; on a region, an interval of its argument would be needed"
_DISTANCE = f"it takes a norm: {NORM}"
_RECURRENT = (
    "gates multiply values that depend on the input, so its slope is not bounded; on a region, bounds of every state "
    "would be needed"
)
_RANDOM = "it draws random numbers"
_JUMPS = "it jumps"
_SORT = "it sorts all entries at once; use torch.sort along an axis"

REASONS: dict[str, str] = {
    **dict.fromkeys(("softmax", "log_softmax", "softmin", "logsumexp", "gumbel_softmax"), _LOGITS),
    **dict.fromkeys(
        ("scaled_dot_product_attention", "multi_head_attention_forward", "_transformer_encoder_layer_fwd"), _ATTENTION
    ),
    **dict.fromkeys(
        (
            "layer_norm",
            "group_norm",
            "instance_norm",
            "rms_norm",
            "local_response_norm",
            "normalize",
            "native_layer_norm",
        ),
        _NORM,
    ),
    **dict.fromkeys(
        ("square", "var", "exp", "expm1", "log", "log1p", "sqrt", "rsqrt", "reciprocal", "sinh", "cosh", "tan"), _STEEP
    ),
    **dict.fromkeys(("norm", "vector_norm", "linalg_vector_norm", "hypot", "cdist", "dist", "std"), _DISTANCE),
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "glu", "bilinear"), _RECURRENT),
    **dict.fromkeys(("bernoulli", "rand_like", "randn_like", "randint_like", "multinomial", "normal"), _RANDOM),
    **dict.fromkeys(
        ("floor", "ceil", "round", "trunc", "frac", "fmod", "remainder", "hardshrink", "floor_divide"), _JUMPS
    ),
    **dict.fromkeys(("msort", "nanmedian"), _SORT),
    "einsum": "write it with torch.matmul or torch.nn.functional.linear",
    "bmm": "both operands have a batch axis; use torch.matmul with a weight",
    "__setitem__": "it writes into a tensor; build the result with torch.cat or torch.stack",
    **dict.fromkeys(("conv3d", "conv_transpose3d"), "only one and two spatial axes are read"),
    "embedding": "its input are integers",
}

_COMPARE = "use torch.relu, torch.maximum or torch.clamp"
_COMPARISONS = """
    eq ne not_equal __eq__ __ne__ isnan isinf isfinite isclose logical_and logical_or logical_xor bitwise_and bitwise_or
    __and__ __or__ __xor__ any all heaviside signbit
"""
#: Functions whose result jumps between values, and what to do instead: the result is refused only if it is used.
CHOICES: dict[str, str] = {
    **dict.fromkeys(_COMPARISONS.split(), _COMPARE),
    **dict.fromkeys(("argmax", "argmin", "argsort", "bucketize", "searchsorted"), "return what it is computed from"),
}
_NUMBERS = """
    __bool__ __float__ __int__ __index__ __complex__ __array__ __contains__ item tolist numpy is_nonzero allclose equal
    nonzero count_nonzero unique unique_consecutive masked_select
"""
#: Functions that hand out numbers of the data.
VALUES = frozenset(_NUMBERS.split())
