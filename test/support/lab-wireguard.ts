// A lab whose nodes run WireGuard on a kernel that has none: wireguard-go in the module's place, and sockets by which `wg` finds
// the devices of its own node alone. Where the kernel has WireGuard nothing is put in between.
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { execFileSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LabNode } from "../../src/lab/plan.js";
import { Runner } from "../../src/lab/runner.js";
import { kernelLacks } from "./kernel.js";
import { programMissing } from "./userspace-wireguard.js";

const PRELOADED = new URL("wireguard-agent.js", import.meta.url).href;
const runner = new Runner();

export function wireguardMissing(): string | false {
  return programMissing("wg") || (kernelLacks("wireguard") && programMissing("wireguard-go"));
}

/** What the processes of `body` inherit. */
export async function withWireguard(body: () => Promise<void>): Promise<void> {
  if (kernelLacks("wireguard") === false) return body();
  const folder = await mkdtemp(join(tmpdir(), "ripstop-wg-"));
  const before = { PATH: process.env["PATH"], NODE_OPTIONS: process.env["NODE_OPTIONS"] };
  try {
    const programs = join(folder, "bin");
    await mkdir(programs);
    for (const program of ["wg", "wireguard-go"]) await writeProgram(folder, programs, program);
    process.env["PATH"] = `${programs}:${before.PATH ?? ""}`;
    process.env["NODE_OPTIONS"] = `${before.NODE_OPTIONS ?? ""} --import ${PRELOADED}`.trim();
    await body();
  } finally {
    for (const [name, value] of Object.entries(before)) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
    await rm(folder, { recursive: true });
  }
}

/** Both programs look for sockets in one folder; each network namespace gets one of its own there. */
async function writeProgram(folder: string, programs: string, program: string): Promise<void> {
  const real = execFileSync("sh", ["-c", `command -v ${program}`], { encoding: "utf8" }).trim();
  const script = `#!/bin/sh
sockets=${folder}/sockets-$(readlink /proc/self/ns/net | tr -dc 0-9)
mkdir -p "$sockets" /run/wireguard
exec unshare --mount sh -c 'mount --bind "$0" /run/wireguard && exec "$@"' "$sockets" ${real} "$@"
`;
  await writeFile(join(programs, program), script);
  await chmod(join(programs, program), 0o755);
}

/** The peers that a node's devices know, a line each: device, key, endpoint without port, what it may send. */
export async function wireguardPeers(node: LabNode): Promise<readonly string[]> {
  const { stdout } = await runner.runIn(node.namespace, "wg", ["show", "all", "dump"]);
  const rows = stdout.split("\n").map((line) => line.split("\t"));
  return rows
    .filter(({ length }) => length === 9)
    .map(([device, key, , endpoint = "", allowed = ""]) =>
      [device, key, endpoint.replace(/^\[?(.*?)\]?:\d+$/, "$1"), ...allowed.split(",")].join(" "),
    );
}
