// A node of a lab with systemd, our unit and a real Docker engine (scripts/fetch-docker.sh), which starts as Debian's units say.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, symlinkSync, copyFileSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { SystemdHost } from "./systemd-host.js";

const ROOT = resolve(import.meta.dirname, "../../..");
const engine = execFileSync("bash", [join(ROOT, "scripts/fetch-docker.sh"), "--path"], { encoding: "utf8" }).trim();
const PROGRAMS = {
  dockerd: "sbin/dockerd",
  docker: "bin/docker",
  "docker-proxy": "sbin/docker-proxy",
  containerd: "bin/containerd",
  "containerd-shim-runc-v2": "bin/containerd-shim-runc-v2",
  runc: "sbin/runc",
};
const TOOLS = ["sh", "sleep", "ping", "ip", "httpd", "wget"];

/** The reason to skip; false when it is there. */
export const dockerMissing: string | false =
  engine === "" && "there is no Docker engine; run scripts/fetch-docker.sh (it needs Debian's mirror)";

export async function bootWithDocker(namespace: string): Promise<SystemdHost> {
  const programs = Object.entries(PROGRAMS).map(([name, path]) => [name, join(engine, "usr", path)]);
  const host = await SystemdHost.boot(namespace, {
    ...(Object.fromEntries(programs) as Record<string, string>),
    "mk-docker-opts": join(ROOT, "bin/mk-docker-opts"),
  });
  try {
    for (const unit of ["docker.service", "docker.socket", "containerd.service"]) {
      const text = readFileSync(join(engine, "lib/systemd/system", unit), "utf8");
      host.write(`/etc/systemd/system/${unit}`, text.replaceAll("/usr/sbin/", "/usr/bin/"));
    }
    // Layers of an overlay cannot lie on an overlay.
    host.must("groupadd -f docker");
    for (const place of ["docker", "containerd"])
      host.must(`mkdir -p /var/lib/${place} && mount -t tmpfs tmpfs /var/lib/${place}`);
    return host;
  } catch (error) {
    await host.remove();
    throw error;
  }
}

/** An image `busybox` of the static busybox alone. */
export function importBusybox(host: SystemdHost): void {
  const folder = mkdtempSync(join(tmpdir(), "ripstop-busybox-"));
  try {
    mkdirSync(join(folder, "bin"));
    copyFileSync(join(engine, "bin/busybox"), join(folder, "bin/busybox"));
    for (const tool of TOOLS) symlinkSync("busybox", join(folder, "bin", tool));
    const { stdout } = spawnSync("tar", ["-C", folder, "-c", "."], { maxBuffer: 1 << 24 });
    host.must("docker import - busybox", stdout);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
