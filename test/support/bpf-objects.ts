// The BPF objects that a process holds, by the numbers that the kernel gives each only once: whether they are gone is then a
// question that other programs' objects have no part in.
import { execFileSync, spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

export type BpfKind = "prog" | "map" | "link";

export interface BpfObject {
  readonly kind: BpfKind;
  readonly id: string;
}

export function bpfObjectsOf(pid: number): readonly BpfObject[] {
  const found = new Map<string, BpfObject>();
  for (const fd of readdirSync(`/proc/${pid}/fdinfo`)) {
    const info = readIfThere(`/proc/${pid}/fdinfo/${fd}`);
    // A link's descriptor names its program, too.
    for (const [, kind, id] of info.matchAll(/^(prog|map|link)_id:\s*(\d+)$/gm))
      found.set(`${kind} ${id}`, { kind: kind as BpfKind, id: id as string });
  }
  return [...found.values()];
}

/** Of these, the ones that the kernel still has. */
export function bpfObjectsLeft(objects: readonly BpfObject[]): readonly BpfObject[] {
  return objects.filter(({ kind, id }) => spawnSync("bpftool", ["-j", kind, "show", "id", id]).status === 0);
}

/** What is attached to the devices of a network namespace (the own one when null). */
export function bpfAttachments(namespace: string | null): string {
  const wrapper = namespace === null ? [] : ["ip", "netns", "exec", namespace];
  const [program = "", ...args] = [...wrapper, "bpftool", "-j", "net", "show"];
  return execFileSync(program, args, { encoding: "utf8" });
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // Closed since the list was read.
    return "";
  }
}
