// The JavaScript client 1.4.0: create, JSON patch, apply, list, watch, delete.
import { createRequire } from "node:module";
const require = createRequire(process.argv[2] + "/");
const k8s = require("@kubernetes/client-node");
const namespace = process.argv[3];

const config = new k8s.KubeConfig();
config.loadFromDefault();
for (const cluster of config.clusters) cluster.skipTLSVerify = true;
const core = config.makeApiClient(k8s.CoreV1Api);

function check(condition, what) {
  if (!condition) throw new Error(what);
}

await core.createNamespace({ body: { metadata: { name: namespace } } });
const body = { metadata: { name: "js", labels: { app: "js" } }, data: { a: "b" } };
await core.createNamespacedConfigMap({ namespace, body });
const patch = [{ op: "add", path: "/data/c", value: "d" }];
const patched = await core.patchNamespacedConfigMap({ namespace, name: "js", body: patch });
check(patched.data.c === "d", "the patch is not there");
const listed = await core.listNamespacedConfigMap({ namespace, labelSelector: "app=js" });
check(listed.items.length === 1, "the list has not one item");

const seen = await new Promise((resolve, reject) => {
  const watch = new k8s.Watch(config);
  const timer = setTimeout(() => reject(new Error("the watch said nothing")), 30000);
  watch
    .watch(
      `/api/v1/namespaces/${namespace}/configmaps`, {},
      (type, object) => {
        clearTimeout(timer);
        resolve([type, object.metadata.name]);
      },
      () => {},
    )
    .catch(reject);
});
check(seen[0] === "ADDED" && seen[1] === "js", `the watch said ${seen}`);
await core.deleteNamespacedConfigMap({ namespace, name: "js" });
const left = await core.listNamespacedConfigMap({ namespace });
check(left.items.length === 0, "it is still there");
process.exit(0);
