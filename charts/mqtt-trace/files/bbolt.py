"""Finds out whether bbolt, the Collector's database, can open a file.

bbolt does not close a damaged file with an error: it panics, or it reads beyond the end of the file, which the kernel
answers with SIGBUS. This module checks what bbolt reads when it opens a file: the meta pages, and each page and each
key below the root, because the Collector stores no list of free pages. Values are not read. It is stricter than bbolt
where a file ends within a page, or a key within the next page: there, bbolt would read something else.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from mmap import ACCESS_READ, PAGESIZE, mmap
from pathlib import Path

_MAGIC, _VERSION = 0xED0CDAED, 2
_NO_FREELIST = 0xFFFFFFFFFFFFFFFF
_BRANCH, _LEAF, _META, _FREELIST = 0x01, 0x02, 0x04, 0x10
_BUCKET = 0x01
_MANY = 0xFFFF  # a list of free pages with this count has the real one as its first element

# Sizes and orders are those of a 64-bit machine with the least significant byte first: amd64, arm64.
_PAGE = struct.Struct("<QHHI")  # id, flags, count, overflow
_META_FIELDS = struct.Struct("<IIIIQQQQQ")  # magic, version, page size, flags, root, sequence, freelist, pages, txid
_CHECKSUM = struct.Struct("<Q")
_BRANCH_ELEMENT = struct.Struct("<IIQ")  # position, key size, page
_LEAF_ELEMENT = struct.Struct("<IIII")  # flags, position, key size, value size
_BUCKET_HEADER = struct.Struct("<QQ")  # root, sequence

_SMALLEST_READ = 0x1000
_FNV_OFFSET, _FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3


class DamagedError(Exception):
    """bbolt cannot open the file; the message is the reason."""


def check(path: Path) -> None:
    """Check a file. An empty one is right: bbolt initializes it.

    Raises:
        DamagedError: bbolt cannot open it.
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        if not path.stat().st_size:
            return
        with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            _File(data).check()


@dataclass(frozen=True, slots=True)
class _Meta:
    root: int
    freelist: int
    pages: int
    txid: int


@dataclass(frozen=True, slots=True)
class _Page:
    """A page, or the page within the value of a small bucket.

    Attributes:
        id: Its number.
        flags: Its type.
        count: Number of its elements.
        start: Position of its header in the file.
        end: Position after it.
    """

    id: int
    flags: int
    count: int
    start: int
    end: int


class _File:
    """The pages of a file."""

    def __init__(self, data: mmap) -> None:
        self._data = data
        self._page_size = self._find_page_size()
        if len(data) < 2 * self._page_size:
            raise DamagedError(f"it ends after {len(data)} bytes, within the meta pages")
        metas = [meta for number in range(2) if (meta := self._meta(number * self._page_size))]
        if not metas:
            raise DamagedError("neither of its two meta pages is valid")
        self._meta_page = max(metas, key=lambda meta: meta.txid)
        self._reached: set[int] = set()

    def check(self) -> None:
        """Check every page that can be reached from the root."""
        if self._meta_page.freelist != _NO_FREELIST:
            self._check_freelist()
        self._check_bucket(self._meta_page.root)

    def _find_page_size(self) -> int:
        """Return the page size as bbolt finds it: from a meta page, the position of the second being unknown."""
        if len(self._data) >= _SMALLEST_READ and self._meta(0):
            return self._size_in_meta(0)
        for position in (1024 << power for power in range(15)):
            if position < len(self._data) - 1024 and self._meta(position):
                return self._size_in_meta(position)
        return PAGESIZE

    def _size_in_meta(self, start: int) -> int:
        size: int = _META_FIELDS.unpack_from(self._data, start + _PAGE.size)[2]
        if not size:
            raise DamagedError("its page size is 0")
        return size

    def _meta(self, start: int) -> _Meta | None:
        """Return the content of a meta page, None if it is not valid."""
        fields = start + _PAGE.size
        if fields + _META_FIELDS.size + _CHECKSUM.size > len(self._data):
            return None
        magic, version, _, _, root, _, freelist, pages, txid = _META_FIELDS.unpack_from(self._data, fields)
        (checksum,) = _CHECKSUM.unpack_from(self._data, fields + _META_FIELDS.size)
        content = self._data[fields : fields + _META_FIELDS.size]
        if (magic, version, checksum) != (_MAGIC, _VERSION, _fnv64a(content)):
            return None
        return _Meta(root, freelist, pages, txid)

    def _page(self, number: int) -> _Page:
        start = number * self._page_size
        if start + self._page_size > len(self._data):
            raise DamagedError(f"it ends after {len(self._data)} bytes, before the end of page {number}")
        own, flags, count, overflow = _PAGE.unpack_from(self._data, start)
        if own != number:
            raise DamagedError(f"page {number} has the number {own}")
        end = start + (1 + overflow) * self._page_size
        if end > len(self._data):
            raise DamagedError(f"it ends after {len(self._data)} bytes, before the end of page {number}")
        return _Page(number, flags, count, start, end)

    def _reach(self, number: int) -> _Page:
        """Return a page, which is reached for the first time and is one of a tree."""
        page = self._page(number)
        if page.flags not in {_BRANCH, _LEAF}:
            raise DamagedError(f"page {number} has the type {page.flags:#x}")
        numbers = range(number, page.end // self._page_size)
        if numbers[0] < 2 or numbers[-1] >= self._meta_page.pages:  # noqa: PLR2004 - the two meta pages
            raise DamagedError(f"page {number} is not one of the {self._meta_page.pages} pages in use")
        if not self._reached.isdisjoint(numbers):
            raise DamagedError(f"page {number} has several parents")
        self._reached.update(numbers)
        return page

    def _check_bucket(self, root: int) -> None:
        """Check the tree of a bucket, with the buckets within it."""
        stack: list[tuple[int, bytes | None, bytes | None]] = [(root, None, None)]
        while stack:
            number, lowest, limit = stack.pop()
            page = self._reach(number)
            keys, children = self._keys(page) if page.flags == _LEAF else self._branches(page)
            _check_order(page.id, keys, lowest, limit)
            if page.flags == _BRANCH:
                limits = [*keys[1:], limit]
                stack += zip(children, keys, limits, strict=True)

    def _branches(self, page: _Page) -> tuple[list[bytes], list[int]]:
        """Return keys and numbers of the pages below a page."""
        keys, children = [], []
        for start, (position, key_size, child) in self._elements(page, _BRANCH_ELEMENT):
            keys.append(self._slice(page, start + position, key_size))
            children.append(child)
        if not keys:
            raise DamagedError(f"page {page.id} has no pages below it")
        return keys, children

    def _keys(self, page: _Page) -> tuple[list[bytes], list[int]]:
        """Return the keys of a leaf after checking the buckets in it."""
        keys = []
        for start, (flags, position, key_size, value_size) in self._elements(page, _LEAF_ELEMENT):
            keys.append(self._slice(page, start + position, key_size))
            value = start + position + key_size
            if value + value_size > page.end:
                raise DamagedError(f"a value of page {page.id} exceeds the page")
            if flags & _BUCKET:
                self._check_bucket_value(page, value, value_size)
        return keys, []

    def _check_bucket_value(self, page: _Page, start: int, size: int) -> None:
        """Check a bucket, the value of a key: a reference to its root, or a small bucket within the value."""
        if size < _BUCKET_HEADER.size:
            raise DamagedError(f"a bucket of page {page.id} is too short")
        root, _ = _BUCKET_HEADER.unpack_from(self._data, start)
        if root:
            self._check_bucket(root)
            return
        if size < _BUCKET_HEADER.size + _PAGE.size:
            raise DamagedError(f"a bucket of page {page.id} is too short")
        inner = start + _BUCKET_HEADER.size
        _, flags, count, _ = _PAGE.unpack_from(self._data, inner)
        if flags != _LEAF:
            raise DamagedError(f"a bucket of page {page.id} has the type {flags:#x}")
        keys, _ = self._keys(_Page(page.id, flags, count, inner, start + size))
        _check_order(page.id, keys, None, None)

    def _elements(self, page: _Page, kind: struct.Struct) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Return positions and fields of a page's elements."""
        first = page.start + _PAGE.size
        if first + page.count * kind.size > page.end:
            raise DamagedError(f"the {page.count} elements of page {page.id} exceed the page")
        for start in range(first, first + page.count * kind.size, kind.size):
            yield start, kind.unpack_from(self._data, start)

    def _slice(self, page: _Page, start: int, size: int) -> bytes:
        if start + size > page.end:
            raise DamagedError(f"a key of page {page.id} exceeds the page")
        return self._data[start : start + size]

    def _check_freelist(self) -> None:
        """Check the list of free pages, which only a file has that bbolt has just initialized."""
        page = self._page(self._meta_page.freelist)
        if page.flags != _FREELIST:
            raise DamagedError(f"page {page.id} has the type {page.flags:#x}, and is no list of free pages")
        first, count = page.start + _PAGE.size, page.count
        if count == _MANY:
            (count,) = _CHECKSUM.unpack_from(self._data, first)
            count += 1
        if first + count * _CHECKSUM.size > page.end:
            raise DamagedError(f"the list of free pages exceeds page {page.id}")


def _check_order(number: int, keys: list[bytes], lowest: bytes | None, limit: bytes | None) -> None:
    """Require ascending keys, from the lowest that the page may have, below the limit."""
    ascending = all(first < second for first, second in pairwise(keys))
    if not ascending or (
        keys and ((lowest is not None and keys[0] < lowest) or (limit is not None and keys[-1] >= limit))
    ):
        raise DamagedError(f"the keys of page {number} are not in order")


def _fnv64a(content: bytes) -> int:
    value = _FNV_OFFSET
    for byte in content:
        value = (value ^ byte) * _FNV_PRIME & 0xFFFFFFFFFFFFFFFF
    return value
