"""An audit as W3C PROV-JSON (https://www.w3.org/submissions/prov-json/): entities, activities, used, generated.

An output and a source file are entities; the run that made an output is an activity, named by its recipe. Nothing
volatile is said: who and when stand in the ledger.
"""

from typing import Any

from tasks.lineage.audit import Audit, Node

PREFIX = {"rawmill": "urn:rawmill:", "prov": "http://www.w3.org/ns/prov#"}


def entity(node: Node) -> str:
    """Qualified name of a node, by its digest, so that the same data has the same name everywhere."""
    return f"rawmill:{'recipe' if node.kind == 'output' else 'sha256'}-{node.digest}"


def activity(node: Node) -> str:
    return f"rawmill:run-{node.digest}"


def prov(audit: Audit) -> dict[str, Any]:
    """The PROV-JSON document of `audit`."""
    nodes = {node.path: node for node in audit.nodes}
    made = [node for node in audit.nodes if node.kind == "output"]
    edges = [(nodes[e.user], nodes[e.used], e.role) for e in audit.edges]
    return {
        "prefix": PREFIX,
        "entity": {entity(n): _entity(n) for n in audit.nodes},
        "activity": {activity(n): {"prov:label": f"{n.stage} {n.path}"} for n in made},
        "wasGeneratedBy": {
            f"_:made-{i}": {"prov:entity": entity(n), "prov:activity": activity(n)} for i, n in enumerate(made)
        },
        "used": {
            f"_:used-{i}": {"prov:activity": activity(user), "prov:entity": entity(used), "prov:role": role}
            for i, (user, used, role) in enumerate(edges)
        },
        "wasDerivedFrom": {
            f"_:derived-{i}": {"prov:generatedEntity": entity(user), "prov:usedEntity": entity(used)}
            for i, (user, used, _) in enumerate(edges)
        },
    }


def _entity(node: Node) -> dict[str, Any]:
    facts = {"prov:label": node.path, "rawmill:files": node.files, "rawmill:bytes": node.bytes}
    place = {"prov:location": node.uri} if node.uri else {}
    return facts | ({"rawmill:root": node.root} if node.root else {}) | place
