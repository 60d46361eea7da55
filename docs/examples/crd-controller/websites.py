"""A controller: each Website is a Deployment of small servers, and says how many are ready."""

import asyncio
import sys

from controllers import DONE, Manager, Request, Result, Scope, controller, spec_of_class
from controllers.runtime.objects import owner_reference
from crdtstate.client import AsyncClient
from crdtstate.client.kinds import DEPLOYMENTS
from crdtstate.model import Kind

WEBSITES = Kind("example.com", "v1", "Website", "websites")
SERVE = 'echo "$TEXT" > index.html; exec python3 -m http.server --bind "$POD_IP" 8080'


@controller("websites", of=WEBSITES, owns=[DEPLOYMENTS])
class Websites:
    async def reconcile(self, request: Request, scope: Scope) -> Result:
        site = scope.get(WEBSITES, request.name, request.namespace)
        if site is None:
            return DONE  # Its Deployment is the collector's.
        # The name is a function of the owner: two sides of a cut ask for the same object.
        name, labels = f"website-{request.name}", {"website": request.name}
        address = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
        server = {
            "name": "server", "image": "python", "command": ["sh", "-c", SERVE],
            "env": [{"name": "TEXT", "value": site["spec"]["text"]}, address],
            "readinessProbe": {"httpGet": {"port": 8080}, "periodSeconds": 1},
        }  # fmt: skip
        template = {"metadata": {"labels": labels}, "spec": {"containers": [server]}}
        owner = owner_reference(WEBSITES, site)
        wanted = {
            "metadata": {"name": name, "namespace": request.namespace, "ownerReferences": [owner]},
            "spec": {
                "replicas": site["spec"].get("copies", 1), "template": template,
                "selector": {"matchLabels": labels},
            },
        }  # fmt: skip
        await scope.apply(DEPLOYMENTS, wanted)  # What is so already is not written.
        made = scope.get(DEPLOYMENTS, name, request.namespace) or {}
        status = {"status": {"ready": made.get("status", {}).get("readyReplicas", 0)}}
        await scope.patch(WEBSITES, request.name, status, request.namespace, subresource="status")
        return DONE


async def main(server: str) -> None:
    async with AsyncClient(server, causal=False) as client:
        await Manager(client, [spec_of_class(Websites)]).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
