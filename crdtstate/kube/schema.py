"""A schema as the walker sees it: one node a value, with what decides merging, and the raw rest.

Source: structured-merge-diff's typed schema; Kubernetes' OpenAPI extensions
(`x-kubernetes-list-type`, `-list-map-keys`, `-map-type`, `-preserve-unknown-fields`,
`-embedded-resource`, `-int-or-string`, `-patch-merge-key`, `-patch-strategy`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, final

__all__ = ["ANY", "Schema", "child"]

Kind = Literal["object", "array", "scalar", "any"]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """One node. `any` is a value without a schema: objects granular (unless `map_type` says
    atomic), arrays atomic."""

    kind: Kind
    properties: "Mapping[str, Schema]" = field(default_factory=dict)
    additional: "Schema | None" = None
    """Values of a map; None: names that are not in `properties` are unknown."""
    items: "Schema | None" = None
    list_type: Literal["atomic", "set", "map"] = "atomic"
    list_keys: tuple[str, ...] = ()
    map_type: Literal["granular", "atomic"] = "granular"
    merge_key: str | None = None
    """Of strategic merge patch; None: the patch replaces the list; "": scalars are added."""
    retain_keys: bool = False
    """Strategic merge patch of a union (`retainKeys`)."""
    required: tuple[str, ...] = ()
    has_default: bool = False
    default: Any = None
    nullable: bool = False
    preserve_unknown: bool = False
    embedded: bool = False
    """An embedded resource: apiVersion, kind and metadata are kept."""
    int_or_string: bool = False
    drops_null: bool = False
    """Null means absent or empty, as Go decodes it: every node of a built-in kind."""
    definition: str = ""
    """Of a built-in type: the name that checks and defaults are found by."""
    raw: Mapping[str, Any] = field(default_factory=dict)
    """The OpenAPI node: type, format, bounds, pattern, enum, description, CEL rules."""
    memo: dict[str, Any] = field(init=False, default_factory=dict, repr=False)
    """What is derived from the node and lives as long: compiled rules, for example."""


ANY = Schema("any", preserve_unknown=True)


def child(schema: Schema, name: str) -> Schema:
    """Return the schema of the field or map value `name`; ANY where nothing is declared."""
    return schema.properties.get(name) or schema.additional or ANY
