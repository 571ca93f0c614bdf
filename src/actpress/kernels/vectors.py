"""Eight unsigned 32-bit integers side by side, for compiled loops.

    from actpress.kernels.vectors import gather, load, store

Inside of a compiled loop a *vector* is eight uint32, which wrap around, and a *mask* eight truth
values; `+ - * & | << >>` take two vectors, or a vector and an integer, `>= <` make masks. Both
live in registers, and LLVM chooses instructions for the processor that it compiles for: all of this
is in its own terms for vectors, so that it runs everywhere, on AVX2 and AVX-512 where they are. By
itself it vectorizes loops whose steps do not wait for each other; those of a coder do.

As everywhere in compiled loops, nobody checks an index.
"""

import operator
from typing import Any

import numba
from llvmlite import ir
from numba import extending, types
from numba.extending import models, overload, register_model

LANES = 8
"""Elements of a vector."""

intrinsic: Any = extending.intrinsic  # a loop calls it without the first argument

_WORD, _BYTE = ir.IntType(32), ir.IntType(8)
_VECTOR = ir.VectorType(_WORD, LANES)
_FLAGS = ir.VectorType(ir.IntType(1), LANES)
_LONG = ir.IntType(64)
_LONGS = ir.VectorType(_LONG, LANES)
_DOUBLES = ir.VectorType(ir.DoubleType(), LANES)
_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_BYTES = ir.VectorType(_BYTE, 2 * LANES)
_HALVES = ir.VectorType(ir.IntType(16), LANES)


class _Vector(types.Type):
    def __init__(self):
        super().__init__("Vector")


class _Mask(types.Type):
    def __init__(self):
        super().__init__("Mask")


_vector, _mask = _Vector(), _Mask()


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, _VECTOR)


@register_model(_Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, _FLAGS)


def _spread(builder, kind, value):
    """A vector, or eight times the same integer."""
    if isinstance(kind, _Vector):
        return value
    if kind.bitwidth > _WORD.width:
        value = builder.trunc(value, _WORD)
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    one = builder.insert_element(undefined, value, ir.Constant(_WORD, 0))
    return builder.shuffle_vector(one, undefined, ir.Constant(_VECTOR, [0] * LANES))


def _of_two(emit, result=_vector):
    """A function of two vectors, or of a vector and an integer of at least 32 bits."""

    @intrinsic
    def of_two(_typing, a, b):
        def generate(_context, builder, signature, arguments):
            both = zip(signature.args, arguments, strict=True)
            return emit(builder, *(_spread(builder, kind, value) for kind, value in both))

        return result(a, b), generate

    return of_two


def _install(sign, emit, result=_vector):
    function = _of_two(emit, result)

    @overload(sign)
    def of_vectors(a, b):
        if isinstance(a, _Vector) or isinstance(b, _Vector):
            return lambda a, b: function(a, b)  # noqa: PLW0108 - numba compiles what is returned
        return None


_install(operator.add, ir.IRBuilder.add)
_install(operator.sub, ir.IRBuilder.sub)
_install(operator.mul, ir.IRBuilder.mul)
_install(operator.and_, ir.IRBuilder.and_)
_install(operator.or_, ir.IRBuilder.or_)
_install(operator.lshift, ir.IRBuilder.shl)
_install(operator.rshift, ir.IRBuilder.lshr)
_install(operator.ge, lambda builder, a, b: builder.icmp_unsigned(">=", a, b), _mask)
_install(operator.lt, lambda builder, a, b: builder.icmp_unsigned("<", a, b), _mask)

largest = _of_two(lambda builder, a, b: builder.select(builder.icmp_unsigned(">", a, b), a, b))


def _signed(sign):
    def emit(builder, a, b):
        return builder.select(builder.icmp_signed(sign, a, b), a, b)

    return emit


signed_min, signed_max = _of_two(_signed("<")), _of_two(_signed(">"))


@numba.njit(inline="always")
def clamp(vector, low, high):
    """As signed numbers."""
    return signed_min(signed_max(vector, low), high)


@intrinsic
def both(_typing, a, b):
    """Where two masks hold."""

    def generate(_context, builder, _signature, arguments):
        return builder.and_(*arguments)

    return _mask(a, b), generate


@intrinsic
def bits_of(_typing, mask):
    """A mask as an integer, uint64; bit i is element i."""

    def generate(_context, builder, _signature, arguments):
        return builder.zext(builder.bitcast(arguments[0], _BYTE), ir.IntType(64))

    return types.uint64(mask), generate


@intrinsic
def select(_typing, mask, a, b):
    """Elements of a where the mask holds, of b elsewhere."""

    def generate(_context, builder, _signature, arguments):
        return builder.select(*arguments)

    return _vector(mask, a, b), generate


@intrinsic
def everywhere(_typing, integer):
    """Eight times the same integer."""

    def generate(_context, builder, signature, arguments):
        return _spread(builder, signature.args[0], arguments[0])

    return _vector(integer), generate


@intrinsic
def quotient(_typing, a, b):
    """Whole part of a / b; anything where b is zero.

    Exact: (a + 1/2) / b is half of 1 / b away from whole numbers at least, float64 rounds it by
    2^-20 of 1 / b at most. The reciprocal of b does not wait for a.
    """

    def generate(_context, builder, _signature, arguments):
        dividend, divisor = (builder.uitofp(value, _DOUBLES) for value in arguments)
        inverse = builder.fdiv(ir.Constant(_DOUBLES, [1.0] * LANES), divisor)
        middle = builder.fadd(dividend, ir.Constant(_DOUBLES, [0.5] * LANES))
        return builder.fptoui(builder.fmul(middle, inverse), _VECTOR)

    return _vector(a, b), generate


@intrinsic
def whole_numbers(_typing, vector):
    """What eight float32 hold, given by their bits, as signed integers.

    What is no number, or has no integer of 32 bits, becomes the smallest integer.
    """

    def generate(_context, builder, _signature, arguments):
        floats = builder.bitcast(arguments[0], _FLOATS)
        bound = ir.Constant(_FLOATS, [2.0**31] * LANES)
        below = builder.fcmp_ordered("<", floats, bound)
        above = builder.fcmp_ordered(">", floats, ir.Constant(_FLOATS, [-(2.0**31)] * LANES))
        inside = builder.and_(below, above)
        zeros = ir.Constant(_FLOATS, [0.0] * LANES)
        numbers = builder.fptosi(builder.select(inside, floats, zeros), _VECTOR)
        return builder.select(inside, numbers, ir.Constant(_VECTOR, [-(1 << 31)] * LANES))

    return _vector(vector), generate


@intrinsic
def as_floats(_typing, vector):
    """The bits of eight float32 with the values of signed integers."""

    def generate(_context, builder, _signature, arguments):
        return builder.bitcast(builder.sitofp(arguments[0], _FLOATS), _VECTOR)

    return _vector(vector), generate


def _elements(context, builder, kind, array, at):
    """Where eight neighbours in an array begin, as a pointer to such a vector."""
    element = context.get_data_type(kind.dtype)
    pointer = builder.gep(context.make_array(kind)(context, builder, array).data, [at])
    return builder.bitcast(pointer, ir.VectorType(element, LANES).as_pointer()), element


@intrinsic
def load(_typing, array, at):
    """The eight elements from `at` on, of 8, 16 or 32 bits."""

    def generate(context, builder, signature, arguments):
        pointer, element = _elements(context, builder, signature.args[0], *arguments)
        value = builder.load(pointer, align=element.width // 8)
        return value if element.width == _WORD.width else builder.zext(value, _VECTOR)

    return _vector(array, at), generate


@intrinsic
def store(_typing, array, at, vector):
    """Write the low bits of eight elements from `at` on."""

    def generate(context, builder, signature, arguments):
        pointer, element = _elements(context, builder, signature.args[0], *arguments[:2])
        value = arguments[2]
        if element.width < _WORD.width:
            value = builder.trunc(value, ir.VectorType(element, LANES))
        builder.store(value, pointer, align=element.width // 8)
        return context.get_dummy_value()

    return types.none(array, at, vector), generate


@intrinsic
def gather(_typing, array, indices):
    """array[indices[i]] for every i; elements of 8, 16 or 32 bits."""

    def generate(context, builder, signature, arguments):
        kind = signature.args[0]
        data = context.make_array(kind)(context, builder, arguments[0]).data
        element = context.get_data_type(kind.dtype)
        gathered = ir.Constant(_VECTOR, ir.Undefined)
        for lane in range(LANES):
            number = ir.Constant(_WORD, lane)
            index = builder.zext(builder.extract_element(arguments[1], number), ir.IntType(64))
            value = builder.load(builder.gep(data, [index]))
            if element.width < _WORD.width:
                value = builder.zext(value, _WORD)
            gathered = builder.insert_element(gathered, value, number)
        return gathered

    return _vector(array, indices), generate


@intrinsic
def gather_together(_typing, array, indices):
    """The same of elements of 32 bits by one instruction, where the processor has a fast one.

    Many can be under way at a time, but each takes longer than eight loads: this is for loops that
    know their indices long before they need the elements.
    """

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        pointer = builder.ptrtoint(data, _LONG)
        first = ir.Constant(_LONGS, ir.Undefined)
        first = builder.insert_element(first, pointer, ir.Constant(_WORD, 0))
        first = builder.shuffle_vector(first, first, ir.Constant(_VECTOR, [0] * LANES))
        bytes_before = builder.shl(
            builder.zext(arguments[1], _LONGS), ir.Constant(_LONGS, [2] * LANES)
        )
        pointers = ir.VectorType(_WORD.as_pointer(), LANES)
        kind = ir.FunctionType(_VECTOR, [pointers, _WORD, _FLAGS, _VECTOR])
        name = "llvm.masked.gather.v8i32.v8p0i32"
        gathered = builder.module.declare_intrinsic(name, fnty=kind)
        at = builder.inttoptr(builder.add(first, bytes_before), pointers)
        alignment, all_of_them = ir.Constant(_WORD, 4), ir.Constant(_FLAGS, [1] * LANES)
        undefined = ir.Constant(_VECTOR, ir.Undefined)
        return builder.call(gathered, [at, alignment, all_of_them, undefined])

    return _vector(array, indices), generate


def _moved(context, builder, kind, rows, row, values):
    """Sixteen bytes in the places that row `row` of an array of such rows says."""
    size = ir.Constant(row.type, 2 * LANES)
    pointer, _ = _elements(context, builder, kind, rows, builder.mul(row, size))
    places = builder.load(builder.bitcast(pointer, _BYTES.as_pointer()), align=1)
    moved = ir.Constant(_BYTES, ir.Undefined)
    for byte in range(2 * LANES):  # LLVM knows this for one instruction
        number = ir.Constant(_WORD, byte)
        place = builder.zext(builder.extract_element(places, number), _WORD)
        moved = builder.insert_element(moved, builder.extract_element(values, place), number)
    return moved


@intrinsic
def load_where(_typing, words, at, rows, row):
    """Some of the eight 16-bit words from `at` on, in the places that a row of bytes says.

    Bytes 2i and 2i + 1 of row `row` say which two of the sixteen loaded bytes make element i.
    """

    def generate(context, builder, signature, arguments):
        words, at, rows, row = arguments
        pointer, _ = _elements(context, builder, signature.args[0], words, at)
        loaded = builder.load(builder.bitcast(pointer, _BYTES.as_pointer()), align=2)
        moved = _moved(context, builder, signature.args[2], rows, row, loaded)
        return builder.zext(builder.bitcast(moved, _HALVES), _VECTOR)

    return _vector(words, at, rows, row), generate


@intrinsic
def store_where(_typing, words, at, vector, rows, row):
    """Write the low halves of some elements from `at` on, eight words, as a row of bytes says.

    Bytes 2i and 2i + 1 of row `row` say which two bytes of the halves make word at + i.
    """

    def generate(context, builder, signature, arguments):
        words, at, vector, rows, row = arguments
        pointer, _ = _elements(context, builder, signature.args[0], words, at)
        halves = builder.bitcast(builder.trunc(vector, _HALVES), _BYTES)
        moved = _moved(context, builder, signature.args[3], rows, row, halves)
        builder.store(moved, builder.bitcast(pointer, _BYTES.as_pointer()), align=2)
        return context.get_dummy_value()

    return types.none(words, at, vector, rows, row), generate


def _transposed(builder, vectors):
    """Eight vectors; element j of the i-th becomes element i of the j-th.

    Interleaving the first half with the second, three times.
    """
    low = ir.Constant(_VECTOR, [lane // 2 + LANES * (lane % 2) for lane in range(LANES)])
    high = ir.Constant(_VECTOR, [(LANES + lane) // 2 + LANES * (lane % 2) for lane in range(LANES)])
    for _ in range(3):
        pairs = list(zip(vectors[: LANES // 2], vectors[LANES // 2 :], strict=True))
        vectors = [builder.shuffle_vector(*pair, order) for pair in pairs for order in (low, high)]
    return vectors


def _pointers(context, builder, kind, array, begins):
    """To eight elements of 32 bits at each of eight places of an array."""
    data = context.make_array(kind)(context, builder, array).data
    for lane in range(LANES):
        begin = builder.extract_element(begins, ir.Constant(_WORD, lane))
        pointer = builder.gep(data, [builder.zext(begin, ir.IntType(64))])
        yield builder.bitcast(pointer, _VECTOR.as_pointer())


@intrinsic
def interleave(_typing, rows, begins, lines, at):
    """Write element j of row i to lines[at + 8 j + i], for eight of every row.

    Row i is what begins at rows[begins[i]]; both arrays have elements of 32 bits.
    """

    def generate(context, builder, signature, arguments):
        rows, begins, lines, at = arguments
        pointers = _pointers(context, builder, signature.args[0], rows, begins)
        vectors = [builder.load(pointer, align=4) for pointer in pointers]
        pointer, _ = _elements(context, builder, signature.args[2], lines, at)
        for lane, vector in enumerate(_transposed(builder, vectors)):
            builder.store(vector, builder.gep(pointer, [ir.Constant(_WORD, lane)]), align=4)
        return context.get_dummy_value()

    return types.none(rows, begins, lines, at), generate


@intrinsic
def separate(_typing, lines, at, rows, begins):
    """The inverse of `interleave`."""

    def generate(context, builder, signature, arguments):
        lines, at, rows, begins = arguments
        pointer, _ = _elements(context, builder, signature.args[0], lines, at)
        numbers = [ir.Constant(_WORD, lane) for lane in range(LANES)]
        vectors = [builder.load(builder.gep(pointer, [number]), align=4) for number in numbers]
        targets = _pointers(context, builder, signature.args[2], rows, begins)
        for vector, target in zip(_transposed(builder, vectors), targets, strict=True):
            builder.store(vector, target, align=4)
        return context.get_dummy_value()

    return types.none(lines, at, rows, begins), generate
