"""What pydantic finds wrong, in words of JSON: whoever wrote a request or a file need not know Python."""

from collections.abc import Iterable
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

_WORDS: Final = {
    "tuple_type": "Input should be a valid array",
    "dict_type": "Input should be an object",
    "model_type": "Input should be an object",
}
"""By type of error, where pydantic speaks of Python unless it has parsed the JSON itself."""

_TYPES: Final = {
    "tuple_type": "array_type",
    "dict_type": "object_type",
    "model_type": "object_type",
    "bool_type": "boolean_type",
    "bool_parsing": "boolean_type",
    "int_type": "integer_type",
    "int_parsing": "integer_type",
    "int_parsing_size": "integer_type",
    "float_type": "number_type",
    "literal_error": "enum",
    "string_too_short": "too_short",
    "string_too_long": "too_long",
}
"""What a type of error is called, where pydantic calls it by a word of Python, or the same by several."""


def faults(errors: Iterable[ErrorDetails]) -> list[ErrorDetails]:
    """Return those of pydantic's errors that are true, their types and messages in words of JSON."""
    return [
        {**error, "type": _TYPES.get(error["type"], error["type"]), "msg": _words(error)}
        for error in errors
        if _is_true(error)
    ]


def said(error: ValidationError) -> str:
    """Return all that is wrong, and where, on one line."""
    return "; ".join(map(_placed, faults(error.errors(include_url=False))))


def _is_true(error: ErrorDetails) -> bool:
    """Return False for an array that is long enough but has items at fault, which pydantic does not count."""
    return error["type"] != "too_short" or len(error["input"]) < error["ctx"]["min_length"]


def _placed(fault: ErrorDetails) -> str:
    place = ".".join(map(str, fault["loc"]))
    return f"{place}: {fault['msg']}" if place else fault["msg"]


def _words(error: ErrorDetails) -> str:
    match error["type"]:
        case "too_short" | "string_too_short":
            least = error["ctx"]["min_length"]
            return "Input must not be empty" if least == 1 else f"Input should have at least {_counted(least, error)}"
        case "too_long" | "string_too_long":
            return f"Input should have at most {_counted(error['ctx']['max_length'], error)}"
        case kind:
            return _WORDS.get(kind, error["msg"].removeprefix("Value error, "))


def _counted(number: int, error: ErrorDetails) -> str:
    unit = "item" if isinstance(error["input"], list | tuple | dict) else "character"  # numbers are ids, too
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"
