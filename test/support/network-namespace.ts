// One network namespace for a test, with a Netlink inside it, always removed. Needs root.
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { promisify } from "node:util";
import { nativeCandidates } from "../../src/dataplane/native.js";
import type { NativeNetlink } from "../../src/host/netlink-binding.js";
import { Netlink } from "../../src/host/netlink.js";

const run = promisify(execFile);
let made = 0;

export interface TestNamespace {
  readonly name: string;
  readonly path: string;
  readonly netlink: Netlink;
  /** `ip` inside the namespace; its standard output. */
  ip(...args: string[]): Promise<string>;
  /** Any command inside the namespace. */
  exec(...argv: string[]): Promise<string>;
}

/** The addon's netlink part alone: these tests need no data plane. */
export function netlinkBinding(): NativeNetlink {
  const path = nativeCandidates({ path: process.env["RIPSTOP_NATIVE_PATH"] }).find((candidate) =>
    existsSync(candidate),
  );
  if (path === undefined) throw new Error("no addon to test; run npm run build:addon");
  return (createRequire(import.meta.url)(path) as { readonly netlink: NativeNetlink }).netlink;
}

/** Creates a namespace with its loopback up, runs `body`, removes it whatever happened. */
export async function withNamespace(body: (namespace: TestNamespace) => Promise<void>): Promise<void> {
  const name = `rst-host-${process.pid}-${made++}`;
  await run("ip", ["netns", "add", name]);
  const path = `/run/netns/${name}`;
  const exec = async (...argv: string[]): Promise<string> => (await run("ip", ["netns", "exec", name, ...argv])).stdout;
  const netlink = Netlink.open({ binding: netlinkBinding(), namespace: path });
  // Events keep no process alive, but this test waits for them.
  const alive = setInterval(() => undefined, 1_000);
  try {
    const ip = async (...args: string[]): Promise<string> => (await run("ip", ["-n", name, ...args])).stdout;
    await ip("link", "set", "lo", "up");
    await body({ name, path, netlink, ip, exec });
  } finally {
    clearInterval(alive);
    netlink.close();
    await run("ip", ["netns", "delete", name]);
  }
}
