// Makes and changes many Node objects: node-writer URL TOKEN create COUNT | change COUNT RATE [GENERATION] | flap COUNT RATE. Runs
// where the API server is;
// node I has the pod CIDR 10.(64+I/256).(I%256).0/24 and says what flannel's vxlan backend says. `change` gives the first
// COUNT nodes other MACs, RATE a second, and prints a JSON array of when each was accepted (milliseconds of the wall clock). `flap`
// makes one more node, "flapper", and has it say something else RATE times a second: what the first node says, or nonsense.
import { Agent, request } from "node:https";

const [url, token, verb, count, rate, generation = "1"] = process.argv.slice(2);
const agent = new Agent({ keepAlive: true, maxSockets: 16, rejectUnauthorized: false });
const PREFIX = "flannel.alpha.coreos.com";

export function nodeCidr(index: number): string {
  return `10.${64 + (index >> 8)}.${index & 255}.0/24`;
}

function annotations(index: number, generation: number): Record<string, string> {
  const mac = `02:${generation.toString(16).padStart(2, "0")}:00:00:${(index >> 8).toString(16).padStart(2, "0")}:${(index & 255).toString(16).padStart(2, "0")}`;
  return {
    [`${PREFIX}/kube-subnet-manager`]: "true",
    [`${PREFIX}/backend-type`]: "vxlan",
    [`${PREFIX}/backend-data`]: JSON.stringify({ VNI: 1, VtepMAC: mac }),
    [`${PREFIX}/public-ip`]: `172.16.${index >> 8}.${index & 255}`,
  };
}

/** What a kubelet reports, in its size: conditions, and the names of 50 images, which are most of a Node object. */
function statusOf(index: number): object {
  const digest = (image: number) => (index * 1000 + image).toString(16).padStart(64, "0");
  return {
    capacity: { cpu: "8", memory: "32600000Ki", pods: "110", "ephemeral-storage": "100000000Ki" },
    addresses: [{ type: "InternalIP", address: `172.16.${index >> 8}.${index & 255}` }],
    conditions: ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"].map((type) => ({
      type,
      status: type === "Ready" ? "True" : "False",
      reason: "KubeletHasNothingToComplainAbout",
      message: "kubelet has nothing to complain about",
      lastHeartbeatTime: "2026-01-01T00:00:00Z",
      lastTransitionTime: "2026-01-01T00:00:00Z",
    })),
    images: Array.from({ length: 50 }, (_, image) => ({
      names: [
        `registry.example.org/team-${image}/service-${image}@sha256:${digest(image)}`,
        `registry.example.org/team-${image}/service-${image}:v1.${image}.0`,
      ],
      sizeBytes: 100_000_000 + image,
    })),
  };
}

function send(method: string, path: string, body: object, type: string): Promise<void> {
  return new Promise((done, failed) => {
    const headers = { Authorization: `Bearer ${token}`, "Content-Type": type };
    const sent = request(`${url}${path}`, { method, headers, agent }, (response) => {
      let text = "";
      response.on("data", (chunk) => {
        text += String(chunk);
      });
      response.on("end", () =>
        (response.statusCode ?? 500) < 300 ? done() : failed(new Error(`${path}: ${text.slice(0, 300)}`)),
      );
    });
    sent.on("error", failed);
    sent.end(JSON.stringify(body));
  });
}

async function create(index: number): Promise<void> {
  const metadata = { name: `peer-${index}`, annotations: annotations(index, 0) };
  const spec = { podCIDR: nodeCidr(index), podCIDRs: [nodeCidr(index)] };
  const status = statusOf(index);
  await send("POST", "/api/v1/nodes", { apiVersion: "v1", kind: "Node", metadata, spec, status }, "application/json");
}

async function change(index: number): Promise<number> {
  const patch = { metadata: { annotations: annotations(index, Number(generation)) } };
  await send("PATCH", `/api/v1/nodes/peer-${index}`, patch, "application/merge-patch+json");
  return Date.now();
}

async function flap(total: number): Promise<void> {
  const metadata = { name: "flapper", annotations: annotations(60_000, 0) };
  const spec = { podCIDR: "10.96.1.0/24", podCIDRs: ["10.96.1.0/24"] };
  const node = { apiVersion: "v1", kind: "Node", metadata, spec };
  // A second run finds it there.
  await send("POST", "/api/v1/nodes", node, "application/json").catch((error: Error) => {
    if (!/AlreadyExists/.test(error.message)) throw error;
  });
  const own = annotations(60_000, 0);
  const lies = [
    annotations(0, 0),
    own,
    { [`${PREFIX}/backend-data`]: "x".repeat(50_000) },
    { ...own, ...annotations(1, 0) },
  ];
  for (let turn = 0; turn < total; turn++) {
    const patch = { metadata: { annotations: lies[turn % lies.length] } };
    await send("PATCH", "/api/v1/nodes/flapper", patch, "application/merge-patch+json");
    await new Promise((resolve) => setTimeout(resolve, 1000 / Number(rate)));
  }
}

async function main(): Promise<void> {
  const total = Number(count);
  if (verb === "flap") return flap(total);
  if (verb === "create") {
    let next = 0;
    const worker = async () => {
      while (next < total) await create(next++);
    };
    await Promise.all(Array.from({ length: 16 }, worker));
    return;
  }
  const accepted: number[] = [];
  for (let index = 0; index < total; index++) {
    accepted.push(await change(index));
    await new Promise((resolve) => setTimeout(resolve, 1000 / Number(rate)));
  }
  process.stdout.write(`${JSON.stringify(accepted)}\n`);
}

if (process.argv[1]?.endsWith("node-writer.js")) await main();
agent.destroy();
