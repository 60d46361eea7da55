"""Manifests that several tests apply."""

CONFIG_MAP = """
apiVersion: v1
kind: ConfigMap
metadata: {name: %(name)s, labels: {app: x}}
data: {k1: v1, k2: %(value)s}
"""

CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.%(group)s}
spec:
  group: %(group)s
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, shortNames: [wd]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}
    additionalPrinterColumns:
    - {name: Size, type: integer, jsonPath: .spec.size}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [size]
            description: What is wanted of a widget.
            properties:
              size: {type: integer, maximum: 10}
              color: {type: string, default: red}
              replicas: {type: integer, default: 1}
              tags: {type: array, items: {type: string}, x-kubernetes-list-type: set}
              ports:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [port]
                items:
                  type: object
                  required: [port]
                  properties: {port: {type: integer}, name: {type: string}}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
"""

WIDGET = """
apiVersion: %(group)s/v1
kind: Widget
metadata: {name: %(name)s}
spec: {size: %(size)s, tags: [a, b], ports: [{port: 80, name: http}]}
"""
