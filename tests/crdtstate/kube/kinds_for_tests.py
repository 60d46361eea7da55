"""A kind with every structure that merging knows, and the built-in kinds by name."""

from functools import cache
from typing import Any

import yaml

from crdtstate.kube.builtin import builtin_resources
from crdtstate.kube.crd_schema import structural_schema
from crdtstate.kube.resources import Resource

_SCHEMA = """
type: object
properties:
  str: {type: string}
  num: {type: integer}
  flag: {type: boolean}
  port: {x-kubernetes-int-or-string: true}
  null: {type: string, nullable: true}
  list: {type: array, items: {type: string}}
  set: {type: array, x-kubernetes-list-type: set, items: {type: string}}
  nums: {type: array, x-kubernetes-list-type: set, items: {type: integer}}
  items:
    type: array
    x-kubernetes-list-type: map
    x-kubernetes-list-map-keys: [name]
    items:
      type: object
      required: [name]
      properties:
        name: {type: string}
        value: {type: integer}
        more: {type: string}
        tags: {type: array, x-kubernetes-list-type: set, items: {type: string}}
        nested:
          type: array
          x-kubernetes-list-type: map
          x-kubernetes-list-map-keys: [name]
          items: {type: object, properties: {name: {type: string}, value: {type: integer}}}
  ports:
    type: array
    x-kubernetes-list-type: map
    x-kubernetes-list-map-keys: [port, protocol]
    items:
      type: object
      properties:
        port: {type: integer}
        protocol: {type: string, default: TCP}
        name: {type: string}
  whole:
    type: array
    x-kubernetes-list-type: map
    x-kubernetes-list-map-keys: [name]
    items:
      type: object
      x-kubernetes-map-type: atomic
      properties: {name: {type: string}, a: {type: string}, b: {type: string}}
  map: {type: object, additionalProperties: {type: string}}
  maps:
    type: object
    additionalProperties:
      type: object
      properties: {a: {type: string}, b: {type: string}}
  atom: {type: object, x-kubernetes-map-type: atomic, additionalProperties: {type: string}}
  sub:
    type: object
    properties:
      a: {type: string}
      b: {type: string}
      deep: {type: object, properties: {c: {type: string}, d: {type: string}}}
  any: {type: object, x-kubernetes-preserve-unknown-fields: true}
  status: {type: object, properties: {phase: {type: string}, seen: {type: integer}}}
"""


@cache
def sample(version: str = "v1") -> Resource:
    """Return a kind of which every structure has a field at the root."""
    return Resource(
        group="test.dev",
        version=version,
        kind="Sample",
        plural="samples",
        singular="sample",
        namespaced=True,
        schema=structural_schema(yaml.safe_load(_SCHEMA)),
        subresources=("status", "scale"),
        has_generation=True,
        custom=True,
    )


@cache
def kind(name: str) -> Resource:
    """Return the built-in kind of that name (of Event, the core one)."""
    return next(resource for resource in builtin_resources() if resource.kind == name)


def with_schema(raw: dict[str, Any]) -> Resource:
    """Return a custom kind with the given schema."""
    return Resource(
        group="test.dev",
        version="v1",
        kind="Other",
        plural="others",
        singular="other",
        namespaced=True,
        schema=structural_schema(raw),
        custom=True,
    )
