"""Mutations of bytes and of trees of plain values (JSON, YAML), all from one generator."""

from __future__ import annotations

import copy
import json
import random

DEEP = "@deep@"  # stands for lists nested deeper than any reader should follow


def weird_values(rng: random.Random) -> list[object]:
    """Values that readers tend to trust too much."""
    return [
        None, True, False, 0, -1, 1, 2, 255, 2**31, 2**63, -(2**63), 10**400, 0.5, -0.0, 1e-320, 1e308, -1e308, 1e9,
        float("nan"), float("inf"), float("-inf"), "", " ", "1", "NaN", "A", "x" * 5000, "名前 肾",
        "\ud800", "a\0b", "%s%n",
        "../../escape", "/etc/passwd", "..\\escape", "C:\\escape", "/dev/zero", "L1", "malignancy",
        "cuda", "3d_fullres",
        [], {}, [[]], [0], [1, 2, 3], [1e30, -1e30, 0.0], ["a", "b"], [None] * 3, [0.0] * 1000,
        {"a": 1}, {"": {}}, DEEP, DEEP,
    ]  # fmt: skip


def as_json(tree: object, rng: random.Random) -> bytes:
    """JSON text of a tree, with lone surrogates as they are and the deep lists written out."""
    text = json.dumps(tree, ensure_ascii=rng.random() < 0.6)
    return written_out(text).encode("utf-8", errors="surrogatepass")


def written_out(text: str) -> str:
    """A JSON or YAML text with its deep lists."""
    return text.replace(f'"{DEEP}"', "[" * 5000 + "]" * 5000).replace(f"'{DEEP}'", "[" * 5000 + "]" * 5000)


def paths(tree: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Paths of all nodes below the root."""
    found = []
    items = list(tree.items()) if isinstance(tree, dict) else list(enumerate(tree)) if isinstance(tree, list) else []
    for key, value in items:
        found.append((*path, key))
        if len(path) < 12:
            found.extend(paths(value, (*path, key)))
    return found


def mutate_tree(tree: object, rng: random.Random, times: int | None = None) -> object:
    """A copy with nodes replaced, scaled, removed, doubled, renamed or swapped."""
    tree = copy.deepcopy(tree)
    for _ in range(times or _times(rng)):
        known = paths(tree)
        if not known:
            return tree
        *way, key = rng.choice(known)
        holder = tree
        for step in way:
            holder = holder[step]  # type: ignore[index]
        _change(holder, key, rng)
    return tree


def _change(holder: object, key: object, rng: random.Random) -> None:
    value = holder[key]  # type: ignore[index]
    act = rng.randrange(10)
    if act == 0:
        del holder[key]  # type: ignore[attr-defined]
    elif act == 1 and isinstance(holder, list):
        holder.insert(int(key), copy.deepcopy(value))  # type: ignore[call-overload]
    elif act == 1 and isinstance(holder, dict):
        holder[rng.choice(["", "extra", "__class__", f"{key}2", "名"])] = holder.pop(key)
    elif act == 2 and isinstance(value, (int, float)) and not isinstance(value, bool):
        holder[key] = value * rng.choice([-1, 0, 10, 1000, 1e-6, 1e6, 1e30])  # type: ignore[index]
    elif act == 3 and isinstance(value, str):
        holder[key] = value[: rng.randrange(len(value) + 1)] + rng.choice(["", "x", "\n", "\0", "/..", "肾"])  # type: ignore[index]
    elif act == 4 and isinstance(value, list) and len(value) > 1:
        rng.shuffle(value)
    else:
        holder[key] = rng.choice(weird_values(rng))  # type: ignore[index]


def mutate_bytes(data: bytes, rng: random.Random, times: int | None = None, head: int | None = None) -> bytes:
    """A copy with bits flipped, bytes set, parts cut, doubled, zeroed, swapped or inserted.

    Args:
        data: The bytes.
        rng: Draws everything.
        times: How many changes; one to some by chance when None.
        head: Most changes fall into the first so many bytes.
    """
    out = bytearray(data)
    for _ in range(times or _times(rng)):
        if not out:
            break
        end = min(len(out), head) if head and rng.random() < 0.8 else len(out)
        place, length = rng.randrange(end), 1 << rng.randrange(8)
        act = rng.randrange(9)
        if act < 2:
            out[place] = rng.choice([out[place] ^ 1 << rng.randrange(8), 0, 1, 0x7F, 0x80, 0xFF, 0x20])
        elif act == 2:
            out[place : place + 4] = rng.choice([b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\0\0\0\x80"])
        elif act == 3 and rng.random() < 0.5:
            del out[rng.randrange(len(out)) :]
        elif act == 4:
            del out[place : place + length]
        elif act == 5:
            out[place:place] = out[place : place + length]
        elif act == 6:
            out[place : place + length] = bytes(len(out[place : place + length]))
        elif act == 7:
            out[place:place] = rng.randbytes(length)
        else:
            out[place : place + length] = rng.randbytes(min(length, len(out) - place))
    return bytes(out)


def _times(rng: random.Random) -> int:
    return rng.choice([1, 1, 1, 2, 2, 3, 5])
