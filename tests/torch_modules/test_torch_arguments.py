"""Every argument of a torch function is taken or refused by name, and no result has another type than the module's."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import sdpcert  # noqa: E402
from sdpcert.readers.errors import UnsupportedModel  # noqa: E402
from sdpcert.readers.operators.values import Dynamic  # noqa: E402
from sdpcert.torch_modules.activations import ACTIVATIONS  # noqa: E402
from sdpcert.torch_modules.arguments import ALIASES, FIRST, HARMLESS, parameters_of, taken  # noqa: E402
from sdpcert.torch_modules.arithmetic import ARITHMETIC  # noqa: E402
from sdpcert.torch_modules.choices import CHOOSING, ON_CHOICES  # noqa: E402
from sdpcert.torch_modules.moves import JOINS, MOVES  # noqa: E402
from sdpcert.torch_modules.operators import OPERATIONS  # noqa: E402
from sdpcert.torch_modules.sorting import SORTING  # noqa: E402
from sdpcert.torch_modules.trace import Trace  # noqa: E402
from sdpcert.torch_modules.windows import WINDOWS  # noqa: E402


class Forward(nn.Module):
    def __init__(self, function: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.function, self.linear = function, nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


def arguments_of(name: str) -> set[str]:
    """The names of all arguments that torch's functions and operators of this name have."""
    names = {
        argument.name
        for base in (name, name.strip("_"), f"_{name}")
        for schema in torch._C._jit_get_schemas_for_operator(f"aten::{base}")
        for argument in schema.arguments
    }
    for owner in (F, torch, torch.Tensor):
        try:
            names.update(inspect.signature(getattr(owner, name)).parameters)
        except (AttributeError, TypeError, ValueError):  # absent, or written in C
            continue
    return names


def undeclared() -> Iterator[tuple[str, str]]:
    for name, handler in OPERATIONS.items():
        known = {*parameters_of(handler), *HARMLESS, *FIRST, *ALIASES, "inplace", "args", "kwargs"}
        for argument in sorted(arguments_of(name) - known):
            yield name, argument


UNDECLARED = list(undeclared())


def test_torch_has_arguments_that_are_not_declared() -> None:
    assert ("max_pool2d", "return_indices") not in UNDECLARED
    assert {("sum", "out"), ("add", "out"), ("rrelu", "generator")} <= set(UNDECLARED)
    assert len({name for name, _ in UNDECLARED}) > 30


@pytest.mark.parametrize(("name", "argument"), UNDECLARED)
def test_an_argument_that_is_not_declared_is_refused_by_name(name: str, argument: str) -> None:
    with pytest.raises(UnsupportedModel, match=f"argument '{argument}'"):
        taken(OPERATIONS[name], (), {argument: torch.zeros(())})


@pytest.mark.parametrize("name", OPERATIONS)
def test_more_arguments_than_declared_are_refused(name: str) -> None:
    known = parameters_of(OPERATIONS[name])
    assert list(taken(OPERATIONS[name], tuple(range(len(known))), {})) == list(known)
    with pytest.raises(UnsupportedModel, match=r"not known here: 'an argument too many'"):
        taken(OPERATIONS[name], (*range(len(known)), "an argument too many"), {})
    with pytest.raises(UnsupportedModel, match="given twice"):
        taken(OPERATIONS[name], (0,), {known[0]: 1})


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_declared_argument_is_read(name: str) -> None:
    """A handler that declares what it does not use would drop it in silence."""
    handler = OPERATIONS[name]
    code = handler.__code__  # type: ignore[attr-defined]
    if code.co_flags & inspect.CO_VARKEYWORDS:  # of a table line, which hands on all it declares
        return
    read = {i.argval for i in dis.get_instructions(code) if i.opname.startswith("LOAD")}
    assert set(code.co_varnames[: code.co_argcount]) - read - {"trace"} == set()


@pytest.mark.parametrize("name", [n for n in OPERATIONS if not n.startswith("__")])
def test_declared_arguments_have_the_names_of_torch(name: str) -> None:
    # Pooling passes on whether indices are wanted; a handler may serve two names of one function.
    known = arguments_of(name) | arguments_of(name.replace("1d", "2d")) | {*FIRST, "return_indices"}
    known |= arguments_of("div") if name == "true_divide" else set()
    assert set(parameters_of(OPERATIONS[name])[1:]) <= known


def test_no_function_stands_in_two_tables() -> None:
    tables = (ACTIVATIONS, ARITHMETIC, WINDOWS, JOINS, SORTING, CHOOSING)
    assert len(OPERATIONS) == sum(map(len, tables)) > 100
    assert not MOVES & set(OPERATIONS)
    assert set(OPERATIONS) > ON_CHOICES


def test_what_a_table_line_makes_of_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    """A parameter is an attribute, has one value that is read, or is an input: every one of them arrives."""
    seen: list[Any] = []
    monkeypatch.setattr(Trace, "call", lambda self, *inputs, **attributes: seen.append((inputs, attributes)))
    trace, image = Trace((2, 4, 4), torch.float32, {}), Dynamic(0, (1, 2, 4, 4))
    OPERATIONS["conv2d"](trace, source=image, weight="w", padding="same", groups=2)
    OPERATIONS["avg_pool2d"](trace, source=image, kernel_size=2, padding=(1, 0), ceil_mode=True)
    OPERATIONS["max_pool2d"](trace, source=image, kernel_size=(2, 3), stride=[])
    assert seen == [
        (
            ("Conv", image, "w", None),
            {"strides": [1, 1], "auto_pad": "SAME_UPPER", "dilations": [1, 1], "group": 2},
        ),
        (
            ("AveragePool", image),
            {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [1, 0, 1, 0], "ceil_mode": 1, "count_include_pad": 1},
        ),
        (
            ("MaxPool", image),
            {"kernel_shape": [2, 3], "strides": [2, 3], "pads": [0] * 4, "dilations": [1, 1], "ceil_mode": 0},
        ),
    ]
    for name, given, why in (
        ("max_pool2d", {"kernel_size": 2, "return_indices": True}, "indices"),
        ("avg_pool2d", {"kernel_size": 2, "divisor_override": 3}, "divisor"),
        ("avg_pool1d", {"kernel_size": 2}, "keep the batch axis"),
        ("avg_pool2d", {"kernel_size": (2, 2, 2)}, "2 spatial axes"),
    ):
        with pytest.raises(UnsupportedModel, match=why):
            OPERATIONS[name](trace, source=image, **given)


def test_a_handler_that_takes_anything_is_none() -> None:
    with pytest.raises(TypeError, match="does not name"):
        parameters_of(lambda trace, source, *args: source)
    with pytest.raises(TypeError, match="does not name"):
        parameters_of(lambda trace, source, **kwargs: source)


def autocast(x: Tensor, layer: nn.Module, *arguments: Any, **named: Any) -> Tensor:
    with torch.autocast(*arguments, **named):
        return layer(x).float()


CASTS: dict[str, Callable[[Any, Tensor], Any]] = {
    "legacy type": lambda m, x: x.type(torch.LongTensor).type(torch.FloatTensor),
    "named type": lambda m, x: x.type("torch.HalfTensor").float(),
    "keyword": lambda m, x: x.type(dtype=torch.int32).float(),
    "after the device": lambda m, x: x.to("cpu", torch.float16).float(),
    "of another tensor": lambda m, x: x.to(torch.zeros(1, dtype=torch.int64)).float(),
    "type_as": lambda m, x: x.type_as(torch.zeros(1, dtype=torch.bfloat16)).float(),
    "eight bits": lambda m, x: x.to(torch.float8_e4m3fn).float(),
    "half": lambda m, x: x.half().float(),
    "truth": lambda m, x: x.bool().float(),
    "sum": lambda m, x: x.sum(1, keepdim=True, dtype=torch.int64).to(x.dtype),
    "sum in half": lambda m, x: torch.sum(x, 1, True, dtype=torch.float16).float(),
    "mean": lambda m, x: torch.mean(x, dim=1, keepdim=True, dtype=torch.bfloat16).float(),
    "half weights": lambda m, x: F.linear(x.bfloat16(), m.linear.weight.bfloat16()).float(),
    "rounded quotient": lambda m, x: torch.div(x, 0.25, rounding_mode="floor"),
    "out": lambda m, x: torch.add(x, x, out=torch.zeros_like(x)),
    "autocast": lambda m, x: autocast(x, m.linear, "cpu"),
    "autocast to half": lambda m, x: autocast(x, m.linear, "cpu", dtype=torch.float16),
    "decorator": lambda m, x: torch.autocast("cpu", dtype=torch.bfloat16)(m.linear.forward)(x).float(),
    "autocast set": lambda m, x: (torch.set_autocast_enabled("cpu", True), m.linear(x).float())[1],
    "autocast elsewhere": lambda m, x: autocast(x, m.linear, "cuda", dtype=torch.float16),
    "default type": lambda m, x: (torch.set_default_dtype(torch.float16), m.linear(x) * torch.tensor(0.1))[1],
    "precision": lambda m, x: (torch.set_float32_matmul_precision("medium"), m.linear(x))[1],
}


def how_torch_computes() -> tuple[Any, ...]:
    return (
        torch.get_default_dtype(),
        torch.get_float32_matmul_precision(),
        torch.is_autocast_enabled("cpu"),
        torch.get_autocast_dtype("cpu"),
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASTS)
def test_what_rounds_is_refused_by_name_and_put_back(name: str) -> None:
    before = how_torch_computes()
    with pytest.raises(UnsupportedModel, match=r"cast|rounding|autocast|how torch computes|writes into") as caught:
        sdpcert.from_torch(Forward(CASTS[name]), (4,))
    assert "please report" not in str(caught.value)
    assert how_torch_computes() == before


class Mixed(nn.Module):
    """A scale in half precision before weights in single precision."""

    def __init__(self, last: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.scale, self.linear, self.last = nn.Parameter(torch.ones(4).half()), nn.Linear(4, 4), last

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.linear((self.scale * x).float()))


def test_a_cast_to_the_type_of_the_input_rounds_where_weights_are_wider() -> None:
    assert sdpcert.from_torch(Mixed(torch.relu), (4,)).neurons == 4
    with pytest.raises(UnsupportedModel, match=r"a cast from torch.float32 to torch.float16 rounds"):
        sdpcert.from_torch(Mixed(lambda x: x.half()), (4,))


@pytest.mark.parametrize("name", ["full_like", "type_as", "new_full", "zeros_like"])
def test_constants_made_of_data_or_of_choices_are_none(name: str) -> None:
    constant = torch.ones(4)
    functions: dict[str, Callable[[Any, Tensor], Any]] = {
        "full_like": lambda m, x: x + torch.full_like(constant, x.sum()),
        "new_full": lambda m, x: x + constant.new_full((4,), x.sum()),
        "zeros_like": lambda m, x: x + torch.zeros_like(x > 0),
        "type_as": lambda m, x: x + (x > 0).type_as(x),
    }
    with pytest.raises(UnsupportedModel, match=r"computed from the network's input|jumps|_local_scalar_dense"):
        sdpcert.from_torch(Forward(functions[name]), (4,))


EXACT: dict[str, Callable[[Any, Tensor], Any]] = {
    "to its own type": lambda m, x: x.type(x.dtype),
    "to double and back": lambda m, x: x.double().type(torch.FloatTensor),
    "its type is told": lambda m, x: 2 * x if x.double().dtype == torch.float64 else x,
    "a wider sum": lambda m, x: x.sum(1, keepdim=True, dtype=torch.float64),
    "names of NumPy": lambda m, x: torch.sum(input=x, axis=1, keepdims=True),
    "matrices by name": lambda m, x: torch.addmm(input=m.linear.bias, mat1=x, mat2=m.linear.weight, alpha=0.5),
    "choices by name": lambda m, x: torch.where(condition=torch.arange(4) > 1, input=x, other=2 * x),
    "a method of choice": lambda m, x: x.where(torch.arange(4) > 1, 2 * x),
    "in place": lambda m, x: F.leaky_relu(2 * x, 0.2, inplace=True),
    "memory": lambda m, x: x.contiguous(memory_format=torch.contiguous_format).to("cpu", non_blocking=True, copy=True),
    "a constant's type": lambda m, x: x + torch.ones(4).double().type_as(x) + torch.ones(4).half().to(x),
    "without autocast": lambda m, x: autocast(x, m.linear, "cpu", enabled=False),
    "nor elsewhere": lambda m, x: autocast(x, m.linear, "cuda", enabled=False),
}


@pytest.mark.parametrize("name", EXACT)
def test_what_does_not_round_is_read(name: str) -> None:
    assert sdpcert.certify(sdpcert.from_torch(Forward(EXACT[name]), (4,)), method="product").status == "proved"


def test_from_torch_inside_autocast_is_refused() -> None:
    with torch.autocast("cpu"), pytest.raises(UnsupportedModel, match=r"autocast on cpu.*bfloat16"):
        sdpcert.from_torch(nn.Linear(4, 4), (4,))
    assert not torch.is_autocast_enabled("cpu")


def test_a_result_of_another_shape_than_torchs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPERATIONS, "relu", lambda trace, source: trace.builder.rearrange(source, lambda x: x[:, :2]))
    with pytest.raises(UnsupportedModel, match=r"relu cannot.*shape \(1, 2\), torch's has \(1, 4\)"):
        sdpcert.from_torch(nn.ReLU(), (4,))
