"""GGUF files as they lie, with nothing but the standard library: metadata stays bytes, tensors are copied."""
import struct

_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY, _U32 = 8, 9, 4
F32 = 0
# Elements and bytes of a block, by type: those that the scripts here meet.
BLOCKS = {F32: (1, 4), 1: (1, 2), 3: (32, 20), 8: (32, 34), 30: (1, 2)}


class Tensor:
    """Dimensions as the file has them: innermost first."""

    def __init__(self, name, dims, dtype, data):
        self.name, self.dims, self.dtype, self.data = name, dims, dtype, data


class GgufFile:
    """metadata: name to (type, bytes of the value), in the file's order."""

    def __init__(self, metadata, tensors):
        self.metadata, self.tensors = metadata, tensors

    @classmethod
    def read(cls, path):
        with open(path, "rb") as file:
            blob = memoryview(file.read())
        at = 0

        def number(form):
            nonlocal at
            value, = struct.unpack_from("<" + form, blob, at)
            at += struct.calcsize(form)
            return value

        def text():
            nonlocal at
            n = number("Q")
            at += n
            return bytes(blob[at - n:at]).decode()

        def skip(kind):
            nonlocal at
            if kind == _STRING:
                text()
            elif kind == _ARRAY:
                inner, n = number("I"), number("Q")
                if inner in _SIZES:
                    at += _SIZES[inner] * n
                else:
                    for _ in range(n):
                        skip(inner)
            else:
                at += _SIZES[kind]

        assert bytes(blob[:4]) == b"GGUF", f"{path}: no GGUF file"
        at = 4
        assert number("I") in (2, 3), f"{path}: another version of GGUF"
        n_tensors, n_metadata = number("Q"), number("Q")
        metadata = {}
        for _ in range(n_metadata):
            name, kind, begin = text(), number("I"), at
            skip(kind)
            metadata[name] = (kind, bytes(blob[begin:at]))
        infos = []
        for _ in range(n_tensors):
            name = text()
            dims = [number("Q") for _ in range(number("I"))]
            infos.append((name, dims, number("I"), number("Q")))
        alignment = 32
        if "general.alignment" in metadata:
            alignment, = struct.unpack("<I", metadata["general.alignment"][1])
        begin = -(-at // alignment) * alignment
        tensors = []
        for name, dims, dtype, offset in infos:
            elements, n_bytes = BLOCKS[dtype]
            for dim in dims:
                n_bytes *= dim
            data = blob[begin + offset:begin + offset + n_bytes // elements]
            tensors.append(Tensor(name, dims, dtype, data))
        metadata.pop("general.alignment", None)
        return cls(metadata, tensors)

    def set_u32(self, name, value):
        self.metadata[name] = (_U32, struct.pack("<I", value))

    def u32(self, name):
        return struct.unpack("<I", self.metadata[name][1])[0]

    def write(self, path):
        def text(value):
            return struct.pack("<Q", len(value.encode())) + value.encode()

        header = b"GGUF" + struct.pack("<IQQ", 3, len(self.tensors), len(self.metadata))
        for name, (kind, value) in self.metadata.items():
            header += text(name) + struct.pack("<I", kind) + value
        offset = 0
        for tensor in self.tensors:
            header += text(tensor.name) + struct.pack("<I", len(tensor.dims))
            header += struct.pack(f"<{len(tensor.dims)}QIQ", *tensor.dims, tensor.dtype, offset)
            offset += -(-len(tensor.data) // 32) * 32
        with open(path, "wb") as file:
            file.write(header + bytes(-len(header) % 32))
            for tensor in self.tensors:
                file.write(tensor.data)
                file.write(bytes(-len(tensor.data) % 32))
