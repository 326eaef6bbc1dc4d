// One lab command at a time. The lock is a flock on an open file that helper processes inherit: it is free only when the
// command and every helper it started are gone, also after SIGKILL. `lab down` removes the file with the lab.
import { closeSync, fstatSync, ftruncateSync, openSync, readFileSync, rmSync, statSync, writeSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { RipstopError } from "../lib/errors.js";
import { waitFor } from "./wait.js";

export interface LabLock extends Disposable {
  readonly fd: number;
}

/** Takes the lock of a lab; waits for another command to end, at most `timeoutMs`. The file lies beside the folder. */
export async function lockLab(directory: string, timeoutMs = 20_000): Promise<LabLock> {
  const path = lockFile(directory);
  const fd = await waitFor("the lab lock", async () => tryLockFile(path), {
    timeoutMs,
    everyMs: 50,
    explain: async () => `process ${readFileSync(path, "utf8").trim() || "unknown"} holds ${path}`,
    remedy: "let that command end, or end it, and try again",
  });
  ftruncateSync(fd);
  writeSync(fd, `${process.pid}\n`, 0);
  return { fd, [Symbol.dispose]: () => closeSync(fd) };
}

export function lockFile(directory: string): string {
  return `${directory}.lock`;
}

/** For the holder only: others that wait for the old file notice that it is not the lab's any more. */
export function removeLockFile(directory: string): void {
  rmSync(lockFile(directory), { force: true });
}

function tryLockFile(path: string): number | null {
  const fd = openLockFile(path);
  try {
    if (tryLock(fd) && statSync(path, { throwIfNoEntry: false })?.ino === fstatSync(fd).ino) return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  closeSync(fd);
  return null;
}

function openLockFile(path: string): number {
  try {
    return openSync(path, "a+", 0o600);
  } catch (error) {
    throw new RipstopError("LAB_LOCK", `cannot open ${path}: ${(error as Error).message}; run as root`, {
      cause: error,
    });
  }
}

// Node has no flock(2). flock(1) locks the open file it inherits, and the lock stays with the file we hold open.
function tryLock(fd: number): boolean {
  const result = spawnSync("flock", ["--nonblock", "3"], { stdio: ["ignore", "ignore", "ignore", fd] });
  if (result.error !== undefined) {
    throw new RipstopError("LAB_TOOL_MISSING", "cannot run flock: not installed; run `apt-get install util-linux`", {
      cause: result.error,
    });
  }
  return result.status === 0;
}
