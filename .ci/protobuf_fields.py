"""Write crdtstate/kube/protobuf_fields.txt from the struct tags of Kubernetes' API types.

    python .ci/protobuf_fields.py API MACHINERY EXTENSIONS > crdtstate/kube/protobuf_fields.txt

The arguments are checkouts of k8s.io/api, k8s.io/apimachinery and k8s.io/apiextensions-apiserver
at the version wanted. Field numbers never change; a new version adds lines.
"""

import re
import sys
from pathlib import Path

# Directory of k8s.io/api -> apiVersion.
GROUPS = {
    "core/v1": "v1", "apps/v1": "apps/v1", "autoscaling/v1": "autoscaling/v1",
    "autoscaling/v2": "autoscaling/v2", "batch/v1": "batch/v1",
    "coordination/v1": "coordination.k8s.io/v1", "discovery/v1": "discovery.k8s.io/v1",
    "events/v1": "events.k8s.io/v1", "networking/v1": "networking.k8s.io/v1",
    "policy/v1": "policy/v1", "rbac/v1": "rbac.authorization.k8s.io/v1",
    "scheduling/v1": "scheduling.k8s.io/v1", "storage/v1": "storage.k8s.io/v1",
    "admissionregistration/v1": "admissionregistration.k8s.io/v1",
    "authentication/v1": "authentication.k8s.io/v1",
    "authorization/v1": "authorization.k8s.io/v1",
    "certificates/v1": "certificates.k8s.io/v1",
    "scheduling/v1alpha3": "scheduling.k8s.io/v1alpha3",  # Parts of batch/v1 Job.
}  # fmt: skip
META, CRD = "meta/v1", "apiextensions.k8s.io/v1"
# Go package names, as the types are written.
PACKAGES = {
    "metav1": META, "v1": "v1", "apiv1": "v1", "corev1": "v1", "core": "v1",
    "schedulingv1alpha3": "scheduling.k8s.io/v1alpha3",
}  # fmt: skip
SCALARS = {
    "string": "s", "bool": "b", "int": "i", "int32": "i", "int64": "i", "uint32": "i",
    "uint8": "i", "float64": "d", "[]byte": "y", "metav1.Time": "t", "metav1.MicroTime": "T",
    "resource.Quantity": "q", "intstr.IntOrString": "I",
    "runtime.RawExtension": "j", "metav1.FieldsV1": "j", "types.UID": "s", "types.NodeName": "s",
}  # fmt: skip
WHOLE = {
    f"{CRD}.JSON": "j", f"{META}.Time": "t", f"{META}.MicroTime": "T", f"{META}.FieldsV1": "j",
}  # fmt: skip
LINE = re.compile(r"^\t([\w.]*)\s*([\w.\[\]*{}]*)\s*`([^`]*)`")


class Types:
    """Structs and named types of all packages, by `apiVersion.Name`."""

    def __init__(self) -> None:
        self.structs: dict[str, list[tuple[str, str, str]]] = {}
        self.aliases: dict[str, str] = {}

    def read(self, api_version: str, text: str) -> None:
        """Collect the types of one package."""
        for match in re.finditer(
            r"^type (\w+) struct ?\{(|\n.*?^)\}", text, re.MULTILINE | re.DOTALL
        ):
            fields = [
                found.groups() for line in match[2].split("\n") if (found := LINE.match(line))
            ]
            self.structs[f"{api_version}.{match[1]}"] = fields
        for match in re.finditer(r"^type (\w+) ([\w.\[\]*]+)$", text, re.MULTILINE):
            self.aliases[f"{api_version}.{match[1]}"] = match[2]

    def resolve(self, api_version: str, written: str) -> str:
        """Return the type code of a Go type as written in a package."""
        if written in SCALARS:
            return SCALARS[written]
        if written.startswith("[]"):
            return "[]" + self.resolve(api_version, written[2:].lstrip("*"))
        if written.startswith("map["):
            return "{}" + self.resolve(api_version, written[written.index("]") + 1 :])
        package, dot, name = written.rpartition(".")
        home = PACKAGES[package] if dot else api_version
        full = f"{home}.{name}"
        if full in WHOLE:
            return WHOLE[full]
        if full in self.structs:
            return f"@{full}"
        return self.resolve(home, self.aliases[full])

    def line(self, full: str) -> str:
        """Return the line of one message."""
        api_version, _, _ = full.rpartition(".")
        fields = []
        for name, written, tags in self.structs[full]:
            wire = re.search(r'protobuf:"(\w+),(\d+),(\w+)(?:,name=(\w+))?', tags)
            if wire is None or wire[1] == "-":
                continue
            shown = re.search(r'json:"([^",]*)([^"]*)"', tags)
            told = shown[2] if shown else ""
            label = (shown[1] if shown else "") or (wire[4] or name)
            kind = written or name
            code = self.resolve(api_version, kind.lstrip("*"))
            inline = "inline" in told or (not written and shown is not None and not shown[1])
            keep = kind.startswith("*") or not ("omitempty" in told or "omitzero" in told)
            label = "^" if inline else label
            fields.append(f"{wire[2]}:{label}:{code}{'!' if keep and not inline else ''}")
        return f"{full} {' '.join(fields)}"


def main(api: Path, machinery: Path, extensions: Path) -> None:
    """Print the table: every kind of the packages and what it is made of."""
    types = Types()
    types.read(META, (machinery / "pkg/apis/meta/v1/types.go").read_text())
    for name in ("types.go", "types_jsonschema.go"):
        types.read(CRD, (extensions / "pkg/apis/apiextensions/v1" / name).read_text())
    for directory, api_version in GROUPS.items():
        types.read(api_version, (api / directory / "types.go").read_text())
    roots = [
        full
        for full, fields in types.structs.items()
        if any(row[0] == "metav1.TypeMeta" for row in fields)
        and not full.endswith(("List", "Options"))
        and not full.startswith(META)
    ]
    waiting, done = [*roots, f"{META}.DeleteOptions"], {}
    while waiting:
        full = waiting.pop()
        if full not in done:
            done[full] = types.line(full)
            waiting += re.findall(r"@([\w./-]+)", done[full])
    sys.stdout.write("".join(f"{done[full]}\n" for full in sorted(done)))


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
