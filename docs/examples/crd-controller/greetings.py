"""A controller: for each Greeting as many ConfigMaps as it says, and their number in its status."""

import asyncio
import sys

from controllers import DONE, Delete, Manager, Request, Result, Scope, controller, spec_of_class
from controllers.runtime.objects import owner_reference, uid_of
from crdtstate.client import AsyncClient
from crdtstate.client.kinds import CONFIG_MAPS
from crdtstate.model import Kind

GREETINGS = Kind("example.com", "v1", "Greeting", "greetings")


@controller("greetings", of=GREETINGS, owns=[CONFIG_MAPS])
class Greetings:
    async def reconcile(self, request: Request, scope: Scope) -> Result:
        space, greeting = request.namespace, scope.get(GREETINGS, request.name, request.namespace)
        if greeting is None:
            return DONE  # What it owned is the collector's.
        have = {body["metadata"]["name"]: body for body in scope.owned(CONFIG_MAPS, greeting)}
        # Names are functions of the owner: two sides of a cut make the same objects.
        wanted = [f"{request.name}-{n}" for n in range(greeting["spec"].get("times", 1))]
        data, owner = {"text": greeting["spec"]["text"]}, owner_reference(GREETINGS, greeting)
        for name in wanted:
            if name not in have or have[name].get("data") != data:
                meta = {"name": name, "namespace": space, "ownerReferences": [owner]}
                await scope.apply(CONFIG_MAPS, {"metadata": meta, "data": data})
        for name in sorted(have.keys() - set(wanted)):
            uid = uid_of(have[name])
            await scope.delete(Delete(kind=CONFIG_MAPS, namespace=space, name=name, uid=uid))
        status = {"status": {"files": len(wanted)}}
        await scope.patch(GREETINGS, request.name, status, space, subresource="status")
        return DONE


async def main(server: str) -> None:
    async with AsyncClient(server, causal=False) as client:
        await Manager(client, [spec_of_class(Greetings)]).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
