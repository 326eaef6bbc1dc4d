// The image that deploy/Dockerfile makes (scripts/build-image.mjs carries it out without an engine), started as the manifest
// starts it: both containers with their command, their capabilities and their mounts, on a file system that cannot be written,
// under the service account of a real API server. A runtime is not here; namespaces, chroot and setpriv stand for it.
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, it } from "node:test";
import { type AgentHost, withAgentHost } from "../support/agent-host.js";
import { KubeCluster } from "../support/kube-cluster.js";
import { rootNeeded } from "../support/lab.js";
import { peerProgram } from "../support/peer-program.js";
import { until } from "../support/until.js";

const ROOT = resolve(import.meta.dirname, "../../..");
const MANIFEST = join(ROOT, "deploy/kube-ripstop.yml");
const apiserver = peerProgram("kube-apiserver");
const kubectl = peerProgram("kubectl");
const image = execFileSync(process.execPath, [join(ROOT, "scripts/build-image.mjs"), "--path"], {
  encoding: "utf8",
}).trim();
const noImage = image === "" && "there is no image; run scripts/build-image.mjs (it needs debootstrap and a mirror)";
const skip = rootNeeded || noImage;

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: number };
}
interface Container {
  readonly name: string;
  readonly command: readonly string[];
  readonly args?: readonly string[];
  readonly livenessProbe?: Probe;
  readonly readinessProbe?: Probe;
  readonly securityContext: {
    readonly readOnlyRootFilesystem: boolean;
    readonly capabilities: { readonly drop: readonly string[]; readonly add: readonly string[] };
  };
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
}
interface DaemonSet {
  readonly kind: string;
  readonly spec: {
    readonly template: {
      readonly spec: {
        readonly containers: readonly Container[];
        readonly volumes: readonly { readonly name: string; readonly hostPath?: { readonly path: string } }[];
      };
    };
  };
}

/** Arguments: pairs of what is mounted where, --, the capabilities that stay, the container's variables and words. */
const START = `
  mount -t tmpfs tmpfs /mnt; mkdir /mnt/upper /mnt/work /mnt/root
  mount -t overlay overlay -o "lowerdir=$IMAGE,upperdir=/mnt/upper,workdir=/mnt/work" /mnt/root
  root=/mnt/root
  for folder in run tmp dev; do mount -t tmpfs tmpfs "$root/$folder"; done
  for device in null zero random urandom; do touch "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"; done
  mount -t proc proc "$root/proc"; mount -t sysfs sysfs "$root/sys"
  while [ "$1" != -- ]; do
    if [ -d "$1" ]; then mkdir -p "$root$2"; else mkdir -p "$(dirname "$root$2")"; touch "$root$2"; fi
    mount --bind "$1" "$root$2"; shift 2
  done
  shift; capabilities=$1; shift
  mount -o remount,bind,ro "$root"
  exec chroot "$root" setpriv --bounding-set="$capabilities" --no-new-privs env -i PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin "$@"`;

describe("the image", { skip }, () => {
  it("says which version it is, by its entry point", () => {
    const [entry] = JSON.parse(readFileSync(join(image, ".entrypoint"), "utf8")) as readonly [string];
    const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string };
    const said = execFileSync("sh", ["-c", 'chroot "$0" "$@" 2>&1', image, entry, "--version"], { encoding: "utf8" });
    assert.match(said, new RegExp(version.replaceAll(".", "\\.")));
  });

  it("has what the agent and its commands start", () => {
    const asked = ["ip", "bridge", "ethtool", "ping", "tcpdump", "ripstop"];
    for (const tool of ["iptables-restore", "ip6tables-restore", "nft", "wg", ...asked])
      execFileSync("chroot", [image, "sh", "-c", `command -v ${tool}`]);
  });

  it("runs as the manifest's two containers", { skip: apiserver.missing || kubectl.missing }, async () => {
    await withAgentHost(async (host) => {
      const cluster = await KubeCluster.start({
        apiserver: apiserver.path,
        kubectl: kubectl.path,
        namespace: host.namespace,
        address: "127.0.0.1",
      });
      const started: ChildProcess[] = [];
      try {
        await cluster.applyRules();
        await cluster.createNode("self", ["10.244.7.0/24"]);
        const objects = await cluster.kubectl(["apply", "--dry-run=client", "-o", "json", "-f", MANIFEST]);
        const { items } = JSON.parse(objects) as {
          items: (DaemonSet & { readonly data?: Record<string, string> })[];
        };
        const pod = items.find(({ kind }) => kind === "DaemonSet")?.spec.template.spec;
        const config = items.find(({ kind }) => kind === "ConfigMap")?.data;
        assert.ok(pod && config);
        const volumes = await fillVolumes(host, cluster, config);
        for (const container of pod.containers) started.push(start(host, pod, container, volumes));
        const subnet = join(volumes("run"), "subnet.env");
        await until("the node has its subnet", () => existsSync(subnet), 60_000).catch((error: Error) => {
          throw new Error(`${error.message}\n${started.map((_, i) => logOf(host, i)).join("\n")}`);
        });
        assert.match(readFileSync(subnet, "utf8"), /FLANNEL_SUBNET=10\.244\.7\.1\/24/);
        const status = () => {
          const { stdout } = host.ripstop("status", "--run-dir", volumes("run-ripstop"), "-o", "json");
          return JSON.parse(stdout) as { dataplane: { state: string }; condition: string };
        };
        await until("the other container carries", () => status().dataplane.state === "running", 60_000).catch(
          (error: Error) => {
            throw new Error(`${error.message}\n${started.map((_, i) => logOf(host, i)).join("\n")}`);
          },
        );
        const { annotations } = await cluster.node("self");
        assert.equal(annotations["flannel.alpha.coreos.com/public-ip"], "192.168.90.1");
        await until(
          "the node says that it has a network",
          async () => (await cluster.node("self")).conditions.some(({ reason }) => reason === "FlannelIsUp"),
          60_000,
        );
        for (const container of pod.containers)
          for (const { httpGet } of [container.livenessProbe, container.readinessProbe].filter(
            (it) => it !== undefined,
          ))
            await until(`${httpGet.path} answers`, () => probe(host, httpGet) === "200", 60_000);
      } finally {
        for (const child of started) child.kill("SIGKILL");
        await cluster.destroy();
      }
    });
  });

  const probe = (host: AgentHost, { path, port }: Probe["httpGet"]) => {
    const script = `fetch("http://127.0.0.1:${port}${path}").then((it) => console.log(it.status), () => console.log("none"))`;
    const argv = ["netns", "exec", host.namespace, process.execPath, "-e", script];
    return execFileSync("ip", argv, { encoding: "utf8" }).trim();
  };
  const logOf = (host: AgentHost, index: number) => readFileSync(join(host.folder, `container${index}.log`), "utf8");
  let logs = 0;

  /** The pod's volumes as folders of ours; what the kubelet would fill is filled. */
  async function fillVolumes(host: AgentHost, cluster: KubeCluster, config: Record<string, string>) {
    const at = (name: string) => join(host.folder, "volumes", name);
    for (const name of ["run", "run-ripstop", "state", "flannel-cfg", "account"])
      mkdirSync(at(name), { recursive: true });
    writeFileSync(at("xtables-lock"), "");
    for (const [key, text] of Object.entries(config)) writeFileSync(join(at("flannel-cfg"), key), text);
    writeFileSync(join(at("account"), "token"), await cluster.accountToken());
    writeFileSync(join(at("account"), "ca.crt"), readFileSync(join(cluster.directory, "certs/apiserver.crt")));
    writeFileSync(join(at("account"), "namespace"), "kube-flannel");
    return (name: string) => (name === "tun" ? "/dev/net/tun" : at(name));
  }

  function start(
    host: AgentHost,
    pod: DaemonSet["spec"]["template"]["spec"],
    container: Container,
    volumes: (name: string) => string,
  ) {
    const { capabilities, readOnlyRootFilesystem } = container.securityContext;
    assert.deepEqual([capabilities.drop, readOnlyRootFilesystem], [["ALL"], true], container.name);
    for (const { name } of container.volumeMounts)
      assert.ok(
        pod.volumes.some((volume) => volume.name === name),
        name,
      );
    const mounts = container.volumeMounts.flatMap(({ name, mountPath }) => [volumes(name), mountPath]);
    // /var/run is a link to /run in the image, which a runtime follows there and mount would follow here.
    const account = [volumes("account"), "/run/secrets/kubernetes.io/serviceaccount"];
    const kept = capabilities.add.map((name) => `+${name.toLowerCase()}`);
    const variables = ["NODE_NAME=self", "KUBERNETES_SERVICE_HOST=127.0.0.1", "KUBERNETES_SERVICE_PORT=6443"];
    const words = [...mounts, ...account, "--", ["-all", ...kept].join(","), ...variables];
    const log = openSync(join(host.folder, `container${logs++}.log`), "a");
    return spawn(
      "ip",
      [
        "netns",
        "exec",
        host.namespace,
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "bash",
        "-ec",
        START,
        "bash",
        ...words,
        ...container.command,
        ...(container.args ?? []),
      ],
      { stdio: ["ignore", log, log], env: { ...process.env, IMAGE: image } },
    );
  }
});
