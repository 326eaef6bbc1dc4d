// What the kernel we run on can make: the reason to skip a test, or false.
import { execFileSync } from "node:child_process";
import { rootNeeded } from "./lab.js";

export function kernelLacks(kind: string): string | false {
  if (rootNeeded) return rootNeeded;
  try {
    const argv = ["--net", "ip", "link", "add", "name", "probe", "type", kind];
    execFileSync("unshare", kind === "ipip" ? [...argv, "local", "192.0.2.9"] : argv, { stdio: "ignore" });
    return false;
  } catch {
    return `this kernel has no ${kind} module`;
  }
}
