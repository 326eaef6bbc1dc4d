// What somebody far away needs to understand a node, in one archive without secrets: what agent, data plane and doctor say, what
// the kernel has, the last words of the log. Reads only; every part may fail by itself.
import { open, readFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { readNodeStatus } from "../agent/node-status.js";
import { snapshotPath } from "../agent/local-snapshot.js";
import { type CommandRunner, runCommand } from "../host/command.js";
import { type TarFile, tar } from "../lib/tar.js";
import { ripstopVersion } from "../lib/version.js";
import { type DoctorOptions, examine } from "./doctor.js";
import { redact } from "./redact.js";

const FILE_BYTES_MAX = 1024 * 1024;

const COMMANDS: Readonly<Record<string, readonly string[]>> = {
  "ip-link.txt": ["ip", "-d", "-s", "link", "show"],
  "ip-address.txt": ["ip", "address", "show"],
  "ip-route.txt": ["ip", "route", "show", "table", "all"],
  "ip-6-route.txt": ["ip", "-6", "route", "show", "table", "all"],
  "ip-rule.txt": ["ip", "rule", "show"],
  "ip-neighbor.txt": ["ip", "neighbor", "show"],
  "bridge-fdb.txt": ["bridge", "-s", "fdb", "show"],
  "tc-filter.txt": ["tc", "-s", "qdisc", "show"],
  "bpf-net.txt": ["bpftool", "net", "show"],
  "iptables.txt": ["iptables-save", "-c"],
  "ip6tables.txt": ["ip6tables-save", "-c"],
  "nftables.txt": ["nft", "list", "ruleset"],
  "sockets.txt": ["ss", "-lunp"],
  "uname.txt": ["uname", "-a"],
  "journal.txt": ["journalctl", "--no-pager", "-n", "2000", "-u", "ripstop"],
};

/** A gzipped tar. */
export async function makeSupportBundle(options: DoctorOptions, run: CommandRunner = runCommand): Promise<Buffer> {
  const status = await readNodeStatus(options.paths);
  const pid = status.agent?.pid ?? null;
  const parts: Readonly<Record<string, () => Promise<string>>> = {
    "version.txt": async () => `ripstop ${ripstopVersion()}\nnode ${process.version}\n`,
    "status.json": async () => json(status),
    "doctor.json": async () => json(await examine(options)),
    "snapshot.json": () => readFile(snapshotPath(options.stateDir), "utf8"),
    "subnet.env": () => readFile(status.agent?.network?.subnetFile ?? options.subnetFile, "utf8"),
    "dataplane.log": () => tail(options.paths.dataplaneLog),
    "command-line.txt": async () =>
      pid === null ? "" : (await readFile(`/proc/${pid}/cmdline`, "utf8")).replaceAll("\0", " "),
    "agent-process.txt": async () => (pid === null ? "" : await readFile(`/proc/${pid}/status`, "utf8")),
    ...Object.fromEntries(Object.entries(COMMANDS).map(([name, argv]) => [name, () => output(argv, run)] as const)),
  };
  const files = await Promise.all(
    Object.entries(parts).map(async ([name, read]): Promise<TarFile> => {
      const text = await read().catch((error: unknown) => `not to be had: ${String(error)}\n`);
      return { name: `ripstop-support/${name}`, content: Buffer.from(redact(text.slice(-FILE_BYTES_MAX))) };
    }),
  );
  return gzipSync(tar(files, Math.floor(Date.now() / 1000)));
}

async function output(argv: readonly string[], run: CommandRunner): Promise<string> {
  const { code, stdout, stderr } = await run(argv, { timeLimitMs: 10_000 });
  return code === 0 ? stdout : `${stdout}exit code ${code}: ${stderr}`;
}

async function tail(path: string): Promise<string> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const bytes = Buffer.alloc(Math.min(size, FILE_BYTES_MAX));
    await file.read(bytes, 0, bytes.length, size - bytes.length);
    return bytes.toString("utf8");
  } finally {
    await file.close();
  }
}

function json(value: unknown): string {
  return JSON.stringify(value, (_key, one: unknown) => (typeof one === "bigint" ? one.toString() : one), 2);
}
