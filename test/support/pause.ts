// Stopping a process for a while, and being sure of it: the signal is still on its way when kill returns, and what has several threads
// may answer with one of them meanwhile.
import { readdirSync, readFileSync } from "node:fs";
import { until } from "./until.js";

/** SIGSTOP; resolves once every thread stands. */
export async function pause(pid: number): Promise<void> {
  process.kill(pid, "SIGSTOP");
  await until(`process ${pid} to stand`, () => stands(pid));
}

/** A data plane that stood for long may be gone: its agent ends what hangs. */
export function resume(pid: number): void {
  try {
    process.kill(pid, "SIGCONT");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

export function stands(pid: number): boolean {
  return readdirSync(`/proc/${pid}/task`).every((thread) => {
    try {
      return /^State:\tT/m.test(readFileSync(`/proc/${pid}/task/${thread}/status`, "utf8"));
    } catch {
      return true; // The thread has ended.
    }
  });
}
