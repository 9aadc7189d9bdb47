"""Merkle roots and proofs against RFC 6962 written a second time, from its recursive definition."""

import hashlib
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tasks.lineage.chunk_proof import ChunkProof, proves_chunk
from tasks.lineage.digest import merkle_proof, merkle_root, proves

HEX = st.binary(min_size=32, max_size=32).map(bytes.hex)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=12)
ENTRIES = st.dictionaries(NAMES, HEX, min_size=1, max_size=40)


def mth(leaves: list[bytes]) -> bytes:
    """RFC 6962, 2.1: MTH of a list, its split found by counting up powers of two."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = max(2**i for i in range(20) if 2**i < len(leaves))
    return hashlib.sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def path_of(m: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 6962, 2.1.1: PATH(m, D[n])."""
    if len(leaves) <= 1:
        return []
    k = max(2**i for i in range(20) if 2**i < len(leaves))
    if m < k:
        return [*path_of(m, leaves[:k]), mth(leaves[k:])]
    return [*path_of(m - k, leaves[k:]), mth(leaves[:k])]


def encoded(entries: dict[str, str]) -> list[bytes]:
    return [f"{name}\x00{entries[name]}".encode() for name in sorted(entries)]


@given(ENTRIES)
def test_root_is_that_of_the_rfc(entries: dict[str, str]) -> None:
    assert merkle_root(entries) == mth(encoded(entries)).hex()


def test_root_of_nothing_is_the_digest_of_nothing() -> None:
    assert merkle_root({}) == mth([]).hex()


@given(ENTRIES, st.data())
def test_proof_is_that_of_the_rfc_and_proves(entries: dict[str, str], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(entries)))
    proof = merkle_proof(entries, name)
    assert [sibling for _, sibling in proof] == [
        p.hex() for p in path_of(sorted(entries).index(name), encoded(entries))
    ]
    assert proves(name, entries[name], proof, merkle_root(entries))


@given(ENTRIES, st.data())
def test_a_proof_proves_nothing_else(entries: dict[str, str], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(entries)))
    proof, root = merkle_proof(entries, name), merkle_root(entries)
    bit = data.draw(st.integers(0, 255))
    flipped = (int(entries[name], 16) ^ (1 << bit)).to_bytes(32, "big").hex()
    assert not proves(name, flipped, proof, root)
    assert not proves(name + "x", entries[name], proof, root)
    if proof:
        side, sibling = proof[0]
        assert not proves(name, entries[name], [("left" if side == "right" else "right", sibling), *proof[1:]], root)
        assert not proves(name, entries[name], proof[1:], root)


@given(ENTRIES, st.data())
def test_any_change_of_an_entry_changes_the_root(entries: dict[str, str], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(entries)))
    other = data.draw(HEX.filter(lambda h: h != entries[name]))
    assert merkle_root({**entries, name: other}) != merkle_root(entries)
    assert merkle_root({k: v for k, v in entries.items() if k != name}) != merkle_root(entries)


COORDS = st.tuples(st.integers(0, 3), st.integers(0, 3))
SHARDS = st.dictionaries(
    st.sampled_from([f"a/c/{i}" for i in range(6)]),
    st.dictionaries(COORDS, st.binary(max_size=6), min_size=1, max_size=16),
    min_size=1,
    max_size=4,
)


def chunk_proof(shards: dict[str, dict[tuple[int, int], bytes]], data: st.DataObject) -> tuple[ChunkProof, bytes, str]:
    """A proof put together by the RFC's definitions alone, among other files, with its chunk and the root."""
    roots, wholes = {}, {}
    for name, chunks in shards.items():
        digests = {f"{y}/{x}": hashlib.sha256(b).hexdigest() for (y, x), b in chunks.items()}
        roots[name], wholes[name] = mth(encoded(digests)).hex(), hashlib.sha256(b"".join(chunks.values())).hexdigest()
    entries = {n: f"{wholes[n]} {roots[n]}" for n in shards} | {"a/zarr.json": "7" * 64, "z": "8" * 64}
    name = data.draw(st.sampled_from(sorted(shards)))
    coords = data.draw(st.sampled_from(sorted(shards[name])))
    digests = {f"{y}/{x}": hashlib.sha256(b).hexdigest() for (y, x), b in shards[name].items()}
    leaf, chunk, root = "/".join(map(str, coords)), shards[name][coords], mth(encoded(entries)).hex()
    within, outer = tuple(merkle_proof(digests, leaf)), tuple(merkle_proof(entries, name))
    made = ChunkProof(name, coords, 0, len(chunk), digests[leaf], within, roots[name], wholes[name], outer, root)
    return made, chunk, root


def other_hex(text: str, data: st.DataObject) -> str:
    return (int(text, 16) ^ (1 << data.draw(st.integers(0, 255)))).to_bytes(32, "big").hex()


@given(SHARDS, st.data())
def test_a_chunk_is_proved_by_its_bytes_a_proof_and_the_root(
    shards: dict[str, dict[tuple[int, int], bytes]], data: st.DataObject
) -> None:
    proof, chunk, root = chunk_proof(shards, data)
    assert proves_chunk(proof, chunk, root)


@given(SHARDS, st.data(), st.binary(max_size=7))
def test_any_other_bytes_prove_nothing_whatever_the_proof_says_of_them(
    shards: dict[str, dict[tuple[int, int], bytes]], data: st.DataObject, other: bytes
) -> None:
    proof, chunk, root = chunk_proof(shards, data)
    if other != chunk:
        assert not proves_chunk(proof, other, root)
        adapted = replace(proof, bytes=len(other), sha256=hashlib.sha256(other).hexdigest())
        assert not proves_chunk(adapted, other, root)


@given(SHARDS, st.data())
def test_any_other_place_sibling_or_root_proves_nothing(
    shards: dict[str, dict[tuple[int, int], bytes]], data: st.DataObject
) -> None:
    proof, chunk, root = chunk_proof(shards, data)
    coords = data.draw(COORDS.filter(lambda c: c != proof.coords))
    changed = [replace(proof, coords=coords), replace(proof, path=proof.path + "0")]
    changed += [replace(proof, **{key: other_hex(getattr(proof, key), data)}) for key in ("chunks", "shard", "sha256")]
    for key in ("within", "outer"):
        way = getattr(proof, key)
        if way:
            at = data.draw(st.integers(0, len(way) - 1))
            side, sibling = way[at]
            for step in ((side, other_hex(sibling, data)), ("left" if side == "right" else "right", sibling)):
                changed.append(replace(proof, **{key: (*way[:at], step, *way[at + 1 :])}))
            changed.append(replace(proof, **{key: way[:at] + way[at + 1 :]}))
        changed.append(replace(proof, **{key: (*way, ("left", "0" * 64))}))
    assert not any(proves_chunk(each, chunk, root) for each in changed)
    elsewhere = other_hex(root, data)
    assert not proves_chunk(proof, chunk, elsewhere)
    assert not proves_chunk(replace(proof, root=elsewhere), chunk, elsewhere)
