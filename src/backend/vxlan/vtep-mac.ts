// The MAC of our VTEP, which must outlive restarts and reboots: every other node has it in its tables. First what we wrote
// down, then what the present device has (flannel's, when we take over from it), then what our last lease said, else a new one.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Mac } from "../../addr/address.js";
import { isUnicastMac, parseMac, randomMac } from "../../addr/mac.js";
import { writeFileAtomic } from "../../lib/atomic-file.js";
import type { BackendLog } from "../backend.js";

/** `device` names the state file; `candidates` come best first. */
export async function chooseVtepMac(
  stateDir: string,
  device: string,
  candidates: readonly (Mac | null)[],
): Promise<Mac> {
  const written = await readMac(path(stateDir, device));
  return written ?? candidates.find((mac) => mac !== null && isUnicastMac(mac)) ?? randomMac();
}

/** A state directory that cannot be written costs persistence, not the start. */
export async function writeVtepMac(stateDir: string, device: string, mac: Mac, log: BackendLog): Promise<void> {
  const file = path(stateDir, device);
  if ((await readMac(file)) === mac) return;
  try {
    await writeFileAtomic(file, `${mac}\n`, { directoryMode: 0o700 });
  } catch (error) {
    log.warn({ err: error, path: file }, "cannot write down the VTEP MAC; a reboot will change it");
  }
}

function path(stateDir: string, device: string): string {
  return join(stateDir, `${device}.mac`);
}

async function readMac(file: string): Promise<Mac | null> {
  try {
    const mac = parseMac((await readFile(file, "utf8")).trim());
    return mac !== null && isUnicastMac(mac) ? mac : null;
  } catch {
    return null;
  }
}
