// What users apply, taken by a real API server: the Kustomize base, the single file, and the chart with several sets of values.
// Nothing runs here; every object is checked by the server, strictly, and net-conf.json by our own parser.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { after, before, describe, it } from "node:test";
import { AGENT_FLAGS } from "../../src/config/flags.js";
import { parseGoFlags } from "../../src/config/go-flags.js";
import { parseNetworkConfig } from "../../src/config/network-config.js";
import { KubeCluster } from "../support/kube-cluster.js";
import { rootNeeded } from "../support/lab.js";
import { peerProgram } from "../support/peer-program.js";

const DEPLOY = resolve(import.meta.dirname, "../../../deploy");
const apiserver = peerProgram("kube-apiserver");
const kubectl = peerProgram("kubectl");
const helm = peerProgram("helm");

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels?: object };
  readonly rules?: unknown;
  readonly data?: Record<string, string>;
  readonly spec?: {
    readonly template?: { readonly spec: PodSpec };
    readonly updateStrategy?: { readonly type: string; readonly rollingUpdate?: { readonly maxUnavailable: number } };
  };
}
interface Probe {
  readonly httpGet: { readonly path: string };
}
interface Container {
  readonly name: string;
  readonly command: readonly string[];
  readonly args?: readonly string[];
  readonly image: string;
  readonly imagePullPolicy?: string;
  readonly livenessProbe?: Probe;
  readonly readinessProbe?: Probe;
  readonly securityContext?: {
    readonly privileged?: boolean;
    readonly capabilities?: { readonly add?: readonly string[] };
  };
}
interface PodSpec {
  readonly containers: readonly Container[];
  readonly initContainers: readonly Container[];
}

const render = (...words: readonly string[]) =>
  execFileSync(helm.path, ["template", "ripstop", join(DEPLOY, "helm/ripstop"), "-n", "kube-flannel", ...words], {
    encoding: "utf8",
  });

describe("what users apply", { skip: rootNeeded || apiserver.missing || kubectl.missing || helm.missing }, () => {
  let cluster: KubeCluster;
  before(async () => {
    cluster = await KubeCluster.start({
      apiserver: apiserver.path,
      kubectl: kubectl.path,
      namespace: null,
      address: "127.0.0.1",
    });
    await cluster.kubectl(["create", "namespace", "kube-flannel"]);
  });
  after(() => cluster.destroy());

  /** The objects as the server would store them. */
  async function taken(text: string): Promise<Manifest[]> {
    const path = join(cluster.directory, "objects.yaml");
    writeFileSync(path, text);
    const said = await cluster.kubectl([
      "apply",
      "--server-side",
      "--dry-run=server",
      "--validate=strict",
      "-o",
      "json",
      "-f",
      path,
    ]);
    const list = JSON.parse(said) as { items?: Manifest[] } & Manifest;
    return list.items ?? [list];
  }

  const essence = (objects: readonly Manifest[]) =>
    objects
      .filter(({ kind }) => kind !== "Namespace")
      .map(({ kind, metadata, rules, spec, data }) => {
        const parsed =
          data && Object.fromEntries(Object.entries(data).map(([key, text]) => [key, JSON.parse(text) as unknown]));
        return { kind, name: metadata.name, labels: metadata.labels, rules, spec, data: parsed };
      })
      .sort((a, b) => (`${a.kind}/${a.name}` < `${b.kind}/${b.name}` ? -1 : 1));

  const find = (objects: readonly Manifest[], kind: string): Manifest => {
    const found = objects.find((object) => object.kind === kind);
    assert.ok(found, kind);
    return found;
  };
  const netConf = (objects: readonly Manifest[]) =>
    parseNetworkConfig(find(objects, "ConfigMap").data?.["net-conf.json"] ?? "", { allocates: false });
  const podOf = (objects: readonly Manifest[]): PodSpec => {
    const spec = find(objects, "DaemonSet").spec?.template?.spec;
    assert.ok(spec);
    return spec;
  };

  it("is the same in one file, as a Kustomize base and as a chart", async () => {
    const one = await taken(execFileSync("cat", [join(DEPLOY, "kube-ripstop.yml")], { encoding: "utf8" }));
    const base = await taken(await cluster.kubectl(["kustomize", join(DEPLOY, "kustomize/base")]));
    const chart = await taken(render());
    assert.deepEqual(essence(base), essence(one));
    assert.deepEqual(essence(chart), essence(one));
    assert.equal(netConf(one).backendType, "vxlan");
  });

  it("asks for flannel's rules and for nothing privileged", async () => {
    const objects = await taken(render());
    assert.deepEqual(find(objects, "ClusterRole").rules, [
      { apiGroups: [""], resources: ["pods"], verbs: ["get"] },
      { apiGroups: [""], resources: ["nodes"], verbs: ["get", "list", "watch"] },
      { apiGroups: [""], resources: ["nodes/status"], verbs: ["patch"] },
    ]);
    const { containers, initContainers } = podOf(objects);
    for (const { name, securityContext } of [...containers, ...initContainers])
      assert.notEqual(securityContext?.privileged, true, name);
    assert.deepEqual(
      containers.map(({ name }) => name),
      ["kube-flannel", "data-plane"],
    );
    assert.deepEqual(containers[0]?.securityContext?.capabilities?.add, ["NET_ADMIN", "NET_RAW", "BPF"]);
  });

  it("is replaced node by node, watched by probes, and pulled from nowhere but where its values say", async () => {
    const images = ["--set", "flannel.image.repository=registry.example.org/ripstop"];
    const plugin = ["--set", "flannel.flannel_cni.image.repository=registry.example.org/plugin"];
    const objects = await taken(render(...images, ...plugin));
    const { updateStrategy } = find(objects, "DaemonSet").spec ?? {};
    assert.equal(updateStrategy?.type, "RollingUpdate");
    assert.equal(updateStrategy?.rollingUpdate?.maxUnavailable, 1);
    const { containers, initContainers } = podOf(objects);
    const probes = (container = containers[0]) => [
      container?.livenessProbe?.httpGet.path,
      container?.readinessProbe?.httpGet.path,
    ];
    assert.deepEqual(probes(), ["/healthz", "/readyz"]);
    for (const { name, image, imagePullPolicy } of [...containers, ...initContainers]) {
      assert.match(image, /^registry\.example\.org\//, name);
      assert.notEqual(imagePullPolicy, "Always", name);
    }
  });

  it("starts the agent with flags that it has", async () => {
    for (const values of [[], ["--set", "dataPlane.enabled=false"], ["--set", "flannel.healthz.port=0"]]) {
      const [agent] = podOf(await taken(render(...values))).containers;
      const parsed = parseGoFlags(AGENT_FLAGS, agent?.args ?? []);
      assert.ok(parsed.ok, JSON.stringify(parsed));
    }
  });

  for (const [what, values, check] of [
    [
      "IPv6 beside IPv4",
      ["podCidrv6=fd00:10:244::/48"],
      (conf: ReturnType<typeof netConf>) => assert.ok(conf.enableIpv6 && conf.enableIpv4),
    ],
    [
      "vxlan options",
      ["flannel.vni=7", "flannel.mtu=1400", "flannel.directRouting=true"],
      (conf: ReturnType<typeof netConf>) =>
        assert.deepEqual({ ...conf.backend }, { Type: "vxlan", VNI: 7, MTU: 1400, DirectRouting: true }),
    ],
    [
      "wireguard's mode as a string",
      ["flannel.backend=wireguard", "flannel.tunnelMode=separate"],
      (conf: ReturnType<typeof netConf>) => assert.equal(conf.backend["Mode"], "separate"),
    ],
    [
      "data-plane choices",
      ["flannel.dataPlane.UnderlayPort=tap"],
      (conf: ReturnType<typeof netConf>) => assert.equal(conf.dataPlane.underlayPort, "tap"),
    ],
  ] as const) {
    it(`renders ${what} into a net-conf.json that the agent takes`, async () => {
      check(netConf(await taken(render(...values.flatMap((value) => ["--set", value])))));
    });
  }
});
