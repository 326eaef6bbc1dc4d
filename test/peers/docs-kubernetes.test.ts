// Every kubectl and helm line of the pages, as it stands there, against a real API server: a chart and a file for a new cluster, and
// the swap on flannel's own manifest. There is no kubelet: what is asserted is what the server has afterwards.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { after, before, describe, it } from "node:test";
import { shownInDocs } from "../support/docs-lines.js";
import { KubeCluster } from "../support/kube-cluster.js";
import { rootNeeded } from "../support/lab.js";
import { peerProgram } from "../support/peer-program.js";

const ROOT = resolve(import.meta.dirname, "../../..");
const [apiserver, kubectl, helm] = ["kube-apiserver", "kubectl", "helm"].map(peerProgram) as [
  ReturnType<typeof peerProgram>,
  ReturnType<typeof peerProgram>,
  ReturnType<typeof peerProgram>,
];

interface Workload {
  readonly spec: {
    readonly updateStrategy: { readonly type: string };
    readonly template: {
      readonly spec: Record<
        "containers" | "initContainers",
        readonly { readonly name: string; readonly image: string }[]
      >;
    };
  };
}

describe("the pages' lines for Kubernetes", {
  skip: rootNeeded || apiserver.missing || kubectl.missing || helm.missing,
}, () => {
  const lines = [
    ...new Set(
      shownInDocs()
        .map(({ line }) => line)
        .filter((line) => /^(kubectl|helm) /.test(line)),
    ),
  ];
  let cluster: KubeCluster;
  before(async () => {
    const options = { apiserver: apiserver.path, kubectl: kubectl.path, namespace: null, address: "127.0.0.1" };
    cluster = await KubeCluster.start(options);
    mkdirSync(join(cluster.directory, "bin"));
    for (const [name, { path }] of Object.entries({ kubectl, helm }))
      symlinkSync(path, join(cluster.directory, "bin", name));
  });
  after(() => cluster.destroy());

  /** A line that the pages show; taken from the list of what is still to be run. */
  function run(start: string, change = (line: string) => line): string {
    const at = lines.findIndex((line) => line.startsWith(start));
    const [line] = at < 0 ? [] : lines.splice(at, 1);
    assert.ok(line !== undefined, `no page shows ${start}; left are: ${lines.join("; ")}`);
    return sh(change(line));
  }

  function sh(line: string): string {
    const { status, stdout, stderr } = spawnSync("sh", ["-c", line], {
      cwd: ROOT,
      encoding: "utf8",
      env: {
        PATH: `${join(cluster.directory, "bin")}:/usr/bin:/bin`,
        HOME: cluster.directory,
        KUBECONFIG: join(cluster.directory, "admin.conf"),
      },
    });
    assert.equal(status, 0, `${line}: ${stderr}`);
    return stdout;
  }

  const daemonSet = (): Workload =>
    JSON.parse(sh("kubectl -n kube-flannel get daemonset kube-flannel-ds -o json")) as Workload;
  const images = (kind: "containers" | "initContainers") =>
    Object.fromEntries(daemonSet().spec.template.spec[kind].map(({ name, image }) => [name, image]));

  it("make a new cluster's objects by the chart, and by the file", () => {
    run("helm install");
    assert.equal(images("containers")["kube-flannel"], "REGISTRY/ripstop:0.1.0");
    sh("helm -n kube-flannel uninstall ripstop");
    run("kubectl apply -f deploy/kube-ripstop.yml");
    assert.ok(images("containers")["data-plane"]);
    sh("kubectl apply -k deploy/kustomize/base");
    sh("kubectl -n kube-flannel delete daemonset kube-flannel-ds");
  });

  it("change flannel's own DaemonSet, and delete the pod of one node", async () => {
    const module = ["list", "-m", "-f", "{{.Dir}}", "github.com/flannel-io/flannel"];
    const flannel = execFileSync("go", module, { cwd: join(ROOT, "test/peers/flanneld"), encoding: "utf8" }).trim();
    sh(`kubectl apply -f ${flannel}/Documentation/kube-flannel.yml`);
    run("kubectl -n kube-flannel patch daemonset");
    assert.equal(daemonSet().spec.updateStrategy.type, "OnDelete");
    run("kubectl -n kube-flannel set image");
    assert.deepEqual(
      [images("containers")["kube-flannel"], images("initContainers")["install-cni"]],
      ["REGISTRY/ripstop:0.1.0", "REGISTRY/ripstop:0.1.0"],
    );
    for (const node of ["one", "two"]) {
      await cluster.createNode(node, []);
      const file = join(cluster.directory, `${node}.json`);
      writeFileSync(file, JSON.stringify(podOn(node)));
      sh(`kubectl apply -f ${file}`);
    }
    run("kubectl -n kube-flannel delete pod", (line) => line.replace("NODE", "one"));
    const left = sh("kubectl -n kube-flannel get pods -o name").trim();
    assert.equal(left, "pod/flannel-two");
  });

  it("are all of them", () => assert.deepEqual(lines, []));
});

/** As the DaemonSet's controller makes it; gone at once when it is deleted, as no kubelet is there to end it. */
function podOn(nodeName: string): object {
  const metadata = { name: `flannel-${nodeName}`, namespace: "kube-flannel", labels: { app: "flannel" } };
  const containers = [{ name: "kube-flannel", image: "flannel" }];
  const spec = { nodeName, serviceAccountName: "flannel", terminationGracePeriodSeconds: 0, containers };
  return { apiVersion: "v1", kind: "Pod", metadata, spec };
}
