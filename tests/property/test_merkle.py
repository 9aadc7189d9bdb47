"""Merkle roots and proofs against RFC 6962 written a second time, from its recursive definition."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

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
