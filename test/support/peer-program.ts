// The real programs we are tested against (scripts/build-peers.sh): where they are, or why a test is skipped.
import { execFileSync } from "node:child_process";
import { resolve } from "node:path";

const root = resolve(import.meta.dirname, "../../..");

export interface PeerProgram {
  readonly path: string;
  /** The reason to skip; false when it is there. */
  readonly missing: string | false;
}

export function peerProgram(name: string): PeerProgram {
  const path = execFileSync("bash", ["scripts/build-peers.sh", "--path", name], { cwd: root, encoding: "utf8" }).trim();
  return { path, missing: path === "" ? `${name} is not built; run scripts/build-peers.sh (it needs Go)` : false };
}
