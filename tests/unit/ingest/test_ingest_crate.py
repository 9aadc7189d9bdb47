"""The crate against the specification's MUSTs, and read by the reference library `rocrate`."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from rocrate.rocrate import ROCrate

from tasks.ingest import crate, receipts
from tasks.ingest.params import CrateParams

PARAMS = CrateParams(date_published="2026-01-02", licence="https://spdx.org/licenses/CC-BY-4.0")
NOTHING = CrateParams(date_published=None, licence=None)


def file(name: str, uri: str | None = None) -> receipts.SourceFile:
    return receipts.SourceFile(path=name, sha256=hashlib.sha256(name.encode()).hexdigest(), bytes=len(name), uri=uri)


def receipt(name: str, path: str, index: int | None = None, **changes: Any) -> receipts.Receipt:
    image = receipts.Stored(path=path, index=index, axes="yx", shape=(2, 2), dtype="uint16", digest="a" * 64)
    known: dict[str, Any] = {"source": file(f"{name}.dng"), "annotation": file(f"{name}.geojson"), **changes}
    decoder = "rawpy 0.28.0 (LibRaw 0.22.1)"
    told = {"statistics": [], "dropped": ["Artist"], "metadata": {"make": "X"}}
    return receipts.stored(name, known["source"], known["annotation"], image, "DNG", decoder, **told)


def laid_out(folder: Path, told: list[receipts.Receipt], params: CrateParams = PARAMS) -> dict[str, Any]:
    """Write a crate over a little store; its entities by id."""
    (folder / "tiles.parquet").write_bytes(b"PAR1")
    receipts.write(folder, told)
    for one in told:
        if one.image:
            (folder / one.image.path).mkdir(parents=True, exist_ok=True)
    document = json.loads(crate.write(folder, "test.zarr", told, params).read_bytes())
    assert document["@context"] == "https://w3id.org/ro/crate/1.1/context"
    entities = {entity["@id"]: entity for entity in document["@graph"]}
    assert len(entities) == len(document["@graph"])
    return entities


def frames() -> list[receipts.Receipt]:
    bad = receipts.rejected("c", receipts.SourceFile(path="c.dng", sha256=None, bytes=None), "c.dng: bad; …")
    far = file("b.dng", "s3://bucket/b.dng")
    return [receipt("a", "frames/a"), receipt("b", "frames/b", source=far, annotation=None), bad]


def references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [name for each in value for name in references(each)]
    return [value["@id"]] if isinstance(value, dict) else []


def test_it_keeps_the_musts_of_the_specification(tmp_path: Path) -> None:
    entities = laid_out(tmp_path, frames())
    descriptor, root = entities["ro-crate-metadata.json"], entities["./"]
    assert descriptor["@type"] == "CreativeWork"
    assert descriptor["about"] == {"@id": "./"}
    assert descriptor["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    assert (root["@type"], root["name"], root["datePublished"]) == ("Dataset", "test.zarr", "2026-01-02")
    assert root["description"]
    assert entities[root["license"]["@id"]]["name"] == "CC-BY-4.0"
    data = {i for i, e in entities.items() if e["@type"] in ("File", "Dataset")} - {"./"}
    assert set(references(root["hasPart"])) == data
    here = {i for i in data if ":" not in i}
    assert here == {"tiles.parquet", "receipts.jsonl", "frames/a/", "frames/b/"}
    for name in here:
        assert (tmp_path / name).is_dir() == (entities[name]["@type"] == "Dataset") == name.endswith("/")
        assert (tmp_path / name).exists()
    for entity in entities.values():
        assert entity["@id"]
        assert entity["@type"]
        for key, value in entity.items():
            if key != "conformsTo":
                assert set(references(value)) <= set(entities), key


def test_the_action_leads_from_the_sources_to_the_store(tmp_path: Path) -> None:
    entities = laid_out(tmp_path, frames())
    action = entities["#ingest"]
    assert (action["@type"], action["result"]) == ("CreateAction", {"@id": "./"})
    digest = hashlib.sha256(b"a.dng").digest()
    mine = f"ni:///sha-256;{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"
    objects = references(action["object"])
    assert {mine, "s3://bucket/b.dng"} < set(objects)
    assert len(objects) == 3
    assert entities[mine] == {
        **{"@id": mine, "@type": "File", "name": "a.dng", "encodingFormat": "image/x-adobe-dng"},
        **{"contentSize": "5", "sha256": digest.hex()},
    }
    assert entities["frames/a/"]["isBasedOn"] == {"@id": mine}
    rawmill = entities[action["instrument"]["@id"]]
    assert (rawmill["@type"], rawmill["name"]) == ("SoftwareApplication", "rawmill")
    programs = [entities[i] for i in references(rawmill["softwareRequirements"])]
    assert [(p["name"], p["softwareVersion"]) for p in programs] == [("LibRaw", "0.22.1"), ("rawpy", "0.28.0")]


def test_tables_have_their_digest_and_size(tmp_path: Path) -> None:
    entities = laid_out(tmp_path, frames())
    for name in ("tiles.parquet", "receipts.jsonl"):
        data = (tmp_path / name).read_bytes()
        assert entities[name]["sha256"] == hashlib.sha256(data).hexdigest()
        assert entities[name]["contentSize"] == str(len(data))


def test_the_reference_library_reads_it(tmp_path: Path) -> None:
    entities = laid_out(tmp_path, frames())
    found = ROCrate(tmp_path)
    assert found.name == "test.zarr"
    assert str(found.root_dataset["datePublished"]).startswith("2026-01-02")
    assert found.root_dataset["license"].id == PARAMS.licence
    assert {e.id for e in found.get_entities()} == set(entities)
    (action,) = (e for e in found.get_entities() if e.type == "CreateAction")
    assert sorted(e.id for e in action["object"]) == sorted(references(entities["#ingest"]["object"]))
    assert {e.id for e in found.data_entities} == set(references(entities["./"]["hasPart"]))


def test_crops_are_one_stack_and_equal_files_one_entity(tmp_path: Path) -> None:
    same = {"source": file("x.tif"), "annotation": None}
    entities = laid_out(tmp_path, [receipt(n, "mosaic", i, **same) for i, n in enumerate("abc")])
    assert len(references(entities["#ingest"]["object"])) == 1
    assert [i for i in entities if i.endswith("/") and i != "./"] == ["mosaic/"]


def test_what_the_params_do_not_say_is_left_out(tmp_path: Path) -> None:
    root = laid_out(tmp_path, frames(), NOTHING)["./"]
    assert {"datePublished", "license"} & set(root) == set()


@pytest.mark.parametrize("word", ["Artist", "make"])
def test_neither_metadata_nor_names_of_dropped_tags_are_in_it(tmp_path: Path, word: str) -> None:
    laid_out(tmp_path, frames())
    assert word not in (tmp_path / crate.FILE).read_text(encoding="utf-8")


def test_the_same_receipts_give_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    laid_out(tmp_path / "a", frames())
    laid_out(tmp_path / "b", frames()[::-1])
    assert (tmp_path / "a" / crate.FILE).read_bytes() == (tmp_path / "b" / crate.FILE).read_bytes()
