// A host of its own that a real systemd runs, in namespaces and a control group of its own: the machine's files under a layer that
// is thrown away, this checkout at /usr/lib/ripstop with the commands in /usr/bin, and of the machine's units only the journal.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { rootNeeded } from "./lab.js";
import type { Finished } from "./node-commands.js";
import { until } from "./until.js";

const SYSTEMD = "/lib/systemd/systemd";
const CHECKOUT = resolve(import.meta.dirname, "../../..");

/** The reason why there can be none here; false when there can. */
export function systemdMissing(): string | false {
  if (rootNeeded) return rootNeeded;
  if (!existsSync(SYSTEMD)) return `no systemd on this machine (${SYSTEMD})`;
  const { status, stderr } = spawnSync("unshare", ["--mount", "mount", "-t", "cgroup2", "cgroup2", "/mnt"], {
    encoding: "utf8",
  });
  return status !== 0 && `systemd wants control groups, which cannot be mounted here: ${stderr.trim()}`;
}

/** $1: name of the control group, $2: checkout, $3: node; then pairs: a program and where it goes. */
const BOOT = `
  mount -t cgroup2 cgroup2 /mnt
  group="/mnt$(sed -n 's/^0:://p' /proc/self/cgroup)/$1"; mkdir -p "$group"; echo $$ >"$group/cgroup.procs"
  umount /mnt; shift
  exec unshare --mount --uts --ipc --cgroup --pid --fork --kill-child --propagation private bash -euc '
    mount -t tmpfs tmpfs /mnt; cd /mnt; mkdir upper work root
    mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root; cd root
    mount -t proc proc proc; mount -t sysfs -o ro sysfs sys
    mount -t cgroup2 cgroup2 sys/fs/cgroup; mount -t bpf bpf sys/fs/bpf
    for folder in run tmp dev; do mount -t tmpfs -o mode=755 tmpfs $folder; done
    mkdir dev/net dev/pts dev/shm; mount -t devpts -o newinstance devpts dev/pts
    for device in null zero full random urandom net/tun; do touch dev/$device; mount --bind /dev/$device dev/$device; done
    rm -rf etc/systemd/system etc/fstab etc/default/ripstop etc/cni var/lib/ripstop
    mkdir -p etc/systemd/system usr/lib/ripstop etc/default
    find lib/systemd/system/ -path "*.wants/*" ! -name "systemd-journald*" -delete
    printf "[Unit]\\nDescription=nothing by itself\\nDefaultDependencies=no\\n" >etc/systemd/system/nothing.target
    mount --bind -o ro "$1" usr/lib/ripstop; ln -sf ../lib/ripstop/bin/ripstop usr/bin/ripstop
    set -- "$2" usr/bin/node "\${@:3}"
    while [ $# -gt 0 ]; do rm -f "$2"; touch "$2"; mount --bind "$1" "$2"; shift 2; done
    exec env -i container=other PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \\
      chroot . ${SYSTEMD} --system --unit=nothing.target --show-status=no' bash "$@"`;

/** Removes the control group and whatever is left in it. */
const UNBOOT = `
  mount -t cgroup2 cgroup2 /mnt
  group="/mnt$(sed -n 's/^0:://p' /proc/self/cgroup)/$1"; [ -d "$group" ] || exit 0
  [ ! -e "$group/cgroup.kill" ] || echo 1 >"$group/cgroup.kill"
  for attempt in $(seq 100); do
    find "$group" -depth -type d -exec rmdir {} + 2>/dev/null && exit 0
    read -rt 0.1 <> <(:) || :
  done
  exit 1`;

let booted = 0;

export class SystemdHost {
  readonly #group: string;
  readonly #child: ChildProcess;
  #pid = 0;
  #said = "";

  private constructor(group: string, child: ChildProcess) {
    this.#group = group;
    this.#child = child;
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#said += text;
    });
  }

  /** `programs`: more of them, by the names they get in /usr/bin. */
  static async boot(namespace: string, programs: Readonly<Record<string, string>> = {}): Promise<SystemdHost> {
    const group = `rst-systemd-${process.pid}-${booted++}`;
    const places = Object.entries(programs).flatMap(([name, path]) => [path, `usr/bin/${name}`]);
    const argv = ["netns", "exec", namespace, "bash", "-euc", BOOT, "bash", group, CHECKOUT, process.execPath];
    const host = new SystemdHost(group, spawn("ip", [...argv, ...places], { stdio: ["ignore", "ignore", "pipe"] }));
    try {
      await until("systemd runs", () => host.#isRunning(), 60_000);
    } catch (error) {
      await host.remove();
      throw error;
    }
    return host;
  }

  /** A command line as root on that host, in the checkout's folder. */
  sh(command: string, input: string | Buffer = ""): Finished {
    const inside = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd", "--"];
    const argv = [`--target=${this.#pid}`, ...inside, "sh", "-c", `cd /usr/lib/ripstop && ${command}`];
    const env = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" };
    return spawnSync("nsenter", argv, { encoding: "utf8", input, timeout: 120_000, env });
  }

  /** One that must succeed; its standard output. */
  must(command: string, input?: string | Buffer): string {
    const { status, stdout, stderr } = this.sh(command, input);
    if (status !== 0) throw new Error(`${command}: exit code ${status}: ${stderr}${stdout}\n${this.journal()}`);
    return stdout;
  }

  write(path: string, text: string): void {
    this.must(`mkdir -p "$(dirname ${path})" && cat >${path}`, text);
  }

  journal(): string {
    return this.sh("journalctl --no-pager -o cat -n 40").stdout;
  }

  /** A unit's property, as systemctl shows it. */
  property(unit: string, name: string): string {
    return this.must(`systemctl show ${unit} -p ${name} --value`).trim();
  }

  async remove(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    // With process 1 its whole namespace ends.
    if (this.#pid !== 0) process.kill(this.#pid, "SIGKILL");
    else this.#child.kill("SIGKILL");
    if (this.#child.exitCode === null && this.#child.signalCode === null) await ended;
    spawnSync("unshare", ["--mount", "bash", "-c", UNBOOT, "bash", this.#group], { stdio: "ignore" });
  }

  #isRunning(): boolean {
    if (this.#child.exitCode !== null) throw new Error(`systemd ended with ${this.#child.exitCode}: ${this.#said}`);
    const children = readFileSync(`/proc/${this.#child.pid}/task/${this.#child.pid}/children`, "utf8").trim();
    if (!/^\d+$/.test(children) || readFileSync(`/proc/${children}/comm`, "utf8").trim() !== "systemd") return false;
    this.#pid = Number(children);
    return /^(running|degraded)$/.test(this.sh("systemctl is-system-running").stdout.trim());
  }
}
