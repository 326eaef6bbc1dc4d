// The recipe of docs/docker.md, without a Docker engine: its lines are run as systemd runs them, and what `dockerd` makes of the
// options (bridge docker0 with --bip and --mtu, a container behind it) is made by hand on two nodes.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { parseEnv } from "node:util";
import { type LabNode, labFiles } from "../../src/lab/plan.js";
import { Runner } from "../../src/lab/runner.js";
import { runTcpCheck } from "../../src/lab/traffic/tcp-check.js";
import { subnetOf } from "../support/backend-lab.js";
import { rootNeeded, withLab } from "../support/lab.js";

const runner = new Runner();
const PAGE = join(import.meta.dirname, "../../../docs/docker.md");
const SCRIPT = join(import.meta.dirname, "../../../bin/mk-docker-opts");

test("containers behind a docker0 made from the recipe's options talk across two nodes", { skip: rootNeeded }, () =>
  withLab({ nodes: 2 }, async ({ nodes }) => {
    const [one, other] = nodes as readonly [LabNode, LabNode];
    const containers: string[] = [];
    for (const node of [one, other]) {
      const options = await daemonOptions(node);
      const { gateway, prefixLength, mtu } = await subnetOf(node);
      assert.deepEqual(options, [
        "-H",
        "fd://",
        "--containerd=/run/containerd/containerd.sock",
        `--bip=${gateway}/${prefixLength}`,
        "--ip-masq=true",
        `--mtu=${mtu}`,
      ]);
      containers.push(await startContainer(node, options));
    }
    const ends = { from: one.pod, to: other.pod, address: containers[1] ?? "" };
    await runTcpCheck({ ...ends, mebibytes: 8 });
    const longest = ["-n", "-c", "1", "-w", "30", "-M", "do", "-s", String(1450 - 28)];
    await runner.mustIn(other.pod, "ping", [...longest, containers[0] ?? ""]);
  }),
);

/** What systemd runs: the line before the start, then the start with the file's variables, split into words. */
async function daemonOptions(node: LabNode): Promise<readonly string[]> {
  const unit = /```ini\n([\s\S]*?)```/.exec(await readFile(PAGE, "utf8"))?.[1] ?? "";
  const values = (key: string) => [...unit.matchAll(new RegExp(`^${key}=(.*)$`, "gm"))].map(([, value]) => value ?? "");
  const file = join(node.directory, "docker_opts.env");
  const own = (word: string) =>
    word === "/run/flannel/subnet.env" ? labFiles.subnetFile(node) : word === "/run/docker_opts.env" ? file : word;
  const [program, ...args] = (values("ExecStartPre")[0] ?? "").split(" ").map(own);
  assert.equal(program, "/usr/bin/mk-docker-opts");
  await runner.mustIn(node.namespace, SCRIPT, args);
  assert.equal(own((values("EnvironmentFile")[0] ?? "").replace(/^-/, "")), file);
  const variables = parseEnv(await readFile(file, "utf8"));
  const [reset, start = ""] = values("ExecStart");
  assert.equal(reset, "", "the unit's own ExecStart is taken away first");
  const [daemon, ...words] = start.split(" ");
  assert.equal(daemon, "/usr/bin/dockerd");
  return words.flatMap((word) =>
    word.startsWith("$") ? (variables[word.slice(1)] ?? "").split(" ").filter((part) => part !== "") : [word],
  );
}

/** The lab's pod, put behind docker0 instead of cni0; answers with its address. */
async function startContainer(node: LabNode, options: readonly string[]): Promise<string> {
  const value = (name: string) =>
    options.find((option) => option.startsWith(`--${name}=`))?.slice(name.length + 3) ?? "";
  const [bip, mtu] = [value("bip"), value("mtu")];
  const gateway = bip.replace(/\/.*$/, "");
  const address = gateway.replace(/\.1$/, ".9");
  await runner.ip(node.namespace, [
    "link delete cni0",
    `link add docker0 mtu ${mtu} type bridge`,
    `address add ${bip} dev docker0`,
    `link set pod0 mtu ${mtu} master docker0 up`,
    "link set docker0 up",
  ]);
  await runner.ip(node.pod, [
    "address flush dev eth0",
    `address add ${bip.replace(gateway, address)} dev eth0`,
    `link set eth0 mtu ${mtu} up`,
    `route replace default via ${gateway} dev eth0`,
  ]);
  return address;
}
